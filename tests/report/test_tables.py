"""Figures as text, in rows and columns."""

import io

import pytest
from PIL import Image

from pvbias.evaluation import Figure, Result
from pvbias.plugin_loading import load_plugins
from pvbias.report.figures import Measured, section_indices
from pvbias.report.tables import figure_table, shown

from .pages import Page, page_of, words_of
from .runs import jpeg, labelled_run, measured, right

load_plugins()


@pytest.mark.parametrize(
    ("metric", "value", "unit", "expected"),
    [
        ("dynamic_score/dynamic_score", 7.9e-07, "nats", "none"),
        ("dynamic_score/dynamic_score", 0.0011, "nats", "0.001"),
        ("modulated_accuracy/log_ratio", -0.0004, "log ratio", "none"),
        ("modulated_accuracy/log_ratio", -0.004, "log ratio", "−0.004"),
        ("dataset_bias/dataset_bias", 0.0004, "nats", "0"),  # not a distance that something moves
        ("accuracy/top1", 0.0, "%", "0.0"),
    ],
)
def test_what_is_too_small_to_be_told_is_none(metric, value, unit, expected):
    evaluator, name = metric.split("/")
    assert shown(Measured(evaluator, Figure(name=name, value=value, unit=unit, level="video"))) == expected


@pytest.mark.parametrize("runs", [1, 2])
def test_clip_level_is_shown_where_it_says_something_else(tmp_path, runs):
    same = [measured(f"run {n}", original=right(19, 20), shuffled=right(9, 20)) for n in range(runs)]
    assert "clip level" not in _without_explanation(page_of(tmp_path / "same", *same))

    other = [measured(f"run {n}", original=right(19, 20), shuffled=right(9, 20)) for n in range(runs)]
    figures = other[-1].results["modulated_accuracy"].figures
    figures[0] = Figure(name="top1", value=94.0, unit="%", level="clip")
    assert "clip level" in _without_explanation(page_of(tmp_path / "other", *other))


def _without_explanation(html):
    text = words_of(html)
    return text[: text.index("How to read this")] + text[text.index("Accuracy Each variant") :]


def test_pictures_in_tables_of_unknown_evaluators(tmp_path):
    """A name of one of the evaluator's images is shown as that image; other text stays text."""
    rows = [
        {"video": "a.mp4", "first_look": "x.jpg", "strip": "y.png"},
        {"video": "x.jp", "first_look": "", "strip": None},
    ]
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    images = {"x.jpg": jpeg(), "y.png": png.getvalue(), "z.jpg": b"no picture"}
    result = Result(
        tables={"looks": [*rows, {"video": "b.mp4", "first_look": "z.jpg", "strip": "y.png"}]}, images=images
    )

    page = Page(page_of(tmp_path, labelled_run(results={"looker": result})))

    shown = [(attrs["alt"], attrs["src"].split(";")[0]) for tag, attrs in page.tags if tag == "img"]
    assert shown == [("first look", "data:image/jpeg"), ("strip", "data:image/png"), ("strip", "data:image/png")]
    assert "a.mp4" in page.text
    assert "x.jpg" not in page.text
    assert "z.jpg" in page.text


def test_changes_are_those_from_the_first_run():
    right_of_40 = {"one": 20, "two": 30, "three": 25}
    runs = [measured(name, original=right(count, 40), shuffled=right(10, 40)) for name, count in right_of_40.items()]
    (row, *_), *_ = (block.rows for block in figure_table(runs, section_indices(runs, "accuracy")).blocks)
    assert [(cell.value, cell.change) for cell in row.cells] == [("50.0", ""), ("75.0", "+25.0"), ("62.5", "+12.5")]
