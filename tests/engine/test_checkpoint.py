"""Runs that are killed and go on: what they log in the end is what a run that was left alone logs."""

import json
import logging
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.data import VideoRecord, build_train_loader
from pvbias.engine import CrossEntropy, checkpoint, launch, newest_checkpoint
from pvbias.engine.seeding import generator_states, restore_generators, seed_everything
from pvbias.errors import ConfigError, TrainingError, WeightsError
from pvbias.interruption import Interrupted, request_stop
from pvbias.models import Recognizer
from pvbias.plugins import drl, rev2net
from pvbias.registries import OBJECTIVE, STUDENT

from .killed import EventfulLoader, Noisy, ask, attempt, in_processes, kill, kill_again_and_again, logged
from .toys import CLASSES, SPEC, FakeLoader, TeacherAndStudent, make_cfg, make_trainer, tiny_recognizer

OBJECTIVES = [
    *("CrossEntropy", "Noisy", "TeacherAndStudent"),
    *("DRLAdversarial", "DRLDistill", "DRLFreeze", "DRLShuffle", "Rev2Net"),
]


class FramesStudent(nn.Module):
    """A linear classifier of a clip's mean frame, with BatchNorm and dropout."""

    def __init__(self, cfg, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, num_classes))

    def forward(self, clips):
        return self.layers(clips.mean(2)).log_softmax(1)


class SmallNet(nn.Module):
    """With a feature map that decoders can start from."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 6, (3, 4, 4), stride=(1, 4, 4), padding=(1, 0, 0))
        self.norm = nn.BatchNorm3d(6)
        self.dropout = nn.Dropout(0.5)
        self.proj = nn.Linear(6, CLASSES)

    def forward(self, clip):
        return self.proj(self.dropout(self.norm(self.conv(clip)).relu().mean((2, 3, 4))))


def small_recognizer(seed=0):
    torch.manual_seed(seed)
    return Recognizer(SmallNet(), clip_spec=SPEC, head="proj")


@pytest.fixture(autouse=True)
def registered():
    restore = [registry.snapshot() for registry in (OBJECTIVE, STUDENT)]
    for objective in (TeacherAndStudent, Noisy):
        OBJECTIVE.register(objective)
    STUDENT.register(FramesStudent)
    yield
    for function in restore:
        function()


def cfg_for(folder, *overrides):
    """Three epochs of five mini-batches, with everything that leaves a trace in the log."""
    cfg = make_cfg(
        folder,
        *("SOLVER.MAX_EPOCH", 3.0, "LOG_PERIOD", 3, "TRAIN.EVAL_PERIOD", 1, "BN.USE_PRECISE_STATS", True),
        *("TRAIN.CHECKPOINT_MINUTES", 0.0, "TRAIN.CHECKPOINT_BEST", "top1", "DATA.MAX_BAD_FRACTION", 0.9),
        *("STUDENT.NAME", "FramesStudent", "SOLVER.WARMUP_EPOCHS", 0.5),
    )
    drl.add_config(cfg)
    rev2net.add_config(cfg)
    for name, value in cfg.SOLVER.items():
        cfg.STUDENT.SOLVER[name] = value
    cfg.merge_from_list([str(item) if not isinstance(item, str) else item for item in overrides])
    return cfg


def until_done(cfg, *, events=None, validated=(), length=5):
    """Start a run until it is through; the number of starts."""
    validated, events = list(validated), dict(events or {})
    starts, summary = 0, None
    while summary is None:
        starts += 1
        loader = EventfulLoader(length, events=events)
        # What it starts from does not matter once there is a checkpoint.
        seed = starts if newest_checkpoint(cfg.OUTPUT_DIR) else 0
        summary = attempt(cfg, loader, small_recognizer(seed), validated=validated)
    return starts, summary


def differing(a, b, where=""):
    """Where two checkpoints' contents are not the same."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, (dict, list, tuple)):
        keys = a.keys() if isinstance(a, dict) else range(len(a))
        if len(a) != len(b):
            return [where]
        return [place for key in keys for place in differing(a[key], b[key], f"{where}/{key}")]
    apart = ("/cfg", "_seconds")  # the folder's name, times
    return [] if a == b or where.endswith(apart) else [where]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_killed_at_any_step_it_logs_what_it_would_have_logged(objective, tmp_path):
    generator = random.Random(objective)
    accumulate = generator.choice([1, 2])
    overrides = ("OBJECTIVE.NAME", objective, "TRAIN.ACCUMULATE_STEPS", accumulate)
    _, whole = until_done(cfg_for(tmp_path / "whole", *overrides))
    places = [(epoch, number) for epoch in range(3) for number in range(5)]
    events = {place: generator.choice([kill, ask]) for place in generator.sample(places, 7)}
    stops = list(events.values()).count(ask)
    starts, parts = until_done(cfg_for(tmp_path / "parts", *overrides), events=events)
    # Two places in one window are one event.
    assert 8 - accumulate * stops <= starts <= 8
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    ends = [torch.load(newest_checkpoint(str(tmp_path / run)), weights_only=True) for run in ("parts", "whole")]
    assert differing(*ends) == []
    assert parts.bad_videos | {"list": ""} == whole.bad_videos | {"list": ""}
    assert parts.validation == whole.validation
    best = [torch.load(tmp_path / run / "checkpoints/checkpoint_best.pyth")["epoch"] for run in ("whole", "parts")]
    top1 = [line["top1"] for line in logged(tmp_path / "whole") if line["kind"] == "validation"]
    assert best == [top1.index(max(top1))] * 2


