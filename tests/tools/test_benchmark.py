"""The benchmarks run and print what they promise; how fast anything is, is not a test's business."""

import itertools
import json
import re

import pytest

from pvbias.registries import OBJECTIVE
from pvbias.tools.main import main

SLOW_OBJECTIVE = """
import time
import torch
from pvbias.engine import CrossEntropy, Phase
from pvbias.registries import OBJECTIVE

@OBJECTIVE.register()
class Slow(CrossEntropy):
    def phases(self):
        (phase,) = super().phases()
        return [Phase(name=name, modules=phase.modules, loss=self._slow, solver=phase.solver) for name in "ab"]

    def _slow(self, step):
        time.sleep(0.25)
        held = torch.ones(2**25)  # 128 MiB
        return {"loss": torch.nn.functional.cross_entropy(step.recognizer(step.clips), step.labels) + 0 * held.mean()}
"""


def test_decoding_is_timed_beside_a_plain_loop(bar_videos, capsys):
    assert main(["benchmark", "decode", str(bar_videos / "test"), "--clips", "1", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "pvbias" in text
    assert "PyAV" in text


def test_measuring_is_timed_in_all_ways(bar_videos, tmp_path, capsys, monkeypatch):
    """By a clock that ticks faster and faster, so that no two ways take the same time."""
    ticks = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks) ** 3))
    path = tmp_path / "measure.json"
    arguments = ["--data", str(bar_videos / "test.csv"), "--crop-size", "32", "--workers", "0", "--repeats", "1"]
    arguments += ["--model", "r3d_small", "--against", "plain", "--json", str(path), "--set", "NUM_GPUS", "0"]
    assert main(["benchmark", "measure", *arguments]) == 0
    text = capsys.readouterr().out
    assert "8 videos x 1 clips" in text
    ways = ["one pass, 4 variants", "4 separate passes", "forwards alone"]
    ways += ["plain forwards, contiguous", "plain forwards, channels_last_3d"]
    assert list(json.loads(path.read_text())["seconds"]) == ways
    assert [row[""] for row in table(text)] == ways
    base, *others = ([float(row[column]) for column in ("median s", "ratio to one pass")] for row in table(text))
    assert base[1] == 1
    for seconds, ratio in others:
        assert ratio == pytest.approx(seconds / base[0], abs=0.01)


SMALL = ["--models", "r3d_small", "--crop-size", "16", "--batch-size", "2", "--steps", "1", "--set", "NUM_GPUS", "0"]


def table(text):
    """Rows of a printed table, up to the first empty line after it, by column."""
    lines = text.partition("\n\n")[0].splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("---"))
    columns = [match.span() for match in re.finditer("-+", lines[rule])]
    head, *rows = [[line[start:stop].strip() for start, stop in columns] for line in lines[rule - 1 :]]
    return [dict(zip(head, row, strict=True)) for row in rows[1:]]


def test_training_is_timed_in_each_precision_and_memory_format(capsys):
    assert main(["benchmark", "train", *SMALL, "DATA.NUM_FRAMES", "4", "--precisions", "fp32", "bf16"]) == 0
    rows = table(capsys.readouterr().out)
    cases = [(row["precision"], row["memory format"]) for row in rows]
    assert cases == [(p, m) for p in ("fp32", "bf16") for m in ("contiguous", "channels_last_3d")]
    for row in rows:
        assert row["objective"] == "CrossEntropy"
        assert float(row["x CrossEntropy"]) == 1
        assert float(row["median s"]) > 0
        assert float(row["peak MiB"]) > 0
    assert float(rows[0]["x first"]) == 1


def test_training_is_timed_beside_a_plain_loop(tmp_path, capsys):
    path = tmp_path / "steps.json"
    arguments = ["--precisions", "fp32", "--memory-formats", "contiguous", "--against", "plain", "--json", str(path)]
    assert main(["benchmark", "train", *SMALL, "DATA.NUM_FRAMES", "4", *arguments]) == 0
    rows = table(capsys.readouterr().out)
    cases = [(row["objective"], row["memory format"]) for row in rows]
    assert cases == [("CrossEntropy", "contiguous"), ("plain", "contiguous"), ("plain", "channels_last_3d")]
    assert min(float(row["x plain"]) for row in rows[1:]) == 1
    (comparison,) = json.loads(path.read_text())["comparisons"]
    for row, case in zip(rows, comparison["cases"], strict=True):
        (seconds,) = case["seconds"]
        share = comparison["work"]["traffic"] / comparison["limits"]["traffic"] / seconds
        assert float(row["% memory"]) == pytest.approx(100 * share, abs=0.06)
        assert float(row["peak MiB"]) == pytest.approx(case["peak_mib"], abs=0.6)


def test_objectives_and_transforms_are_timed_beside_cross_entropy(tmp_path, monkeypatch, capsys):
    (tmp_path / "slow_objective.py").write_text(SLOW_OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    restore = OBJECTIVE.snapshot()
    try:
        keys = ["PLUGINS", "['slow_objective']", "DATA.NUM_FRAMES", "4", "STUDENT.NAME", "mobilenet_v3_small"]
        beside = ["--objectives", "Slow", "DRLDistill", "Rev2Net", "--transforms", "mixup"]
        assert main(["benchmark", "train", *SMALL, *keys, *beside]) == 0
    finally:
        restore()
    plain, slow, distill, _, mixed = table(capsys.readouterr().out)  # the last one's steps have optical flow, too
    assert (plain["objective"], slow["objective"]) == ("CrossEntropy", "Slow")
    assert mixed["objective"] == "CrossEntropy after mixup"
    assert (plain["precision"], plain["memory format"]) == ("fp32", "channels_last_3d")
    # Two phases of 0.25 s beside what CrossEntropy takes, and 128 MiB.
    assert float(slow["median s"]) > 0.5
    assert float(slow["x CrossEntropy"]) > 1
    assert plain["x parts"] == slow["x parts"] == ""  # they have no student
    assert float(distill["x parts"]) > 0
    assert float(slow["peak MiB"]) > float(plain["peak MiB"]) + 100


def test_an_unknown_objective_is_an_error_with_the_near_names(capsys):
    assert main(["benchmark", "train", *SMALL, "--objectives", "CrossEntropi"]) == 2
    assert "'CrossEntropy'" in capsys.readouterr().err


def test_generating_is_timed_beside_the_plain_way(capsys):
    arguments = ["--size", "32", "--frames", "4", "--videos", "3", "--repeats", "1", "DECOUPLED.FRAMES", "10"]
    assert main(["benchmark", "generate", *arguments]) == 0
    text = capsys.readouterr().out
    for way in ("BrushMNIST", "Places+Faces+MNIST", "plain search (10 frames)"):
        assert way in text


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["decod"], 2)])
def test_the_front(arguments, code, capsys):
    assert main(["benchmark", *arguments]) == code
