"""A measurement that is killed goes on where it was, and nothing tells afterwards that it was killed."""

import contextlib
import dataclasses
import json
import logging
import pickle
import random
from collections import namedtuple
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat

import numpy as np
import pytest
import torch
import torch.distributed as dist

import pvbias
from pvbias.data.attributes import Attributes
from pvbias.errors import ConfigError
from pvbias.evaluation import Accuracy, Evaluator, Result, SampleClips, measure_shard
from pvbias.evaluation.partial import ChunkResult, ChunkWriter, read_chunks
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR
from pvbias.shard import Shard

from .toys import SETTINGS, SPEC, Keep, NoiseSource, Small, assert_same_rows, config, measure, recognizer

#: Chunks of two videos: three views each, batches of four, at least 64 chunks.
NUM_VIDEOS, BAD = 130, (5, 17, 18)


class Killed(BaseException):
    """Nothing catches it."""


class KeepUntil(Keep):
    """Keeps what it is given, and dies of its ``life``-th video."""

    def __init__(self, cfg, model, life):
        super().__init__(cfg, model, ("original", "shuffle"))
        # An iterator: a number would tell one attempt from the other, as an option of an evaluator does.
        self.left = iter(range(life - 1)) if life else repeat(0)

    def process(self, video, outputs):
        if next(self.left, None) is None:
            raise Killed
        super().process(video, outputs)


