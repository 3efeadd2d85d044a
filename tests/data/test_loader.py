"""Loaders: the same clips for any number of workers and processes; bad videos replaced, listed and counted."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.data import BadVideo, BadVideoLog, VideoRecord, build_source, build_test_loader, build_train_loader
from pvbias.errors import ConfigError, DataError
from pvbias.video import BadVideoError

from ..video.videos import data_cfg, frame_number, write_video


@pytest.fixture(scope="module")
def annotation(tmp_path_factory):
    """Ten good videos, one short, and four bad ones."""
    folder = tmp_path_factory.mktemp("videos")
    lines = []
    for number in range(10):
        write_video(folder / f"v{number}.mp4", 12 + number, g="6", bf="2")
        lines.append(f"v{number}.mp4 {number % 3}")
    write_video(folder / "short.mp4", 2)
    (folder / "broken.mp4").write_bytes(b"nothing")
    for image in range(12):
        (folder / "frames").mkdir(exist_ok=True)
        Image.fromarray(np.full((30, 40, 3), 20 * image, np.uint8)).save(folder / "frames" / f"{image}.png")
    (folder / "empty").mkdir()
    lines += ["short.mp4 0", "frames 2", "broken.mp4 1", "gone.mp4 1", "v1.mp4 3", "empty 1"]
    file = folder / "all.csv"
    file.write_text("\n".join(lines))
    return file


def epochs(cfg, *, rank=0, world_size=1):
    source = build_source(cfg, "train")
    loader = build_train_loader(cfg, source, rank=rank, world_size=world_size)
    return [batch for epoch in (0, 1, 0) for batch in loader.epoch(epoch)], len(loader)


def test_a_run_without_gpus_leaves_those_of_the_machine_alone(annotation, monkeypatch):
    """Page-locked memory takes a context on a GPU, which may be somebody else's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *_: pytest.fail("page-locked"))
    cfg = data_cfg(annotation)
    cfg.NUM_GPUS = 0
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1)
    assert next(loader.epoch(0)).clips.shape[0] == 4


