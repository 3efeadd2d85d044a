"""Runs are put in order where that can be said, and the page says why where it cannot."""

import pytest

from pvbias.report.console import headline_table

from .pages import Page, page_of, words_of
from .runs import measured, right, sure


def test_the_run_that_leans_most_on_order_is_named_with_the_difference(tmp_path):
    first = measured("first", original=right(200, 200), shuffled=right(60, 200))
    second = measured("second", original=right(200, 200), shuffled=right(180, 200))

    text = words_of(page_of(tmp_path, first, second))

    # ln(1 / 0.3) and ln(1 / 0.9)
    assert (
        "“first” uses the order of frames most (log ratio 1.20), “second” least (0.11); difference +1.10 [+0." in text
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_fingerprint": "f2"}, "the videos are not the same"),
        ({"label_fingerprints": ["n2", "c2"]}, "the videos are labelled differently"),
        ({"sampling": "8 frames over 2 s"}, "clips were sampled differently"),
        ({"num_classes": 9}, "the models tell different numbers of classes apart"),
        (
            {"views": "1 clip", "num_classes": 9},
            "videos were seen in different views and the models tell different numbers of classes apart",
        ),
    ],
)
def test_runs_that_do_not_compare_are_not_put_in_order(tmp_path, changes, reason):
    """Nor have they paired differences, where the videos are others."""
    first = measured("first", original=right(100, 100), shuffled=right(30, 100))
    second = measured("second", original=right(100, 100), shuffled=right(90, 100), **changes)

    text = words_of(page_of(tmp_path, first, second))

    assert f"The runs are not put in order: {reason}." in text
    assert "uses the order of frames most" not in text
    assert ("+60.0 [" in text) == changes.keys().isdisjoint(["data_fingerprint", "label_fingerprints"])
    assert "+60.0" in text


def test_what_cannot_be_told_apart_is_not_put_in_order(tmp_path):
    """60 and 59 of 100 videos that are right when shuffled: which are others."""
    first = measured("first", original=right(100, 100), shuffled=right(60, 100))
    second = measured("second", original=right(100, 100), shuffled=right(59, 100)[::-1])

    text = words_of(page_of(tmp_path, first, second))

    assert (
        "Which run uses the order of frames more cannot be told from these videos: log ratios from 0.51 to 0.53" in text
    )


def test_random_weights_are_not_put_in_order(tmp_path):
    """The scores of two networks that say the same for all classes: 7.9e-07 and 3.09e-09 nats are rounding."""
    alike = {"original": right(25, 100), "shuffled": right(25, 100)}
    first = measured("first", **alike, score=[7.9e-07] * 100)
    second = measured("second", **alike, score=[3.09e-09] * 100)

    text = words_of(page_of(tmp_path, first, second))

    assert "The runs are not put in order: “first” and “second” are no better than guessing." in text
    assert "shuffled nonenone0 [0, 0]" in text
    assert "7.9" not in text
    assert "e-0" not in text


def test_scores_without_labels_are_put_in_order_from_the_resolution_on(tmp_path):
    def scored(name, score):
        run = measured(name, original=right(9, 10), shuffled=right(5, 10), score=score)
        del run.results["modulated_accuracy"]
        return run

    noise = page_of(tmp_path / "a", scored("first", [4e-07] * 10), scored("second", [8e-07] * 10))
    told = page_of(tmp_path / "b", scored("first", [0.2] * 10), scored("second", [1.5] * 10))

    assert "cannot be told from these videos: dynamic score none." in words_of(noise)
    assert "“second” changes its predictions most when frames are shuffled (dynamic score 1.50)" in words_of(told)


def test_runs_are_put_in_order_by_a_user_s_metric_and_lower_is_better(tmp_path, my_lab):
    html = page_of(tmp_path / "page", sure("bold", 0.8), sure("humble", 0.3))

    assert (
        "“humble” is least sure of frozen clips (sureness 30.0 %), “bold” most (80.0 %); difference −50.0 points [−"
        in words_of(html)
    )
    marked = [attrs for tag, attrs in Page(html).tags if attrs.get("title") == "lower is better"]
    assert {attrs["class"] for attrs in marked} == {"lower"}
    assert "−50.0 [" in headline_table([sure("bold", 0.8), sure("humble", 0.3)])


def test_what_cannot_be_told_apart_by_a_user_s_metric_is_not_put_in_order(tmp_path, my_lab):
    unlike = sure("humble", 0.3, data_fingerprint="f2")
    same = words_of(page_of(tmp_path / "same", sure("a", 0.8), sure("b", 0.8)))
    other = words_of(page_of(tmp_path / "other", sure("bold", 0.8), unlike))

    assert "Which run is less sure of frozen clips cannot be told from these videos: sureness 80.0 %" in same
    assert "The runs are not put in order: the videos are not the same." in other
