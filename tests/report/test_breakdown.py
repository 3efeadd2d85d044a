"""Figures by attribute, against hand-worked cases and the figures themselves."""

import csv
import json

import numpy as np
import pytest
from torch import nn

import pvbias
from pvbias.errors import DataError
from pvbias.evaluation.results import Figure, Result
from pvbias.evaluation.statistics import log_ratio, mean_figures, proportion_interval
from pvbias.plugin_loading import load_plugins
from pvbias.report import read_predictions, write_report, write_results
from pvbias.report.breakdown import BREAKDOWN, break_down, groups
from pvbias.report.results import read_videos

from .runs import labelled_run

load_plugins()  # whose metrics say how log ratios follow from accuracies

BOOTSTRAP = {"samples": 200, "seed": 3}
EVALUATOR = "modulated_accuracy"


def result(top1, shuffled, score):
    """What an evaluator would say of videos that are right so often, and have such scores."""
    templates = [
        Figure(name="top1", value=None, unit="%", level="video"),
        Figure(name="top1", value=None, unit="%", level="video", variant="shuffle"),
        Figure(name="score", value=None, unit="nats", level="video", variant="shuffle"),
    ]
    figures = mean_figures(templates[:2], np.array([top1, shuffled]).T, **BOOTSTRAP)
    figures += mean_figures(templates[2:], np.array([score]).T, **BOOTSTRAP)
    ratio = log_ratio(np.array(top1), np.array(shuffled), **BOOTSTRAP)
    figures.append(
        Figure(
            name="log_ratio",
            value=ratio.value,
            unit="log ratio",
            level="video",
            variant="shuffle",
            interval=ratio.interval,
            count=len(top1),
        )
    )
    figures.append(Figure(name="weight", value=1.5, unit="", level="model"))
    return {EVALUATOR: Result(figures=figures)}


def rows_of(table, figure, variant="original"):
    return {row["group"]: row for row in table if (row["figure"], row["variant"]) == (figure, variant)}


def test_by_hand():
    """Three videos in the kitchen, two of them right; one in the street, right; one without a scene, wrong. Shuffled,
    one of the kitchen is right, and the street."""
    results = result([1, 1, 0, 1, 0], [1, 0, 0, 1, 0], [0.5, 1.0, 1.5, 2.0, 4.0])
    scenes = ["kitchen", "kitchen", "kitchen", "street", None]
    table = break_down(results, {"scene": scenes}, [True] * 5, **BOOTSTRAP).tables["scene"]
    top1 = rows_of(table, "top1")
    assert [(row["group"], row["videos"], row["value"]) for row in top1.values()] == [
        ("kitchen", 3, pytest.approx(200 / 3)),
        ("street", 1, 100.0),
        ("(none)", 1, 0.0),
    ]
    low, high = proportion_interval(np.array([1, 1, 0]))
    assert (top1["kitchen"]["low"], top1["kitchen"]["high"]) == (pytest.approx(100 * low), pytest.approx(100 * high))
    assert (top1["street"]["low"], top1["street"]["note"]) == (None, "fewer than 10 videos")
    assert rows_of(table, "score", "shuffle")["kitchen"]["value"] == pytest.approx(1.0)
    ratio = rows_of(table, "log_ratio", "shuffle")
    assert ratio["kitchen"]["value"] == pytest.approx(np.log(2))
    assert ratio["street"]["value"] == 0
    assert ratio["(none)"]["value"] is None
    assert "both accuracies are 0" in ratio["(none)"]["note"]
    assert not rows_of(table, "weight"), "of the model, not of videos"


def test_the_weighted_mean_of_the_groups_is_the_figure():
    rng = np.random.default_rng(0)
    top1, shuffled, score = rng.random((3, 500))
    results = result(top1, shuffled, score)
    attributes = {
        "text": [None if value < 0.1 else f"scene {int(40 * value)}" for value in rng.random(500)],
        "number": [None if value < 0.05 else float(value) for value in rng.random(500)],
        "flag": [bool(value < 0.3) for value in rng.random(500)],
    }
    tables = break_down(results, attributes, [True] * 500, **BOOTSTRAP).tables
    for table in tables.values():
        for figure in results[EVALUATOR].figures[:3]:
            rows = rows_of(table, figure.name, figure.variant).values()
            assert sum(row["videos"] for row in rows) == 500
            mean = sum(row["videos"] * row["value"] for row in rows) / 500
            assert mean == pytest.approx(figure.value)


def test_a_group_of_all_videos_has_the_figures_themselves():
    rng = np.random.default_rng(1)
    results = result(*rng.random((3, 60)))
    table = break_down(results, {"one": ["x"] * 60}, [True] * 60, **BOOTSTRAP).tables["one"]
    for figure in results[EVALUATOR].figures[:4]:
        row = rows_of(table, figure.name, figure.variant)["x"]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((figure.value, *figure.interval))
        assert (row["videos"], row["note"]) == (60, "")


