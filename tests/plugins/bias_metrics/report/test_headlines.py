"""Headlines and readings of this plugin's figures."""

from dataclasses import replace

import pytest

from pvbias.evaluation import Figure
from pvbias.report.cards import cards
from pvbias.report.console import headline_table

from ....report.runs import accuracy_figures, labelled_run, unlabelled_run, with_students


def readings_of(run):
    (card,) = cards([run])
    return {reading.topic: reading.verdict for reading in card.readings}


def titles_of(run):
    (card,) = cards([run])
    return [number.title for number in card.numbers]


def test_headlines_in_the_order_of_the_paper_s_table_2():
    assert titles_of(with_students(labelled_run(), distilled=0.3, bias=1.9)) == [
        "top-1 accuracy",
        "log ratio, shuffled",
        "dynamic score, distilled",
        "dynamic score, frozen",
        "dynamic score, shuffled",
        "dataset bias",
    ]


def test_a_clip_frozen_to_another_frame_says_which():
    run = labelled_run()
    middle, *others = run.results["dynamic_score"].figures
    run.results["dynamic_score"].figures = [replace(middle, variant="freeze_first"), *others]

    assert "dynamic score, frozen to its first frame" in titles_of(run)


def test_readings():
    assert readings_of(labelled_run()) == {
        "The order of frames": "Uses the order of frames, but leans on appearance",
        "Predictions without motion": "Predictions change a lot",
    }
    assert readings_of(unlabelled_run()) == {"Predictions without motion": "Predictions change a lot"}


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        (("dynamic_score", "dynamic_score_distill"), "Predictions change a lot"),  # frozen comes before distilled
        (("dynamic_score_distill",), "Single frames explain part of the predictions"),
        (("dataset_bias",), None),
    ],
)
def test_what_is_read_where_there_is_less(left, verdict):
    run = with_students(labelled_run(), distilled=0.3, bias=1.9)
    run.results = {name: run.results[name] for name in left}

    assert readings_of(run).get("Predictions without motion") == verdict


def test_shuffled_clips_are_read_where_no_frozen_ones_were_measured():
    run = labelled_run()
    run.results["dynamic_score"].figures = run.results["dynamic_score"].figures[1:2]

    assert readings_of(run)["Predictions without motion"] == "Predictions hardly notice"


def test_accuracies_of_different_levels_are_not_read_together():
    """Shuffled at clip level only: there is nothing to hold against the video-level accuracy."""
    run = labelled_run()
    figures = accuracy_figures({"original": 64.3, "shuffle": 32.7})
    run.results["modulated_accuracy"].figures = [
        figure for figure in figures if figure.level == "clip" or figure.variant != "shuffle"
    ]

    assert "The order of frames" not in readings_of(run)


def test_a_guessing_model_s_scores_are_read_with_a_caveat():
    run = labelled_run()
    run.results["modulated_accuracy"].figures = accuracy_figures({"original": 25.2, "shuffle": 25.0})

    (card,) = cards([run])
    _, motion = card.readings
    assert "no better than guessing" in motion.caveat


def test_an_undefined_ratio_is_a_headline_too():
    run = labelled_run()
    undefined = Figure(name="log_ratio", value=None, unit="log ratio", level="video", variant="shuffle", note="why")
    run.results["modulated_accuracy"].figures = [undefined]

    assert "undefined" in headline_table([run])


def test_each_headline_has_its_unit():
    (card,) = cards([with_students(labelled_run(), distilled=0.3, bias=1.9)])
    assert {number.title: (number.value, number.unit) for number in card.numbers} == {
        "top-1 accuracy": ("64.3", "%"),
        "log ratio, shuffled": ("0.68", ""),
        "dynamic score, distilled": ("0.300", "nats"),
        "dynamic score, frozen": ("1.50", "nats"),
        "dynamic score, shuffled": ("0.050", "nats"),
        "dataset bias": ("1.90", "nats"),
    }
    table = headline_table([labelled_run()])
    for title in ("top-1 accuracy, %", "log ratio, shuffled ", "dynamic score, frozen, nats"):
        assert title in table


def test_a_score_is_read_with_the_agreement_of_the_same_clips():
    (card,) = cards([labelled_run()])
    (motion,) = (reading for reading in card.readings if reading.topic == "Predictions without motion")
    assert "The first choice stays the same for 40 % of the videos" in motion.explanation