def attempt(folder, life=0, *, cfg=None, model=None, source=None, kept=True):
    """Measure, and die of the ``life``-th video if that is not 0.

    Returns:
        Results, rows and the names of the videos that were opened; the first two None when killed.
    """
    cfg, model, source = cfg or config(), model or recognizer(), source or NoiseSource(BAD, NUM_VIDEOS)
    keep = KeepUntil(cfg, model, life)
    evaluators = {"keep": keep, "accuracy": Accuracy(cfg, model, ()), "samples": SampleClips(cfg, model, ())}
    where = folder / "partial" if kept else None
    try:
        results = measure(folder, cfg, evaluators, model=model, source=source, keep=where)
    except Killed:
        return None, None, source.opened
    return results, keep.rows, source.opened


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Measured in one go."""
    return attempt(tmp_path_factory.mktemp("whole"), kept=False)


def assert_same(found, expected):
    assert found[0]["accuracy"].figures == expected[0]["accuracy"].figures
    assert found[0]["accuracy"].tables == expected[0]["accuracy"].tables
    np.testing.assert_array_equal(
        found[0]["accuracy"].predictions.probabilities, expected[0]["accuracy"].predictions.probabilities
    )
    assert found[0]["samples"] == expected[0]["samples"]
    assert_same_rows(found[1], expected[1])


def files(folder):
    return sorted((folder / "partial").glob("*/*.parts"))


def test_killed_and_killed_again_it_ends_with_the_same_figures(tmp_path, whole):
    opened = []
    for life in random.Random(0).choices(range(1, 26), k=5):
        results, _, names = attempt(tmp_path, life)
        assert results is None
        opened += names
    found = attempt(tmp_path)
    opened += found[2]
    assert_same(found, whole)
    assert set(opened) == set(whole[2])
    assert len(opened) <= NUM_VIDEOS + 5 * 2  # a kill costs no more than the chunk of two that it hit
    listed = [json.loads(line)["name"] for line in (tmp_path / "bad_videos.jsonl").read_text().splitlines()]
    assert sorted(listed) == sorted(f"{index}.mp4" for index in BAD)


def test_parts_without_any_connection_come_together(tmp_path, whole):
    """Three jobs; one is killed and comes back, one never does its part: the last run measures that."""

    def part(index, life=0):
        cfg, model, source = config(), recognizer(), NoiseSource(BAD, NUM_VIDEOS)
        evaluators = {
            "keep": KeepUntil(cfg, model, life),
            "accuracy": Accuracy(cfg, model, ()),
            "samples": SampleClips(cfg, model, ()),
        }
        with contextlib.suppress(Killed):
            measure_shard(cfg, model, source, evaluators, Shard(index, 3), settings=SETTINGS, keep=tmp_path / "partial")
        return source.opened

    killed = part(0, life=20)
    first, last = part(0), part(2)
    assert 20 <= len(killed) < 40
    assert len(set(killed) & set(first)) <= 2, "no more than the chunk that the kill hit"
    assert not set(last) & {*killed, *first}
    assert {len({*killed, *first}), len(last)} <= {42, 43, 44}
    assert not (tmp_path / "bad_videos.jsonl").exists()
    found = attempt(tmp_path)
    assert set(found[2]) == set(whole[2]) - {*killed, *first, *last}
    assert_same(found, whole)
    listed = [json.loads(line)["name"] for line in (tmp_path / "bad_videos.jsonl").read_text().splitlines()]
    assert sorted(listed) == sorted(f"{index}.mp4" for index in BAD)


def test_what_trains_first_is_not_measured_in_parts(tmp_path):
    class Training(Keep):
        def __init__(self, cfg, model, modulations):
            super().__init__(cfg, model, modulations)
            self.needs |= Needs(splits=("train",))

        def prepare(self, context):
            raise AssertionError("each job would")

    cfg, model = config(), recognizer()
    evaluators = {"training": Training(cfg, model, ("original",))}
    with pytest.raises(ConfigError, match="training trains something"):
        measure_shard(cfg, model, NoiseSource(), evaluators, Shard(0, 2), settings=SETTINGS, keep=tmp_path)


def test_a_measurement_that_was_through_reads_no_video(tmp_path, whole):
    """What is left are the figures: other resamples, another limit of bad videos, another number of workers."""
    attempt(tmp_path)
    cfg = config(workers=0)
    cfg.BIAS.BOOTSTRAP_SAMPLES, cfg.DATA.MAX_BAD_FRACTION, cfg.DATA_LOADER.NUM_WORKERS = 200, 0.2, 1
    results, rows, opened = attempt(tmp_path, cfg=cfg)
    assert opened == []
    assert_same_rows(rows, whole[1])
    assert [f.value for f in results["accuracy"].figures] == [f.value for f in whole[0]["accuracy"].figures]


def other_weights():
    model = recognizer()
    with torch.no_grad():
        model.module.norm.running_mean[1] += 1e-6
    return {"model": model}


def other_network():
    return {"model": pvbias.Recognizer(torch.nn.Sequential(Small()), clip_spec=SPEC, head="0.head")}


def other_key(node, key, value):
    cfg = config()
    cfg[node][key] = value
    return {"cfg": cfg}


def other_labels():
    source = NoiseSource(BAD, NUM_VIDEOS)
    source.records[-1] = pvbias.data.VideoRecord(path="129.mp4", name="129.mp4", label=2)
    return {"source": source}


def other_attributes():
    source = NoiseSource(BAD, NUM_VIDEOS)
    source.records[-1] = dataclasses.replace(source.records[-1], attributes={"scene": "kitchen"})
    return {"source": source}


@pytest.mark.parametrize(
    "other",
    [
        other_weights,
        other_network,
        other_labels,
        other_attributes,
        lambda: other_key("DATA", "SAMPLING_RATE", 1),
        lambda: other_key("TEST", "BATCH_SIZE", 8),
    ],
)
def test_what_is_of_another_measurement_is_not_used(tmp_path, caplog, other):
    attempt(tmp_path, 100)
    options = other()
    with caplog.at_level(logging.INFO):
        *_, opened = attempt(tmp_path, 3, **options)
    assert opened[0] == "0.mp4"
    assert "measuring starts anew" in caplog.text


def test_what_is_of_other_code_is_not_used(tmp_path, monkeypatch):
    """The evaluator was mended after the kill: rows of its former self are not mixed with new ones."""
    (tmp_path / "their_lab.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    opened = []
    for version in (CODE, CODE, CODE + "# mended\n"):
        (tmp_path / "their_lab.py").write_text(version)
        import their_lab

        cfg, model, source = config(), recognizer(), NoiseSource(num_videos=4)
        evaluators = {"theirs": their_lab.Theirs(cfg, model, ())}
        measure(tmp_path, cfg, evaluators, model=model, source=source, keep=tmp_path / "partial")
        opened.append(len(source.opened))
    assert opened == [4, 0, 4]


class Scale(Evaluator):
    """Keeps a number that an option, an array, or a network that it prepares gives."""

    def __init__(self, cfg, model, **held):
        super().__init__(cfg, model, ())
        self.needs = held.pop("needs", Needs(modulations=("original",)))
        self.prepared = held.pop("prepared", None)
        vars(self).update(held)

    def prepare(self, context):
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.network.weight, self.prepared())

    def process(self, video, outputs):
        self.rows[video.index] = self.network.weight.item()

    def evaluate(self):
        return Result(not_applicable="")


def constant(value):
    """What no fingerprint sees into."""
    return lambda: value


@pytest.mark.parametrize(
    "other",
    [
        {"option": 2},
        {"options": {"layers": [1, 3]}},
        {"table": np.array([1.0, 3.0])},
        {"tensor": torch.tensor([1, 3])},
        {"needs": Needs(modulations=("original",), features=("embedding",))},
        {"prepared": constant(3.0)},
    ],
)
def test_what_an_evaluator_of_another_kind_has_kept_is_not_used(tmp_path, other):
    """Other options, or another network that it has prepared: the same class and code nevertheless."""
    cfg, model = config(), recognizer()
    same = {"option": 1, "options": {"layers": [1, 2]}, "table": np.array([1.0, 2.0]), "tensor": torch.tensor([1, 2])}
    opened = []
    for changed in ({}, {}, other):
        source = NoiseSource(num_videos=4)
        made = Scale(cfg, model, **{"prepared": constant(2.0), **same, **changed})
        measure(tmp_path, cfg, {"scale": made}, model=model, source=source, keep=tmp_path / "partial")
        opened.append(len(source.opened))
    assert opened == [4, 0, 4]


def test_a_shard_prepares_its_evaluators(tmp_path):
    cfg, model = config(), recognizer()
    for index in range(2):
        evaluators = {"scale": Scale(cfg, model, prepared=constant(2.0))}
        source = NoiseSource(num_videos=6)
        measure_shard(cfg, model, source, evaluators, Shard(index, 2), settings=SETTINGS, keep=tmp_path / "partial")
    source, made = NoiseSource(num_videos=6), Scale(cfg, model, prepared=constant(2.0))
    measure(tmp_path, cfg, {"scale": made}, model=model, source=source, keep=tmp_path / "partial")
    assert source.opened == []
    assert made.rows == dict.fromkeys(range(6), 2.0)


CODE = """
from pvbias.evaluation import Evaluator, Result
from pvbias.needs import Needs

