"""The section of dynamic scores and dataset bias."""

import re

from ....report.pages import page_of, words_of
from ....report.runs import labelled_run, with_students


def test_all_three_dynamic_scores_and_dataset_bias_stand_side_by_side(tmp_path):
    """In the order of the paper's Table 2: distill, freeze, shuffle."""
    first = with_students(labelled_run("first"), distilled=0.33, bias=1.9)
    text = words_of(page_of(tmp_path, first, with_students(labelled_run("other"), distilled=0.62, bias=1.9)))

    order = ("best student of single frames", "frozen to its middle frame", "shuffled")
    rows = text.split("dynamic score, video level in nats")[1]
    assert rows.startswith(" best student of single frames 0.3300.620+0.290 frozen to its middle frame 1.50 [1.20")
    assert sorted(order, key=rows.index) == list(order)
    assert "dataset bias, video level in nats original 1.90 [1.80, 2.00]" in text
    assert "Training of the student, dynamic score, distilled: first" in text
    assert "Training of the student, dataset bias: other" in text
    assert text.count("0.875yes") == 4


def test_dataset_bias_alone(tmp_path):
    run = with_students(labelled_run(), distilled=0.3, bias=1.9)
    run.results = {"dataset_bias": run.results["dataset_bias"]}

    text = words_of(page_of(tmp_path, run))

    assert "Dynamic score and dataset bias" in text
    assert "Dynamic score, distilled" not in text
    assert "top-1 accuracy of the student of single frames" in text


def test_explanations_are_of_what_was_measured(tmp_path):
    run = with_students(labelled_run(), distilled=0.3, bias=1.9)
    terms = explained(page_of(tmp_path / "all", run))
    ours = ["Log ratio", "Dynamic score", "Dynamic score, distilled", "Dataset bias"]
    assert [term for term in terms if term in ours] == ours

    run.results = {"modulated_accuracy": run.results["modulated_accuracy"]}
    terms = explained(page_of(tmp_path / "accuracy", run))
    assert "Log ratio" in terms
    assert "Dynamic score" not in terms


def explained(html):
    """The terms of "How to read this", in order."""
    return re.findall(r"<dt>([^<]*)</dt>", html)