def test_the_same_batches_for_any_number_of_workers_and_processes(annotation):
    cfg = data_cfg(annotation)
    random.seed(1)
    np.random.seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    batches, length = epochs(cfg)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), np.random.get_state()[1].tolist())

    assert len(batches) == 3 * length == 3 * (16 // 4)
    for batch in batches:
        assert batch.clips.shape == (4, 3, 4, 24, 24)
        assert batch.clips.dtype == torch.uint8
        assert batch.clips.is_contiguous(memory_format=torch.channels_last_3d)
        assert batch.labels.tolist() == [_label(name) for name in batch.names]
    assert all(torch.equal(a.clips, b.clips) for a, b in zip(batches[:length], batches[2 * length :], strict=True))
    assert not torch.equal(batches[0].clips, batches[length].clips)

    for workers in (1, 3):
        cfg.DATA_LOADER.NUM_WORKERS = workers
        others, _ = epochs(cfg)
        for a, b in zip(batches, others, strict=True):
            assert torch.equal(a.clips, b.clips)
            assert (a.names, a.bad) == (b.names, b.bad)
    cfg.DATA_LOADER.NUM_WORKERS = 0
    halves = [epochs(cfg, rank=rank, world_size=2)[0] for rank in (0, 1)]
    for whole, first, second in zip(batches, *halves, strict=True):
        assert torch.equal(whole.clips, torch.cat([first.clips, second.clips]))
        assert whole.names == first.names + second.names


class Noted:
    """Frames of noise, each video noted in a file when it is opened."""

    class_names = ()

    def __init__(self, file, number):
        self.records = [VideoRecord(path=f"{i}", name=f"{i}", label=0) for i in range(number)]
        self.file = file

    def open(self, record):
        with self.file.open("a") as file:
            file.write(f"{record.name}\n")
        return NoisyVideo()


class NoisyVideo:
    timestamps = np.arange(12) / 6
    duration = 2.0

    def read(self, times, size):
        return np.zeros((len(times), *size(30, 40), 3), np.uint8)

    def close(self):
        pass


@pytest.fixture
def noted(annotation, tmp_path):
    """A configuration of three epochs of 2 mini-batches, their source, and what has been opened."""
    cfg = data_cfg(annotation)
    cfg.SOLVER.MAX_EPOCH = 2.5
    file = tmp_path / "opened"
    return cfg, Noted(file, 8), lambda: len(file.read_text().split())


def test_workers_go_on_with_the_next_epoch(noted):
    """They read its first mini-batches while nobody has asked for them; after the last epoch there is nothing more."""
    cfg, source, opened = noted
    cfg.DATA_LOADER.NUM_WORKERS = 1  # two mini-batches ahead
    loader = build_train_loader(cfg, source, rank=0, world_size=1)
    seen = [batch.names for batch in loader.epoch(0)]
    deadline = time.monotonic() + 60
    while opened() < 2 * 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert opened() == 2 * 8
    seen += [batch.names for epoch in (1, 2) for batch in loader.epoch(epoch)]
    assert opened() == 3 * 8
    for epoch in range(3):
        alone = build_train_loader(cfg, source, rank=0, world_size=1)
        assert [batch.names for batch in alone.epoch(epoch)] == seen[2 * epoch : 2 * epoch + 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_are_the_same_in_any_order_and_after_any_part_of_another(noted, workers):
    cfg, source, _ = noted
    cfg.DATA_LOADER.NUM_WORKERS = workers
    loader = build_train_loader(cfg, source, rank=0, world_size=1)
    first, second = ([batch.names for batch in loader.epoch(epoch)] for epoch in range(2))
    assert first != second
    assert next(loader.epoch(1)).names == second[0]
    assert [batch.names for batch in loader.epoch(1, start=1)] == second[1:]  # goes on there
    assert next(loader.epoch(1)).names == second[0]
    assert [batch.names for batch in loader.epoch(0)] == first
    assert [batch.names for batch in loader.epoch(0, start=1)] == first[1:]
    assert len(list(loader.epoch(7))) == 2  # after the last one
    unfinished = loader.epoch(1)
    next(unfinished)
    next(loader.epoch(0))
    with pytest.raises(RuntimeError, match="Epoch 1 goes on after another one"):
        next(unfinished)


def _label(name):
    return {"short.mp4": 0, "frames": 2}.get(name, int(name[1]) % 3 if name[0] == "v" else -1)


def test_bad_videos_are_replaced_and_reported(annotation):
    batches, length = epochs(data_cfg(annotation))
    causes = {bad.name: bad.cause for batch in batches for bad in batch.bad}
    assert causes == {
        "broken.mp4": "unreadable",
        "gone.mp4": "missing",
        "v1.mp4": "label out of range",
        "empty": "no decodable frame",
    }
    assert {bad.split for batch in batches for bad in batch.bad} == {"train"}
    # 16 records, 4 a mini-batch: an epoch meets each bad one at least once
    assert {bad.name for batch in batches[:length] for bad in batch.bad} == set(causes)


def test_test_views_show_the_right_frames(tmp_path):
    write_video(tmp_path / "v.mp4", 60, size=(64, 128))
    (tmp_path / "one.csv").write_text("v.mp4 1")
    cfg = data_cfg(tmp_path / "one.csv", TEST_CROP_SIZE=64, TEST_SHORT_SIDE=64, NUM_FRAMES=4, SAMPLING_RATE=5)
    cfg.TEST.NUM_SPATIAL_CROPS = 1
    cfg.TEST.NUM_ENSEMBLE_VIEWS = 3
    (video,) = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1)
    assert video.clips.shape == (3, 3, 4, 64, 64)
    assert video.clips.is_contiguous(memory_format=torch.channels_last_3d)
    # Clips of 20 frames begin at 0, 20, 40. The outer two of three crops together show the whole frame, so its number
    # can be read.
    cfg.TEST.NUM_SPATIAL_CROPS = 3
    (three,) = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1)
    assert three.clips.shape == (9, 3, 4, 64, 64)
    whole = torch.cat([three.clips[0::3], three.clips[2::3]], -1).permute(0, 2, 3, 4, 1).numpy()
    assert [[frame_number(f) for f in clip] for clip in whole] == [[0, 5, 10, 15], [20, 25, 30, 35], [40, 45, 50, 55]]
    assert torch.equal(three.clips[1::3], video.clips)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_process_has_its_own_test_videos_and_none_twice(annotation, workers):
    cfg = data_cfg(annotation)
    cfg.DATA_LOADER.NUM_WORKERS = workers
    source = build_source(cfg, "test")
    whole = list(build_test_loader(cfg, source, rank=0, world_size=1))
    assert [video.index for video in whole] == list(range(16))
    parts = [list(build_test_loader(cfg, source, rank=rank, world_size=3)) for rank in range(3)]
    assert [[video.index for video in part] for part in parts] == [list(range(rank, 16, 3)) for rank in range(3)]
    for part in parts:
        for video in part:
            if isinstance(video, BadVideo):
                assert video == whole[video.index]
            else:
                assert torch.equal(video.clips, whole[video.index].clips)


