"""Confusion matrices, and lists of confusions."""

import re

import numpy as np

from pvbias.evaluation import Predictions, Result

from .pages import page_of, words_of
from .runs import labelled_run


def confusion_of(html):
    """Rows of the matrix: heading, videos, cells."""
    table = html[html.index('<table class="confusion">') :]
    table = table[: table.index("</table>")]
    return [re.findall(r"<t[hd][^>]*>(?:<span>)?([^<]*)", row) for row in table.split("<tr>")[1:]]


def test_a_confusion_matrix(tmp_path):
    """By hand: of three videos of "run" one is taken for "walk"; nothing is ever "sit"; "stand" is nobody's label."""
    chosen, labels = [0, 0, 1, 1, 3, 2], [0, 0, 0, 1, 1, -1]
    predictions = Predictions(
        names=[f"{n}.mp4" for n in range(6)],
        labels=np.array(labels),
        probabilities=np.eye(4, dtype=np.float32)[chosen],
        class_names=["run", "walk", "sit", "stand"],
    )

    html = page_of(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions)}))

    assert confusion_of(html) == [
        ["Label", "videos", "run", "walk", "stand"],
        ["run", "3", "67", "33", ""],
        ["walk", "2", "", "50", "50"],
    ]
    assert "run walk 1 33 % walk stand 1 50 %" in words_of(html.replace("</td>", " "))


def test_a_confusion_matrix_of_very_many_classes_is_a_list(tmp_path):
    labels = np.arange(100)
    predictions = Predictions(
        names=[f"{n}.mp4" for n in range(100)],
        labels=labels,
        probabilities=np.eye(100, dtype=np.float32)[np.where(labels == 7, 8, labels)],
    )

    html = page_of(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions)}))

    assert '<table class="confusion">' not in html
    assert "Most frequent confusions (1 row)" in words_of(html)
