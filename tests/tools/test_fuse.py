"""`pvbias fuse` on predictions that can be fused by hand."""

import json

import numpy as np
import pytest

from pvbias.evaluation import Figure, Predictions, Result
from pvbias.report import RunResults, read_predictions, read_results, write_results
from pvbias.report.results import read_videos
from pvbias.tools.main import main

#: Two videos of class 0, two of class 1, as one network on RGB and one on flow see them.
NAMES, LABELS = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"], [0, 0, 1, 1]
RGB = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]]  # right, wrong, right, wrong
FLOW = [[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]  # wrong, right, right, wrong
EQUAL = [[0.55, 0.45], [0.65, 0.35], [0.3, 0.7], [0.65, 0.35]]  # their means: right, right, right, wrong


def write_run(
    folder, names, labels, probabilities, class_names=("run", "walk"), variants=None, results=None, **changes
):
    predictions = Predictions(
        names=list(names),
        labels=np.array(labels),
        probabilities=np.array(probabilities, np.float32),
        class_names=list(class_names),
        variants=variants or {},
    )
    run = {
        "name": folder.name,
        "model": f"model of {folder.name}",
        "num_classes": predictions.probabilities.shape[1],
        "num_videos": len(names),
        "data_fingerprint": "f1",
        "views": "1 clips, centre crop",
        "results": {"accuracy": Result(predictions=predictions), **(results or {})},
    }
    write_results(folder, RunResults(**run | changes))
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "rgb", NAMES, LABELS, RGB),
        # In another order, as another annotation might have it.
        write_run(tmp_path / "flow", NAMES[::-1], LABELS[::-1], FLOW[::-1]),
    ]


def fuse(tmp_path, *arguments):
    assert main(["fuse", *map(str, arguments), "--out", str(tmp_path / "fused")]) == 0
    return read_results(tmp_path / "fused"), read_predictions(tmp_path / "fused")


def table(run):
    return {row["run"]: row for row in run.results["late_fusion"].tables["runs"]}


def test_the_mean_of_two_runs(tmp_path, runs, capsys):
    run, fused = fuse(tmp_path, *runs)
    assert fused.names == NAMES
    assert fused.labels.tolist() == LABELS
    assert fused.class_names == ["run", "walk"]
    assert fused.probabilities.dtype == np.float32
    np.testing.assert_allclose(fused.probabilities, EQUAL, atol=1e-6)
    (top1,) = run.results["accuracy"].figures
    assert (top1.name, top1.value, top1.level, top1.variant, top1.count) == ("top1", 75, "video", "original", 4)
    assert {name: row["top1"] for name, row in table(run).items()} == {
        "rgb": 50, "flow": 50, "fused": 75, "gain over rgb": 25
    }  # fmt: skip
    (gain,) = run.results["late_fusion"].figures
    assert (gain.name, gain.value, gain.count) == ("top1_gain", 25, 4)
    assert gain.unit == "points"
    low, high = gain.interval  # of four videos one is gained
    assert -50 < low < 0 < 50 < high < 100
    assert (run.name, run.num_videos, run.num_classes, run.data_fingerprint) == ("fused", 4, 2, "f1")
    assert (run.model, run.views) == ("model of rgb / model of flow", "1 clips, centre crop")
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "fused" / "report.html")
    assert "late fusion" in (tmp_path / "fused" / "report.html").read_text(encoding="utf-8")


#: What the two say of the same videos when their frames are shuffled, and frozen.
SHUFFLED = {"rgb": [[0.8, 0.2]] * 4, "flow": [[0.5, 0.5]] * 4}
FROZEN = {"rgb": [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]], "flow": [[0.5, 0.5]] * 4}


def write_runs_with_variants(folder, **changes):
    results = {name: Result() for name in ("modulated_accuracy", "dynamic_score", "asdt")}
    runs = []
    for name, original in (("rgb", RGB), ("flow", FLOW)):
        logs = {"shuffle": SHUFFLED[name], "reverse": original, "freeze_middle": FROZEN[name]}
        variants = {variant: np.log(np.array(values, np.float32)) for variant, values in logs.items()}
        runs.append(write_run(folder / name, NAMES, LABELS, original, variants=variants, results=results | changes))
    return runs