class Theirs(Evaluator):
    needs = Needs(modulations=("original",))

    def process(self, video, outputs):
        self.rows[video.index] = 1

    def evaluate(self):
        return Result(not_applicable=str(len(self.rows)))
"""


def test_a_broken_tail_is_dropped_wherever_it_begins(tmp_path):
    parts = [ChunkResult(first=index, good=1, rows={"a": {index: "x" * index}}) for index in range(5)]
    with ChunkWriter(tmp_path / "whole") as writer:
        for part in parts:
            writer.write(part)
    (path,) = (tmp_path / "whole").iterdir()
    content = path.read_bytes()
    ends = [0]
    while ends[-1] < len(content):
        ends.append(ends[-1] + 24 + int.from_bytes(content[ends[-1] :][:8], "little"))
    cut = tmp_path / "cut"
    cut.mkdir()
    for length in range(len(content) + 1):
        (cut / "a.parts").write_bytes(content[:length])
        assert list(read_chunks(cut)) == parts[: sum(end <= length for end in ends[1:])]
    for position in random.Random(0).sample(range(len(content)), 50):
        broken = bytearray(content)
        broken[position] ^= 0x40
        (cut / "a.parts").write_bytes(broken)
        assert list(read_chunks(cut)) == parts[: sum(end <= position for end in ends[1:])]


def test_a_measurement_goes_on_from_a_broken_file(tmp_path, whole):
    attempt(tmp_path, 60)
    attempt(tmp_path, 30)
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-7])
    found = attempt(tmp_path)
    assert_same(found, whole)
    assert 0 < len(found[2]) < 80


@dataclass
class Row:
    score: float
    scores: np.ndarray


Pair = namedtuple("Pair", ["a", "b"])


@pytest.mark.parametrize(
    "row",
    [
        None,
        (1, 0.1 + 0.2, "\udcff", b"\0", True, {3: [4]}, {5}),
        Row(score=np.float64(1 / 3), scores=np.arange(6, dtype=np.float32).reshape(2, 3).T),
        Pair(a=np.int64(7), b=np.array(["a", "bc"])),
        Attributes.of({"scene": "kitchen", "people": 2}),
    ],
)
def test_rows_come_back_as_they_were(tmp_path, row):
    with ChunkWriter(tmp_path) as writer:
        writer.write(ChunkResult(first=0, good=1, rows={"a": {0: row}}))
    (part,) = read_chunks(tmp_path)
    found = part.rows["a"][0]
    assert type(found) is type(row)
    assert pickle.dumps(found) == pickle.dumps(row)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_from_somebody_else_runs_no_code(tmp_path, caplog):
    with ChunkWriter(tmp_path) as writer:
        writer.write(ChunkResult(first=0, rows={"a": {0: Payload(tmp_path / "taken_over")}}))
        writer.write(ChunkResult(first=1))
    assert [part.first for part in read_chunks(tmp_path)] == [1]
    assert not (tmp_path / "taken_over").exists()
    assert "open cannot be read back" in caplog.text


@pytest.mark.parametrize(("row", "message"), [(lambda: 0, "cannot be kept"), (Fraction(1, 3), "")])
def test_rows_that_cannot_be_kept_are_measured_again(tmp_path, caplog, row, message):
    class Odd(Keep):
        def process(self, video, outputs):
            self.rows[video.index] = row

    for _ in range(2):
        cfg, model, source = config(), recognizer(), NoiseSource(num_videos=3)
        odd = Odd(cfg, model, ("original",))
        results = measure(tmp_path, cfg, {"odd": odd}, model=model, source=source, keep=tmp_path / "partial")
        assert results["odd"].figures[0].value == 3
        assert len(source.opened) == 3
    assert message in caplog.text


def _process(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for name, life in (("both", 20 + 9 * rank), ("both", 0), ("one_then_two", 0), ("two_then_one", 11 - rank)):
        found = attempt(folder / name, life)
        torch.save(found, folder / name / f"{rank}.pt")
        dist.barrier()
    dist.destroy_process_group()


def test_the_number_of_processes_may_change(tmp_path, whole):
    for name in ("both", "one_then_two", "two_then_one"):
        (tmp_path / name).mkdir()
    alone = attempt(tmp_path / "one_then_two", 31)[2]
    torch.multiprocessing.start_processes(
        _process, (str(tmp_path / "store"), tmp_path), nprocs=2, start_method="forkserver"
    )

    def by_two(name):
        return [torch.load(tmp_path / name / f"{rank}.pt", weights_only=False) for rank in range(2)]

    for name, before in (("both", 18 + 28), ("one_then_two", len(alone) - 2)):
        first, second = by_two(name)
        assert_same(first, whole)
        assert not set(first[2]) & set(second[2])
        assert len(first[2]) + len(second[2]) == pytest.approx(NUM_VIDEOS - before, abs=4)
        assert len(first[2]) == pytest.approx(len(second[2]), abs=2)
    before = {name for found in by_two("two_then_one") for name in found[2]}
    found = attempt(tmp_path / "two_then_one")
    assert_same(found, whole)
    assert len(before & set(found[2])) <= 4  # one chunk of each process


def test_the_main_job_goes_on_and_cleans_up(bar_videos, tmp_path, monkeypatch):
    def job(out):
        keys = ["DATA.TEST_SPLIT", str(bar_videos / "test.csv"), "OUTPUT_DIR", str(out), "BIAS.EVALUATORS", "[]"]
        keys += ["TEST.NUM_ENSEMBLE_VIEWS", "2", "DATA_LOADER.NUM_WORKERS", "0", "BIAS.BOOTSTRAP_SAMPLES", "100"]
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(2), torch.nn.Flatten(), torch.nn.Linear(24, 2))
        pvbias.measure(pvbias.load_cfg(overrides=keys), pvbias.Recognizer.wrap(network, SPEC))
        return json.loads((out / "results.json").read_text())["results"]

    expected = job(tmp_path / "whole")
    accuracy = EVALUATOR.get("accuracy")
    process, videos = accuracy.process, []

    def dies_of_the_sixth(self, video, outputs):
        videos.append(video.name)
        if len(videos) == 6:
            raise Killed
        process(self, video, outputs)

    monkeypatch.setattr(accuracy, "process", dies_of_the_sixth)
    with pytest.raises(Killed):
        job(tmp_path / "killed")
    assert (tmp_path / "killed" / "partial").exists()
    assert job(tmp_path / "killed") == expected
    assert len(videos) == 5 + 1 + 3
    assert not (tmp_path / "killed" / "partial").exists()