@pytest.mark.parametrize("after", [kill, ask])
def test_after_every_step(tmp_path, after):
    """And with a checkpoint after each."""
    overrides = ("OBJECTIVE.NAME", "Noisy", "SOLVER.MAX_EPOCH", 1.6, "TRAIN.CHECKPOINT_MINUTES", 1e-9)
    overrides += ("BN.USE_PRECISE_STATS", False)  # which goes over an epoch twice
    until_done(cfg_for(tmp_path / "whole", *overrides))
    events = {(epoch, number): after for epoch in (0, 1) for number in range(5)}
    starts, _ = until_done(cfg_for(tmp_path / "parts", *overrides), events=events)
    assert starts == 1 + 8
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_a_validation_that_was_killed_is_made_up_for(tmp_path):
    until_done(cfg_for(tmp_path / "whole"))
    starts, _ = until_done(cfg_for(tmp_path / "parts"), validated=[kill, lambda: None, kill, kill, lambda: None])
    assert starts == 4
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    # and one that is there is not made again
    summary = attempt(cfg_for(tmp_path / "parts"), EventfulLoader(5), small_recognizer(), validated=[kill])
    assert summary.validation == {key: logged(tmp_path / "whole")[-1][key] for key in ("top1", "drawn")}


@pytest.mark.parametrize("period", [1, 5])
def test_asked_to_stop_in_a_validation_it_loses_nothing(tmp_path, period):
    """Also where no checkpoint is due after that epoch."""
    overrides = ("TRAIN.CHECKPOINT_PERIOD", period)
    until_done(cfg_for(tmp_path / "whole", *overrides))
    parts = cfg_for(tmp_path / "parts", *overrides)
    for epoch, validated in ((1, [request_stop]), (1, [request_stop]), (2, [int, request_stop])):
        assert attempt(parts, EventfulLoader(5), small_recognizer(), validated=validated) is None
        assert newest_checkpoint(parts.OUTPUT_DIR).name == f"checkpoint_epoch_{epoch:05d}.pyth"
    assert attempt(parts, EventfulLoader(5), small_recognizer()) is not None
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_what_was_done_is_not_loaded_again(tmp_path):
    cfg = cfg_for(tmp_path, "BN.USE_PRECISE_STATS", False)  # which goes over an epoch twice
    assert attempt(cfg, EventfulLoader(5, events={(1, 2): ask}), small_recognizer()) is None
    path = newest_checkpoint(str(tmp_path))
    assert path.name == "checkpoint_epoch_00001_step_00003.pyth"
    found = torch.load(path, weights_only=True)
    assert (found["epoch"], found["step"]) == (0, 3)
    loader = EventfulLoader(5)
    summary = attempt(cfg, loader, small_recognizer())
    assert summary.resumed_from == path
    assert loader.given == [(1, 3), (1, 4)] + [(2, number) for number in range(5)]
    assert not path.exists()  # there are later ones