def test_every_variants_figures_of_the_fused_model(tmp_path):
    """At weights 1 and 3 the fused model says of clips (0.9 + 3 * 0.2) / 4 = 0.375 and so on, and of shuffled ones
    (0.8 + 3 * 0.5) / 4 = 0.575."""
    run, fused = fuse(tmp_path, *write_runs_with_variants(tmp_path), "--weights", 1, 3)
    p = np.array([0.375, 0.775, 0.35, 0.625])
    q = {"shuffle": np.full(4, 0.575), "freeze_middle": np.array([0.6, 0.475, 0.425, 0.55])}
    for variant, expected in q.items():
        np.testing.assert_allclose(np.exp(fused.variants[variant])[:, 0], expected, atol=1e-6)
    found = {
        (evaluator, figure.name, figure.variant): figure.value
        for evaluator in ("dynamic_score", "modulated_accuracy")
        for figure in run.results[evaluator].figures
    }
    assert {figure.level for result in run.results.values() for figure in result.figures} == {"video"}
    for variant in q:
        divergence = p * np.log(p / q[variant]) + (1 - p) * np.log((1 - p) / (1 - q[variant]))
        assert found["dynamic_score", "dynamic_score", variant] == pytest.approx(divergence.mean(), abs=1e-6)
        assert found["dynamic_score", "agreement", variant] == 50  # in b and d; in c and d
    # Right about b and c; shuffled, all are said to be of class 0; frozen, right about a and c.
    top1 = {variant: found["modulated_accuracy", "top1", variant] for variant in ("original", *q, "reverse")}
    assert top1 == {"original": 50, "shuffle": 50, "freeze_middle": 50, "reverse": 50}
    assert found["modulated_accuracy", "log_ratio", "shuffle"] == pytest.approx(0)
    assert run.results["accuracy"].figures[0].value == 50
    assert "asdt" not in run.results  # a measure of weights, of which a fused model has none
    assert {row["level"] for row in run.results["modulated_accuracy"].tables["per_class"]} == {"video"}
    folder = tmp_path / "fused_again"
    assert main(["fuse", str(tmp_path / "fused"), str(tmp_path / "rgb"), "--out", str(folder)]) == 0
    assert set(read_results(folder).results) == {"accuracy", "late_fusion", "modulated_accuracy", "dynamic_score"}


