"""Accuracy within pairs of classes that are each other's reversal."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.temporal_dependence import ReversedPair, ReversedPairs, find_pairs, known_lists, read_pairs

from .toys import Apart, Still, config, feed, moving, recognizer

NAMES = ("moving something up", "Moving_Something_Down")
ANNOTATIONS = Path(os.environ.get("PVBIAS_REAL_DATA", "")) / "annotations"


def videos(count):
    return [moving(number, (1, -1)[number % 2], 1) for number in range(count)], [n % 2 for n in range(count)]


def test_a_network_that_sees_the_direction_and_one_that_does_not():
    found, result = feed(ReversedPairs(config(), recognizer(Apart(1)), NAMES), *videos(12))
    assert found["within_pairs", "video", "original"].value == 100
    assert found["within_pairs", "video", "reverse"].value == 0
    (row,) = result.tables["pairs"]
    assert (row["class"], row["reversed"], row["quality"], row["videos"]) == (*NAMES[::-1], "exact", 12)
    assert (row["within"], row["played_backwards"]) == (100, 0)
    assert row["within_low"] == pytest.approx(75.75, abs=0.1)  # Wilson's of 12 of 12
    still, _ = feed(ReversedPairs(config(), recognizer(Still()), NAMES), *videos(12))
    assert still["within_pairs", "video", "reverse"].value == still["within_pairs", "video", "original"].value


def test_guessing_gets_half_and_its_interval_covers_it():
    """95 % of Wilson's intervals of random scores should; videos of other classes, or without a label, do not count."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        evaluator = ReversedPairs(config(), recognizer(Apart(1)), NAMES)
        evaluator.rows = {i: (i % 2, tuple(row)) for i, row in enumerate(generator.integers(2, size=(20, 6)).tolist())}
        low, high = evaluator.evaluate().figures[1].interval
        covered += low <= 50 <= high
    assert covered >= 52
    found, _ = feed(ReversedPairs(config(), recognizer(Apart(1)), NAMES), videos(3)[0], [0, None, 1])
    assert found["within_pairs", "video", "original"].count == 2


def test_a_network_that_says_one_class_of_a_pair_gets_half_however_many_videos_that_has():
    evaluator = ReversedPairs(config(), recognizer(Apart(1)), NAMES)
    evaluator.rows = {i: (int(i >= 9), (float(i < 9),) * 6) for i in range(12)}  # nine of a class, and right; three
    result = evaluator.evaluate()
    (row,) = result.tables["pairs"]
    found = {(figure.level, figure.variant): figure for figure in result.figures}["video", "original"]
    # Wilson's of 4.5 of 9: 12^2 / (9 (12 / 18)^2 + 3 (12 / 6)^2) = 9 equally weighted videos.
    assert (found.value, found.count, row["within"], row["videos"]) == (50, 12, 50, 12)
    assert found.interval == pytest.approx((row["within_low"], row["within_high"]))
    assert found.interval == pytest.approx((22.65, 77.35), abs=0.01)
    assert found.values is None  # it is no mean over videos


def test_a_pair_of_which_one_class_alone_has_videos_is_left_out():
    names = (*NAMES, "opening something", "closing something")
    evaluator = ReversedPairs(config(), recognizer(Apart(1)), names)
    evaluator.rows = {i: (label, (credit,) * 6) for i, (label, credit) in enumerate([(0, 1.0), (1, 1.0), (2, 0.0)])}
    result = evaluator.evaluate()
    assert [(figure.value, figure.count) for figure in result.figures] == [(100, 2)] * 6
    assert "1 videos are left out" in result.figures[0].note
    assert len(result.tables["pairs"]) == 1
    evaluator.rows = {0: (2, (1.0,) * 6)}
    assert "only one of the two" in evaluator.evaluate().not_applicable


def test_pairs_are_those_of_which_both_classes_are_there_in_any_spelling():
    assert find_pairs(["waving", *NAMES]) == [ReversedPair(2, 1, "exact")]
    assert find_pairs(["waving", "Opening door", "closing_door", "opening something"]) == [ReversedPair(1, 2, "exact")]
    assert (
        "lists that come with pvbias"
        in ReversedPairs(config(), recognizer(Still()), ("a", "b")).evaluate().not_applicable
    )
    assert "have no names" in ReversedPairs(config(), recognizer(Still()), ()).evaluate().not_applicable


def test_a_list_of_ones_own(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("# mine\nclass,reversed\nsit down,stand up\n")
    assert find_pairs(["Stand up", "run", "sit down"], path) == [ReversedPair(2, 0)]
    with pytest.raises(ConfigError, match="no class 'stand up'"):
        find_pairs(["run", "sit down"], path)
    for twice in ("sit down,Sit Down\n", "sit down,stand up\nSit Down,run\n"):
        path.write_text(f"class,reversed\n{twice}")
        with pytest.raises(ConfigError, match="there twice"):
            find_pairs(["Stand up", "run", "sit down"], path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sit,stand\n", "first line"),
        ("class,reversed\nsit,stand\nsit,run\n", "'sit' is in two pairs"),
        ("class,reversed\nsit,sit\n", "'sit' is in two pairs"),
        ("class,reversed\nsit\n", "is empty"),
    ],
)
def test_lists_that_are_wrong(tmp_path, text, said):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_pairs(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")


def test_lists_that_come_with_the_plugin_are_read():
    pairs = {path.stem: read_pairs(path) for path in known_lists()}
    assert {name: len(own) for name, own in pairs.items()} == {
        "hmdb51": 1,
        "jester": 10,
        "kinetics": 2,
        "ntu60": 6,
        "something_something": 19,
    }
    assert {quality for own in pairs.values() for _, _, quality in own} == {"exact", "near"}


def official(name):
    """Class names as their data sets write them."""
    lists = {
        "hmdb51": "label_maps/hmdb51_label_map.txt",
        "jester": "label_maps/jester_label_map.txt",
        "kinetics": "kinetics/label_map_k700.txt",
        "ntu60": "label_maps/ntu60_label_map.txt",
    }
    if name == "something_something":
        return list(json.loads((ANNOTATIONS / "ssv2/labels.json").read_text()))
    with (ANNOTATIONS / lists[name]).open() as file:
        return [",".join(row) for row in csv.reader(file, quotechar="\0")]


@pytest.mark.skipif(not (ANNOTATIONS / "ssv2").is_dir(), reason="PVBIAS_REAL_DATA names no annotations")
@pytest.mark.parametrize("path", known_lists(), ids=lambda path: path.stem)
def test_every_class_of_the_lists_is_one_of_its_data_set(path):
    names = set(official(path.stem))
    assert [name for pair in read_pairs(path) for name in pair[:2] if name not in names] == []