def test_a_request_is_taken_where_it_can_be_answered(tmp_path):
    assert not request_stop()
    assert attempt(cfg_for(tmp_path), EventfulLoader(5), small_recognizer())
    again = cfg_for(tmp_path / "again")
    assert attempt(again, EventfulLoader(5, events={(2, 4): ask}), small_recognizer()) is None
    # after the very last step: the end of the epoch and its validation are still to come
    assert newest_checkpoint(again.OUTPUT_DIR).name == "checkpoint_epoch_00002_step_00005.pyth"
    assert attempt(again, EventfulLoader(5), small_recognizer()) is not None
    assert logged(tmp_path / "again") == logged(tmp_path)
    assert "checkpoint_epoch_00003.pyth" in str(Interrupted(newest_checkpoint(again.OUTPUT_DIR)))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """A folder with runs in two processes: ``alone``, ``killed``, and ``stopped`` inside the second epoch."""
    folder = tmp_path_factory.mktemp("processes")
    launch(in_processes, cfg_for(folder, "NUM_GPUS", 2, "BN.USE_PRECISE_STATS", False))
    return folder


def test_several_processes(two_processes):
    assert len(logged(two_processes / "alone")) == 9
    assert logged(two_processes / "killed") == logged(two_processes / "alone")


def test_another_number_of_processes_sees_the_same_videos(tmp_path, two_processes, caplog):
    cfg = cfg_for(two_processes / "stopped", "BN.USE_PRECISE_STATS", False)
    path = newest_checkpoint(cfg.OUTPUT_DIR)
    first, second = torch.load(path, weights_only=True)["processes"]
    assert set(second["buffers"]) == {"recognizer.norm.running_mean", "recognizer.norm.running_var"}
    assert first["buffers"] == {}
    loader = EventfulLoader(4)
    with caplog.at_level(logging.WARNING):
        summary = attempt(cfg, loader, tiny_recognizer(norm=True, dropout=0.5))
    assert "of 2 processes, and there are 1 now" in caplog.text
    assert loader.given == [(1, 2), (1, 3)] + [(2, number) for number in range(4)]
    assert summary.bad_videos["read"] == 12 * 4 + (2 + 2 + 1)  # and the bad ones: in two epochs each process had one
    whole = cfg_for(tmp_path / "whole", "BN.USE_PRECISE_STATS", False)
    attempt(whole, EventfulLoader(4), tiny_recognizer(norm=True, dropout=0.5))
    lines = [[(line["iteration"], line["kind"]) for line in logged(c.OUTPUT_DIR)] for c in (cfg, whole)]
    assert lines[0] == lines[1]


def test_steps_of_another_size_are_refused(tmp_path):
    assert attempt(cfg_for(tmp_path), EventfulLoader(5, events={(1, 2): ask}), small_recognizer()) is None
    cfg = cfg_for(tmp_path, "TRAIN.ACCUMULATE_STEPS", 2, "RNG_SEED", 3)
    cfg.TRAIN.RESUME_CHANGED = ["TRAIN.ACCUMULATE_STEPS", "RNG_SEED"]
    message = r"epoch_00001_step_00003.*RNG_SEED was 0 and is 3, TRAIN.ACCUMULATE_STEPS was 1 and is 2.*delete the file"
    with pytest.raises(WeightsError, match=message):
        attempt(cfg, EventfulLoader(5), small_recognizer())
    newest_checkpoint(str(tmp_path)).unlink()
    assert attempt(cfg, EventfulLoader(5), small_recognizer()).resumed_from.name == "checkpoint_epoch_00001.pyth"