def test_what_the_configuration_of_the_runs_added_is_fused_too(tmp_path):
    """Several random frames, and segments: the score of each draw is 0 where both models say what they said before."""
    draws = ("freeze_random", "freeze(frame=random, draw=1)")
    runs = []
    for name, original in (("rgb", RGB), ("flow", FLOW)):
        said = {"shuffle": original, draws[0]: original, draws[1]: SHUFFLED[name], "shuffle(segments=2)": FROZEN[name]}
        variants = {spec: np.log(np.array(values, np.float32)) for spec, values in said.items()}
        measured = [
            Figure(name="dynamic_score", value=1.0, unit="nats", level="video", variant=variant)
            for variant in ("freeze_random", "shuffle", "shuffle(segments=2)", "of_an_unknown_plugin(size=2)")
        ]
        results = {"dynamic_score": Result(figures=measured)}
        runs.append(write_run(tmp_path / name, NAMES, LABELS, original, variants=variants, results=results))
    run, _ = fuse(tmp_path, *runs, "--weights", 1, 3)
    p = np.array([0.375, 0.775, 0.35, 0.625])
    score = {
        variant: (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
        for variant, q in (("shuffled", 0.575), ("frozen", np.array([0.6, 0.475, 0.425, 0.55])))
    }
    found = {f.variant: f.value for f in run.results["dynamic_score"].figures if f.name == "dynamic_score"}
    assert found["freeze_random"] == pytest.approx(score["shuffled"] / 2, abs=1e-6)
    assert found["shuffle(segments=2)"] == pytest.approx(score["frozen"], abs=1e-6)
    assert set(found) == {"freeze_random", "shuffle", "shuffle(segments=2)"}


def test_variants_that_a_run_has_not_kept(tmp_path):
    first, _ = write_runs_with_variants(tmp_path)
    other = write_run(tmp_path / "older", NAMES, LABELS, FLOW, results={"dynamic_score": Result()})
    run, fused = fuse(tmp_path, first, other)
    assert fused.variants == {}
    assert "freeze_middle, shuffle clips: measure them again" in run.results["dynamic_score"].not_applicable
    assert "modulated_accuracy" not in run.results


def test_weights(tmp_path, runs):
    run, fused = fuse(tmp_path, *runs, "--weights", 1, 3)
    np.testing.assert_allclose(fused.probabilities[0], [(0.9 + 3 * 0.2) / 4, (0.1 + 3 * 0.8) / 4], atol=1e-6)
    assert [row["weight"] for row in table(run).values()] == [1, 3, None, None]
    # The flow decides: right about b and c.
    assert run.results["accuracy"].figures[0].value == 50


def test_only_videos_that_all_runs_have(tmp_path, runs):
    third = write_run(tmp_path / "third", ["b.mp4", "e.mp4", "a.mp4"], [0, 1, 0], [[1, 0], [0, 1], [1, 0]])
    run, fused = fuse(tmp_path, *runs, third)
    assert fused.names == ["a.mp4", "b.mp4"]
    assert [row["left_out"] for row in table(run).values()] == [2, 2, 1, None, None]
    assert {name: row["top1"] for name, row in table(run).items()} == {
        "rgb": 50, "flow": 50, "third": 100, "fused": 100, "gain over third": 0
    }  # fmt: skip
    (top1,) = run.results["accuracy"].figures
    assert (top1.count, top1.note) == (2, "of the 2 videos that all runs have")


def test_parts_of_a_video_share_its_name(tmp_path):
    """Parts are told apart by their order; where a run lacks one, there is no telling which."""
    first = write_run(tmp_path / "first", ["a.mp4", "a.mp4", "b.mp4", "b.mp4"], LABELS, RGB)
    second = write_run(tmp_path / "second", ["b.mp4", "a.mp4", "a.mp4"], [1, 0, 0], [[0, 1], *FLOW[:2]])
    _, fused = fuse(tmp_path, first, second)
    assert fused.names == ["a.mp4", "a.mp4"]
    np.testing.assert_allclose(fused.probabilities, EQUAL[:2], atol=1e-6)


def test_videos_without_a_label_are_fused_and_not_counted(tmp_path):
    labels = [0, -1, 1, -1]
    run, fused = fuse(
        tmp_path,
        write_run(tmp_path / "rgb", NAMES, labels, RGB),
        write_run(tmp_path / "flow", NAMES, labels, FLOW),
    )
    assert fused.labels.tolist() == labels
    np.testing.assert_allclose(fused.probabilities, EQUAL, atol=1e-6)
    (top1,) = run.results["accuracy"].figures
    assert (top1.value, top1.count) == (100, 2)


def test_top5_of_more_than_five_classes(tmp_path):
    ranks = np.arange(7.0)[None] / 21  # class 6 first, class 1 sixth
    runs = [
        write_run(tmp_path / name, ["a", "b"], [2, 1], np.repeat(ranks, 2, axis=0), class_names=())
        for name in ("one", "two")
    ]
    run, _ = fuse(tmp_path, *runs)
    assert {figure.name: figure.value for figure in run.results["accuracy"].figures} == {"top1": 0, "top5": 50}
    assert {figure.name: figure.value for figure in run.results["late_fusion"].figures} == {
        "top1_gain": 0, "top5_gain": 0
    }  # fmt: skip


def test_intervals_are_over_the_videos(tmp_path):
    """1000 coin flips."""
    generator = np.random.default_rng(0)
    right = generator.random(1000) < 0.6
    probabilities = np.where(right[:, None], [[0.8, 0.2]], [[0.2, 0.8]])
    names = [f"{number}.mp4" for number in range(1000)]
    runs = [write_run(tmp_path / name, names, [0] * 1000, probabilities) for name in ("one", "two")]
    run, _ = fuse(tmp_path, *runs)
    (top1,) = run.results["accuracy"].figures
    (gain,) = run.results["late_fusion"].figures
    half = 196 * (0.6 * 0.4 / 1000) ** 0.5  # normal approximation, points
    assert top1.value == pytest.approx(100 * right.mean())
    assert top1.interval == pytest.approx((top1.value - half, top1.value + half), abs=0.3)
    # Paired: what is equal video by video differs by little, however random each of them is; Wilson's of 0 of 1000.
    end = 100 * 1.96**2 / (1000 + 1.96**2)
    assert gain.value == 0
    assert gain.interval == pytest.approx((-end, end), abs=1e-3)


def test_it_can_be_compared_with_its_runs(tmp_path, runs):
    fuse(tmp_path, *runs)
    assert main(["compare", *runs, str(tmp_path / "fused"), "--out", str(tmp_path / "compared")]) == 0
    assert "late fusion" in (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    document = json.loads((tmp_path / "fused" / "results.json").read_text(encoding="utf-8"))
    assert document["run"]["weights"] == "late fusion of rgb (weight 1), flow (weight 1)"


def test_runs_of_one_name_go_by_their_folders(tmp_path):
    runs = [write_run(tmp_path / name / "best", NAMES, LABELS, RGB) for name in ("one", "two")]
    run, _ = fuse(tmp_path, *runs)
    assert [*table(run)][:2] == runs


def change(**changes):
    """Arguments of :func:`write_run` that differ from the RGB run's."""
    return {"names": NAMES, "labels": LABELS, "probabilities": RGB, **changes}


@pytest.mark.parametrize(
    ("other", "messages"),
    [
        (change(probabilities=[[0.5, 0.3, 0.2]] * 4), ["rgb tells 2 classes apart and other 3"]),
        (change(class_names=["run", "jump"]), ["Class 1 is 'walk' in rgb and 'jump' in other"]),
        (change(labels=[0, 1, 1, 0]), ["2 videos have other labels in other than in rgb", "'b.mp4' has 1 and 0"]),
        (change(names=["x", "y", "z", "w"]), ["no video in common", "rgb: 'a.mp4', ...; other: 'x', ..."]),
    ],
    ids=["number of classes", "names of classes", "labels", "videos"],
)
def test_runs_that_do_not_go_together(tmp_path, capsys, other, messages):
    runs = [write_run(tmp_path / "rgb", NAMES, LABELS, RGB), write_run(tmp_path / "other", **other)]
    assert main(["fuse", *runs, "--out", str(tmp_path / "fused")]) == 3
    error = capsys.readouterr().err
    assert all(message in error for message in messages)
    assert not (tmp_path / "fused").exists()


def test_runs_without_labels_or_predictions(tmp_path, runs, capsys):
    unlabelled = [write_run(tmp_path / name, NAMES, [-1] * 4, RGB) for name in ("one", "two")]
    assert main(["fuse", *unlabelled, "--out", str(tmp_path / "fused")]) == 3
    assert "None of the 4 videos that all runs have has a label" in capsys.readouterr().err
    old = tmp_path / "old"
    figures = [Figure(name="top1", value=50.0, unit="%", level="video")]
    results = {"accuracy": Result(figures=figures)}
    write_results(
        old, RunResults(name="old", model="m", num_classes=2, num_videos=4, data_fingerprint="f1", results=results)
    )
    assert main(["fuse", runs[0], str(old), "--out", str(tmp_path / "fused")]) == 3
    assert f"{old / 'predictions.npz'} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rgb"], "at least two runs"),
        (["rgb", "flow", "--weights", "1"], "2 runs and 1 weights"),
        (["rgb", "flow", "--weights", "1", "-1"], "above 0"),
        (["rgb", "flow", "--weights", "1", "nan"], "above 0"),
        (["rgb", "flow", "--out", "flow"], "is one of the runs"),
    ],
)
def test_a_wrong_command_line(tmp_path, runs, capsys, arguments, message):
    placed = [str(tmp_path / word) if word in ("rgb", "flow") else word for word in arguments]
    with pytest.raises(SystemExit) as error:
        main(["fuse", "--out", str(tmp_path / "fused"), *placed])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_fused_run_can_be_compared_video_by_video(tmp_path, runs):
    fuse(tmp_path, *runs)

    fused = read_videos(tmp_path / "fused")

    assert list(fused.videos) == NAMES
    (top1,) = fused.results["accuracy"].figures
    assert top1.values.tolist() == [1, 1, 1, 0]


def test_the_results_of_another_run_are_not_replaced_and_those_of_a_fusion_are(tmp_path, runs, capsys):
    other = tmp_path / "other"
    write_run(other, NAMES, LABELS, RGB)

    assert main(["fuse", *runs, "--out", str(other)]) == 2
    assert "holds the results of a run" in capsys.readouterr().err
    assert read_results(other).model == "model of other"

    fuse(tmp_path, *runs, "--weights", 1, 3)
    run, _ = fuse(tmp_path, *runs)
    assert table(run)["flow"]["weight"] == 1