def test_figures_of_labelled_videos_only():
    labelled = [True, False, True, False, True]
    results = result([1, 0, 1], [1, 0, 1], [1, 2, 3])
    table = break_down(results, {"scene": list("aabbb")}, labelled, **BOOTSTRAP).tables["scene"]
    found = rows_of(table, "top1")
    assert [(found[group]["videos"], found[group]["value"]) for group in "ab"] == [(1, 100.0), (2, 50.0)]
    table = break_down(results, {"scene": list("acbbb")}, labelled, **BOOTSTRAP).tables["scene"]
    assert set(rows_of(table, "top1")) == {"a", "b"}, "c has no video with a label"
    assert break_down(results, {"scene": []}, [], **BOOTSTRAP).not_applicable


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["b", "a", None, "b"], {"a": [1], "b": [0, 3], "(none)": [2]}),
        (["place 10", "place 9"], {"place 9": [1], "place 10": [0]}),
        ([10, 9, -1.5, 9.0], {"-1.5": [2], "9": [1, 3], "10": [0]}),
        ([True, False, True], {"False": [1], "True": [0, 2]}),
        ([1, "a", 1], {"1": [0, 2], "a": [1]}),
        (
            list(range(16)),
            {"0 to 3": [0, 1, 2, 3], "4 to 7": [4, 5, 6, 7], "8 to 11": [8, 9, 10, 11], "12 to 15": [12, 13, 14, 15]},
        ),
        ([0] * 24 + list(range(1, 17)), {"0": [*range(24)], "1 to 6": [*range(24, 30)], "7 to 16": [*range(30, 40)]}),
    ],
)
def test_groups(values, wanted):
    assert {group.name: group.members.tolist() for group in groups(values)} == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1234567.0, 1234568.0, 0.5], {"0.5": 1, "1234567": 1, "1234568": 1}),
        ([20230101.25, 20230102.25, 20230101.25], {"20230101.25": 2, "20230102.25": 1}),
        ([0.0, -0.0, 0, 1e20], {"0": 3, "1e+20": 1}),
        (["(none)", None, "a", None], {"(none)": 1, "a": 1, "((none))": 2}),
        (["other (1 values)"] * 2 + [*map(str, range(20))], {"other (1 values)": 2, "(other (1 values))": 1}),
        ([1e6 + n / 8 for n in range(13)], {"1000000 to 1000000.375": 4}),
    ],
)
def test_no_two_groups_have_one_name_and_no_two_values_one_group(values, wanted):
    found = groups(values)
    sizes = {group.name: len(group.members) for group in found}
    assert len(sizes) == len(found)
    assert wanted.items() <= sizes.items()
    assert sorted(place for group in found for place in group.members) == list(range(len(values)))


def test_rare_texts_are_counted_together():
    values = [f"scene {number}" for number in range(25) for _ in range(1 + (number % 25 < 20))]
    found = groups(values)
    assert [group.name for group in found] == [f"scene {number}" for number in range(20)] + ["other (5 values)"]
    assert sum(len(group.members) for group in found) == len(values)
    assert len(found[-1].members) == 5


def test_files_and_page(tmp_path):
    results = result([1, 1, 0, 1], [1, 0, 0, 1], [0.5, 1.0, 1.5, 2.0])
    attributes = {"scene <b>": ["kitchen", "street", "kitchen", None], "people": [2, None, 1, 7]}
    results[BREAKDOWN] = break_down(results, attributes, [True] * 4, **BOOTSTRAP)
    run = labelled_run(results=results, num_videos=4)
    run.videos, run.attributes = dict.fromkeys("abcd", True), attributes
    path = write_results(tmp_path, run)
    assert {row["group"] for row in json.loads(path.read_text())["results"][BREAKDOWN]["tables"]["people"]} == {
        "1", "2", "7", "(none)",
    }  # fmt: skip
    with open(tmp_path / "tables/breakdown_people.csv") as file:
        assert next(csv.DictReader(file))["group"] == "1"
    assert read_videos(tmp_path).attributes == attributes
    page = write_report(tmp_path).read_text()
    section = page[page.index('id="breakdown"') :].split("</section>")[0]
    assert "scene &lt;b&gt;" in section
    assert "top-1 accuracy, %" in section
    assert "50.0" in section
    assert "kitchen" in section


class Network(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv3d(3, 4, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


def test_a_run_is_broken_down(bar_videos, tmp_path):
    """Against the predictions of each video, by its name; the first one is missing."""
    lines = [line.split() for line in (bar_videos / "test.csv").read_text().splitlines()]
    scenes = {path: ("kitchen", "street", "")[number % 3] for number, (path, _) in enumerate(lines)}
    rows = ["path,label,scene", "missing.mp4,0,street", *(f"{path},{label},{scenes[path]}" for path, label in lines)]
    (tmp_path / "test.csv").write_text("\n".join(rows))
    spec = pvbias.ClipSpec(num_frames=4, sampling_rate=2, crop_size=16, test_crop_size=16, short_side=20)
    keys = "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 BIAS.BOOTSTRAP_SAMPLES 200 "
    keys += f"BIAS.ENABLE False DATA.MAX_BAD_FRACTION 0.5 DATA.PATH_PREFIX {bar_videos} OUTPUT_DIR {tmp_path / 'out'} "
    keys += f"DATA.TEST_SPLIT {tmp_path / 'test.csv'} BIAS.BREAK_DOWN_BY "
    with pytest.raises(DataError, match=r"BREAK_DOWN_BY asks for 'sceen'.*Did you mean 'scene'"):
        pvbias.measure(pvbias.load_cfg(overrides=[*keys.split(), "[sceen]"]), pvbias.Recognizer.wrap(Network(), spec))
    pvbias.measure(pvbias.load_cfg(overrides=[*keys.split(), "[scene]"]), pvbias.Recognizer.wrap(Network(), spec))
    predictions = read_predictions(tmp_path / "out")
    right = predictions.probabilities.argmax(1) == predictions.labels
    table = read_videos(tmp_path / "out").results[BREAKDOWN].tables["scene"]
    found = rows_of([row for row in table if row["level"] == "video"], "top1")
    assert set(found) == {"kitchen", "street", "(none)"}
    for name, row in found.items():
        of_scene = [scenes[path] == name.replace("(none)", "") for path in predictions.names]
        assert row["videos"] == sum(of_scene)
        assert row["value"] == pytest.approx(100 * right[of_scene].mean())