def test_checkpoints_that_are_kept(tmp_path):
    cfg = cfg_for(tmp_path, "SOLVER.MAX_EPOCH", 6.0, "TRAIN.CHECKPOINT_KEEP", 2, "TRAIN.CHECKPOINT_BEST", "")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "checkpoint_epoch_00002.pyth.4711.tmp").write_text("of a process that was killed")
    (folder / "mine.pyth").write_text("not ours")
    assert attempt(cfg, EventfulLoader(5, events={(3, 1): ask}), small_recognizer()) is None
    names = ["checkpoint_epoch_00002.pyth", "checkpoint_epoch_00003.pyth", "checkpoint_epoch_00003_step_00002.pyth"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "mine.pyth"]
    attempt(cfg, EventfulLoader(5), small_recognizer())
    names = ["checkpoint_epoch_00005.pyth", "checkpoint_epoch_00006.pyth", "mine.pyth"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_broken_checkpoint_inside_an_epoch(tmp_path, caplog):
    until_done(cfg_for(tmp_path / "whole"))
    assert attempt(cfg_for(tmp_path), EventfulLoader(5, events={(1, 2): ask}), small_recognizer()) is None
    broken = newest_checkpoint(str(tmp_path))
    broken.write_bytes(broken.read_bytes()[:-1000])
    summary = attempt(cfg_for(tmp_path), EventfulLoader(5), small_recognizer())
    assert summary.resumed_from.name == "checkpoint_epoch_00001.pyth"
    assert f"{broken} is broken" in caplog.text
    assert logged(tmp_path) == logged(tmp_path / "whole")


def test_a_checkpoint_that_is_damaged_in_the_middle(tmp_path, caplog, monkeypatch):
    """As long as it was, and PyTorch reads it without a word."""
    until_done(cfg_for(tmp_path / "whole"))
    assert attempt(cfg_for(tmp_path), EventfulLoader(5, events={(1, 2): ask}), small_recognizer()) is None
    damaged = newest_checkpoint(str(tmp_path))
    content = bytearray(damaged.read_bytes())
    value = torch.load(damaged)["model_state"]["conv.weight"]
    position = content.index(value.numpy().tobytes())
    content[position + 6] ^= 0x40
    damaged.write_bytes(content)
    assert not torch.equal(torch.load(damaged)["model_state"]["conv.weight"], value)
    read = []
    whole = checkpoint.read_checkpoint
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda path: read.append(Path(path).name) or whole(path))
    summary = attempt(cfg_for(tmp_path), EventfulLoader(5), small_recognizer())
    assert summary.resumed_from.name == "checkpoint_epoch_00001.pyth"
    assert read == [damaged.name, "checkpoint_epoch_00001.pyth"]  # each once
    assert f"{damaged} is broken and passed over" in caplog.text
    assert "not what was written" in caplog.text
    assert logged(tmp_path) == logged(tmp_path / "whole")


def test_half_a_line_of_the_log_is_dropped(tmp_path):
    until_done(cfg_for(tmp_path / "whole"))
    assert attempt(cfg_for(tmp_path), EventfulLoader(5, events={(1, 2): ask}), small_recognizer()) is None
    with (tmp_path / "train_log.jsonl").open("a") as log:
        log.write('{"kind": "train", "iterat')
    attempt(cfg_for(tmp_path), EventfulLoader(5), small_recognizer())
    assert logged(tmp_path) == logged(tmp_path / "whole")


def test_a_run_that_starts_anew_has_a_log_of_its_own(tmp_path):
    for _ in range(2):
        attempt(cfg_for(tmp_path, "TRAIN.AUTO_RESUME", False), EventfulLoader(5), small_recognizer())
    assert [line["iteration"] for line in logged(tmp_path) if line["kind"] == "validation"] == [5, 10, 15]


def test_tensorboard_shows_no_step_twice(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = cfg_for(tmp_path, "TENSORBOARD.ENABLE", True, "LOG_PERIOD", 1)
    until_done(cfg, events={(1, 1): ask, (1, 4): kill})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 16))


def test_tensorboard_shows_nothing_of_a_training_that_was_begun_anew(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for rate in (0.1, 0.2):
        keys = ("TENSORBOARD.ENABLE", True, "LOG_PERIOD", 1, "TRAIN.AUTO_RESUME", False, "SOLVER.BASE_LR", rate)
        attempt(cfg_for(tmp_path, *keys), EventfulLoader(5), small_recognizer())
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 16))


def test_a_name_that_no_validation_gives(tmp_path):
    with pytest.raises(ConfigError, match=r"TRAIN.CHECKPOINT_BEST: no figure 'top2'. Did you mean 'top1'"):
        attempt(cfg_for(tmp_path, "TRAIN.CHECKPOINT_BEST", "top2"), EventfulLoader(5), small_recognizer())


def test_random_generators_go_on_where_they_were(tmp_path):
    def draw():
        return (
            torch.rand(3).tolist(),
            np.random.rand(3).tolist(),
            np.random.normal(),
            random.random(),
            random.gauss(0, 1),
        )

    seed_everything(1, 2)
    draw()  # leaves numpy and Python with half a pair of Gaussian numbers
    torch.save(generator_states(), tmp_path / "states")
    expected = draw(), draw()
    seed_everything(3)
    restore_generators(torch.load(tmp_path / "states", weights_only=True))
    assert (draw(), draw()) == expected