def test_nothing_but_bad_videos_is_an_error_that_lists_them(tmp_path):
    (tmp_path / "all.csv").write_text("a.mp4 0\nb.mp4 1\n")
    with pytest.raises(DataError, match=r"there is still none to train on(.|\n)*a\.mp4: missing"):
        epochs(data_cfg(tmp_path / "all.csv"))


def test_training_wants_labels_and_a_batch_that_can_be_shared(annotation, tmp_path):
    with pytest.raises(ConfigError, match=r"TRAIN\.BATCH_SIZE = 4 cannot be shared evenly by 3"):
        epochs(data_cfg(annotation), world_size=3)
    (tmp_path / "all.csv").write_text("a.mp4\n")
    with pytest.raises(DataError, match=r"'a\.mp4' has none"):
        epochs(data_cfg(tmp_path / "all.csv"))


class KillingSource:
    """A source on which worker processes die."""

    records = (VideoRecord(path="v", name="v", label=0),) * 4
    class_names = ()

    def open(self, record):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_one_clear_error(annotation):
    cfg = data_cfg(annotation)
    cfg.DATA_LOADER.NUM_WORKERS = 1
    loader = build_train_loader(cfg, KillingSource(), rank=0, world_size=1)
    with pytest.raises(DataError, match=r"A process that loads videos died(.|\n)*NUM_WORKERS \(now 1\)"):
        list(loader.epoch(0))


class FullDisk(KillingSource):
    """A source that ends a run."""

    def open(self, record):
        raise DataError("No space left.")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_its_message(annotation, workers):
    cfg = data_cfg(annotation)
    cfg.DATA_LOADER.NUM_WORKERS = workers
    with pytest.raises(DataError) as caught:
        list(build_train_loader(cfg, FullDisk(), rank=0, world_size=1).epoch(0))
    assert str(caught.value) == "No space left."


def bad(name, cause="missing"):
    return BadVideo.of(0, VideoRecord(path=f"/x/{name}", name=name), BadVideoError(cause, "why"), "test")


def test_the_log_lists_each_path_once_over_processes_and_runs(tmp_path):
    first, second = BadVideoLog(tmp_path / "out", 0.5), BadVideoLog(tmp_path / "out", 0.5)
    for log in (first, second, first):
        log.add(bad("a.mp4"))
    second.add(bad("b\udcff.mp4", "unreadable"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "bad_videos.jsonl").read_text().splitlines()]
    assert lines == [
        {"path": "/x/a.mp4", "name": "a.mp4", "cause": "missing", "detail": "why", "split": "test"},
        {"path": "/x/b\udcff.mp4", "name": "b\udcff.mp4", "cause": "unreadable", "detail": "why", "split": "test"},
    ]


def test_too_many_bad_videos_end_the_run(tmp_path):
    log = BadVideoLog(tmp_path, 0.1)
    log.check()
    log.seen(9)
    log.add(bad("a.mp4"))
    log.check()
    assert log.summary() == {
        "read": 10,
        "bad": 1,
        "bad_files": 1,
        "causes": {"missing": 1},
        "list": str(tmp_path / "bad_videos.jsonl"),
    }
    log.add(bad("b.mp4"))
    with pytest.raises(DataError, match=r"2 of 11 videos read were bad \(18\.2%; 2 different files\)(.|\n)*bad_videos"):
        log.check()