class Pictures:
    """Videos of one grey level each, and which of them were opened."""

    class_names = ()
    records = tuple(VideoRecord(path=f"/{n}", name=str(n), label=n % 3) for n in range(12))
    timestamps, duration = np.arange(20) / 30, 20 / 30

    def __init__(self):
        self.opened = []

    def open(self, record):
        self.opened.append(record.name)
        return self

    def read(self, times, size):
        return np.zeros((len(times), 16, 16, 3), np.uint8)

    def close(self):
        pass


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_leaves_out_what_was_consumed(workers):
    cfg = make_cfg("unused", "DATA_LOADER.NUM_WORKERS", workers, "DATA.TARGET_FPS", 30.0)
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TRAIN_CROP_SIZE = 4, 1, 8
    cfg.DATA.TRAIN_JITTER_SCALES = [8, 10]
    loader = build_train_loader(cfg, source := Pictures(), rank=0, world_size=1)
    whole = [[batch.names for batch in loader.epoch(epoch)] for epoch in (0, 1)]
    source.opened.clear()
    assert [batch.names for batch in loader.epoch(0, 2)] == whole[0][2:]
    assert source.opened == ([] if workers else whole[0][2])  # the workers' lists are theirs
    assert [batch.names for batch in loader.epoch(1)] == whole[1]
    assert list(loader.epoch(0, 3)) == []


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk(size)``: a file system of so many bytes, on which a run gets a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "pvbias-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path, small_disk):
    overrides = ("TRAIN.CHECKPOINT_BEST", "", "OBJECTIVE.NAME", "TeacherAndStudent")
    until_done(cfg_for(tmp_path / "whole", *overrides))
    size = (tmp_path / "whole/checkpoints/checkpoint_epoch_00001.pyth").stat().st_size
    folder = small_disk(4 * size)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(2 * size))  # one checkpoint fits, and half of the next
    cfg = cfg_for(folder / "run", *overrides)
    with pytest.raises(WeightsError, match=r"checkpoint_epoch_00002.pyth': .*No space left on device.* MiB are free"):
        attempt(cfg, EventfulLoader(5), small_recognizer())
    assert [path.name for path in (folder / "run/checkpoints").iterdir()] == ["checkpoint_epoch_00001.pyth"]
    torch.load(folder / "run/checkpoints/checkpoint_epoch_00001.pyth", weights_only=True)
    ballast.unlink()
    attempt(cfg, EventfulLoader(5), small_recognizer())
    assert logged(folder / "run") == logged(tmp_path / "whole")


def test_a_log_that_cannot_be_written_is_said(tmp_path, small_disk):
    folder = small_disk(16384)
    overrides = ("LOG_PERIOD", 1, "SOLVER.MAX_EPOCH", 10.0, "TRAIN.CHECKPOINT_PERIOD", 100, "TRAIN.EVAL_PERIOD", 0)
    cfg = cfg_for(folder, *overrides, "TRAIN.CHECKPOINT_BEST", "")

    def fill():
        with (folder / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(512))

    events = {(0, 2): fill}
    with pytest.raises(TrainingError, match=r"Cannot write .*train_log.jsonl': No space left.*goes on"):
        attempt(cfg, EventfulLoader(5, events=events), small_recognizer())


def test_sigkill(tmp_path):
    assert kill_again_and_again(tmp_path, kills=2, seed=0) == (0, 0)


def test_lines_have_what_is_compared(tmp_path):
    attempt(cfg_for(tmp_path), FakeLoader(5), small_recognizer())
    (first, *_), text = logged(tmp_path), Path(tmp_path, "train_log.jsonl").read_text()
    assert {"loss", "grad_norm", "lr", "iteration"} <= set(first)
    assert len(text.splitlines()) == 1 + (5 + 3) + 3 - 1
    assert json.loads(text.splitlines()[0])["kind"] == "start"


def test_the_scale_of_the_loss_goes_on_where_it_was(tmp_path):
    """fp16 has come down from its first scale, 65536, and would overflow again with it."""

    def trainer(folder):
        made = make_trainer(make_cfg(folder), tiny_recognizer(), CrossEntropy, FakeLoader())
        made.scaler = torch.amp.GradScaler("cpu", init_scale=65536.0, growth_interval=100)
        return made

    before = trainer(tmp_path)
    before.scaler.load_state_dict(before.scaler.state_dict() | {"scale": 8.0, "_growth_tracker": 42})
    before.iteration = before.steps_per_epoch
    before.epoch = 1
    checkpoint.save_checkpoint(before)
    after = trainer(tmp_path)
    assert checkpoint.resume(after) is not None
    assert (after.scaler.get_scale(), after.scaler.state_dict()["_growth_tracker"]) == (8.0, 42)
