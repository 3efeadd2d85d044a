"""Several streams of training clips: each with its own videos, order, size and labels, the same for any number of
workers and processes and wherever an epoch is entered."""

import os
import signal
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.config.lists import configured_streams
from pvbias.config.stream_keys import complete_streams, declare_stream
from pvbias.data import VideoRecord, build_stream, build_train_loader
from pvbias.errors import ConfigError, DataError
from pvbias.registries import TRACK
from pvbias.video import BadVideoError

from ..video.videos import data_cfg
from .test_tracks import ClockTrack

EPOCHS = 3


class Noise:
    """A video of its number's noise."""

    timestamps, duration = np.arange(20) / 30, 20 / 30

    def __init__(self, number):
        self._number = number

    def read(self, times, size):
        rng = np.random.default_rng(self._number)
        return rng.integers(256, size=(len(times), *size(16, 16), 3), dtype=np.uint8)

    def close(self):
        pass


class Videos:
    """``count`` videos; those of ``bad`` cannot be read, and that of ``killing`` kills the process."""

    class_names = ()

    def __init__(self, name, count, *, labels=True, bad=(), killing=None):
        self.description, self._bad, self._killing = name, bad, killing
        self.records = tuple(
            VideoRecord(
                path=f"/{name}{number}",
                name=f"{name}{number}",
                label=number % 3 if labels else None,
                attributes={"domain": name},
            )
            for number in range(count)
        )
        self.opened = []

    def open(self, record):
        number = int(record.name.lstrip("st"))
        self.opened.append(record.name)
        if number == self._killing:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in self._bad:
            raise BadVideoError("unreadable", "torn")
        return Noise(number)


def configured(*, workers=0, **keys):
    cfg = data_cfg("unused", TRAIN_CROP_SIZE=8, TRAIN_JITTER_SCALES=[12, 16])
    cfg.DATA_LOADER.NUM_WORKERS = workers
    declare_stream(cfg, "target", labelled=False)
    cfg.DATA.STREAMS.target.update({"SPLIT": "target.csv", "BATCH_SIZE": 2} | keys)
    complete_streams(cfg)
    return cfg


def loader(cfg, source=None, target=None, *, rank=0, world_size=1, **options):
    return build_train_loader(
        cfg,
        source or Videos("s", 16),
        rank=rank,
        world_size=world_size,
        streams={"target": target or Videos("t", 7, labels=False)},
        **options,
    )


def batches(made, epochs=EPOCHS):
    return [batch for epoch in range(epochs) for batch in made.epoch(epoch)]


def same(one, other):
    labels = one.labels is other.labels is None or torch.equal(one.labels, other.labels)
    return one.names == other.names and torch.equal(one.clips, other.clips) and labels


def test_each_step_has_a_mini_batch_of_each_stream_and_the_first_is_what_it_is_alone():
    cfg = configured()
    alone = batches(build_train_loader(cfg, Videos("s", 16), rank=0, world_size=1))
    both = batches(loader(cfg))
    assert len(both) == EPOCHS * 16 // 4
    for batch, plain in zip(both, alone, strict=True):
        assert same(batch, plain)
        target = batch.streams["target"]
        assert target.clips.shape == (2, 3, 4, 8, 8)
        assert target.labels is None
        assert all(name.startswith("t") for name in target.names)
        assert [*batch.attributes, *target.attributes] == [{"domain": "s"}] * 4 + [{"domain": "t"}] * 2
        assert not target.streams


def test_each_epoch_has_an_order_and_clips_of_its_own():
    """10 videos in mini-batches of 4: two are left out of an epoch, and not the same ones in each."""
    made = build_train_loader(configured(), Videos("s", 10), rank=0, world_size=1)
    epochs = [list(made.epoch(epoch)) for epoch in range(10)]
    orders = [[name for batch in epoch for name in batch.names] for epoch in epochs]
    assert [len(set(order)) for order in orders] == [8] * 10
    assert len(set(map(tuple, orders))) == 10
    assert {name for order in orders for name in order} == {f"s{number}" for number in range(10)}
    clips = [{n: c for batch in epoch for n, c in zip(batch.names, batch.clips, strict=True)} for epoch in epochs]
    pairs = [(clips[0][name], clips[1][name]) for name in clips[0].keys() & clips[1].keys()]
    assert len(pairs) >= 6
    assert sum(not torch.equal(first, second) for first, second in pairs) >= len(pairs) - 1


def test_a_stream_goes_through_its_videos_in_epochs_of_its_own():
    """7 videos, 2 a step: 3 steps, in each of which no video comes twice, and one is left for another time."""
    steps = [batch.streams["target"].names for batch in batches(loader(configured()), epochs=30)]
    own = [[*steps[start], *steps[start + 1], *steps[start + 2]] for start in range(0, len(steps), 3)]
    assert all(len(set(epoch)) == 6 for epoch in own)
    assert len(set(map(tuple, own))) > 35  # of 40 epochs, each in another order
    met = [sum(name in epoch for epoch in own) for name in (f"t{number}" for number in range(7))]
    assert min(met) > 25


def test_a_stream_of_few_videos_is_repeated_in_a_mini_batch():
    for batch in batches(loader(configured(BATCH_SIZE=5), target=Videos("t", 2, labels=False))):
        assert sorted(batch.streams["target"].names.count(name) for name in ("t0", "t1")) == [2, 3]


def test_two_streams_of_the_same_videos_have_neither_order_nor_crops_in_common():
    cfg = configured(BATCH_SIZE=4)
    made = batches(loader(cfg, target=Videos("s", 16)), epochs=4)
    assert sum(batch.names == batch.streams["target"].names for batch in made) < 2
    clips = [{}, {}]
    for batch in made[:4]:
        for seen, each in zip(clips, (batch, batch.streams["target"]), strict=True):
            seen.update(zip(each.names, each.clips, strict=True))
    assert len(clips[0]) == len(clips[1]) == 16
    assert sum(torch.equal(clip, clips[1][name]) for name, clip in clips[0].items()) <= 3


@pytest.mark.parametrize("workers", [0, 2])
def test_wherever_an_epoch_is_entered_the_rest_is_the_same(workers):
    whole = [list(loader(configured(workers=workers)).epoch(epoch)) for epoch in range(2)]
    for epoch, start in ((1, 2), (0, 1), (1, 3), (1, 4)):
        target = Videos("t", 7, labels=False)
        rest = list(loader(configured(workers=workers), target=target).epoch(epoch, start))
        assert len(rest) == 4 - start
        for batch, expected in zip(rest, whole[epoch][start:], strict=True):
            assert same(batch, expected)
            assert same(batch.streams["target"], expected.streams["target"])
        if not workers:  # the workers' lists are theirs
            assert target.opened == [name for batch in rest for name in batch.streams["target"].names]


def test_processes_together_see_what_one_does():
    cfg = configured()
    parts = [batches(loader(cfg, rank=rank, world_size=2)) for rank in range(2)]
    for whole, first, second in zip(batches(loader(cfg)), *parts, strict=True):
        for one, *halves in (
            (whole, first, second),
            (whole.streams["target"], first.streams["target"], second.streams["target"]),
        ):
            assert one.names == halves[0].names + halves[1].names
            assert torch.equal(one.clips, torch.cat([half.clips for half in halves]))
    with pytest.raises(ConfigError, match=r"DATA\.STREAMS\.target\.BATCH_SIZE = 3 cannot be shared evenly by 2"):
        loader(configured(BATCH_SIZE=3), world_size=2)


def test_labels_are_read_where_a_stream_has_them():
    for labelled in (True, False):
        target = Videos("t", 6)
        for batch in batches(loader(configured(LABELLED=labelled), target=target), epochs=1):
            labels = batch.streams["target"].labels
            expected = [int(name[1:]) % 3 for name in batch.streams["target"].names]
            assert (labels.tolist() if labelled else labels) == (expected if labelled else None)
    with pytest.raises(DataError, match=r"'t0' has none\. DATA\.STREAMS\.target\.LABELLED False does without"):
        loader(configured(LABELLED=True))


def test_a_first_stream_without_labels_is_asked_for_by_its_caller():
    with pytest.raises(DataError, match="Training needs labels, and 's0' has none"):
        loader(configured(), Videos("s", 16, labels=False))
    made = loader(configured(), Videos("s", 16, labels=False), labelled=False)
    assert [batch.labels for batch in made.epoch(0)] == [None] * 4


def test_bad_videos_are_replaced_from_their_own_stream_and_told_with_its_name():
    target = Videos("t", 7, labels=False, bad=(1, 4))
    bad = set()
    for batch in batches(loader(configured(), target=target)):
        assert not batch.bad
        assert not {"t1", "t4"} & {*batch.streams["target"].names}
        assert len(batch.streams["target"].names) == 2
        bad |= {(video.name, video.split) for video in batch.streams["target"].bad}
    assert bad == {("t1", "target"), ("t4", "target")}
    cfg = configured(LABELLED=True)
    cfg.MODEL.NUM_CLASSES = 2
    met = [video for batch in batches(loader(cfg, target=Videos("t", 7))) for video in batch.streams["target"].bad]
    assert {video.name for video in met} == {"t2", "t5"}
    assert {video.cause for video in met} == {"label out of range"}


def test_a_process_that_dies_of_a_streams_video_names_it():
    target = Videos("t", 7, labels=False, killing=5)
    with pytest.raises(DataError, match=r"killed by SIGKILL, at t5"):
        batches(loader(configured(workers=1), target=target))


def test_all_of_a_mini_batch_is_pinned(monkeypatch):
    monkeypatch.setitem(TRACK._obj_map, "clock", ClockTrack)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)  # without a GPU
    (batch, *_) = loader(configured(), tracks=("clock", "target.clock")).epoch(0)
    pinned = batch.pin_memory()
    for one, other in ((batch, pinned), (batch.streams["target"], pinned.streams["target"])):
        assert torch.equal(other.clips, one.clips + 1)
        assert torch.equal(other.tracks["clock"], one.tracks["clock"] + 1)
        assert (other.names, other.attributes) == (one.names, one.attributes)
    assert torch.equal(pinned.labels, batch.labels + 1)
    assert pinned.streams["target"].labels is None


def test_tracks_are_asked_for_by_stream(monkeypatch):
    monkeypatch.setattr(TRACK, "_obj_map", {**TRACK._obj_map, "clock": ClockTrack})
    for asked, first, second in ((("clock",), True, False), (("target.clock",), False, True)):
        (batch, *_) = loader(configured(), tracks=asked).epoch(0)
        assert ("clock" in batch.tracks, "clock" in batch.streams["target"].tracks) == (first, second)
    with pytest.raises(
        ConfigError, match=r"track 'traget\.clock' is asked for, and there are the streams train, target"
    ):
        loader(configured(), tracks=("traget.clock",))


# ---------------------------------------------------------------- from a configuration


@pytest.fixture
def plugin(monkeypatch):
    """Declares the stream "target"."""
    module = ModuleType("adaptation")
    module.add_config = lambda cfg: declare_stream(cfg, "target", labelled=False)
    monkeypatch.setitem(sys.modules, "adaptation", module)
    return ["PLUGINS", "[adaptation]"]


def test_a_file_and_the_command_line_say_what_a_stream_is(plugin, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "MODEL: {MODEL_NAME: r3d_small}\nDATA: {STREAMS: {target: {SPLIT: target.csv, BATCH_SIZE: 16}}}\n"
    )
    keys = load_cfg(tmp_path / "run.yaml", plugin).DATA.STREAMS.target
    assert (keys.SPLIT, keys.BATCH_SIZE, keys.LABELLED) == ("target.csv", 16, False)
    cfg = load_cfg(tmp_path / "run.yaml", [*plugin, "DATA.STREAMS.target.BATCH_SIZE", "4"])
    assert cfg.DATA.STREAMS.target.BATCH_SIZE == 4
    completed = complete(
        load_cfg(None, [*plugin, "TRAIN.BATCH_SIZE", "6", "MODEL.MODEL_NAME", "r3d_small"]), num_classes=2
    )
    keys = completed.DATA.STREAMS.target
    assert (keys.BATCH_SIZE, keys.DATASET, keys.PATH_PREFIX) == (6, "videos", "")
    assert configured_streams(completed) == []
    for wrong, message in (
        (["DATA.STREAMS.target.BATCH_SIZE", "0"], r"DATA\.STREAMS\.target\.BATCH_SIZE = 0 must be at least 1"),
        (["DATA.STREAMS.target.SPLITT", "x"], r"unknown key DATA\.STREAMS\.target\.SPLITT"),
        (["DATA.STREAMS.traget.SPLIT", "x"], r"unknown key DATA\.STREAMS\.traget"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_cfg(None, [*plugin, *wrong])


@pytest.mark.parametrize("name", ["train", "val", "two words"])
def test_names_that_a_stream_cannot_have(name):
    with pytest.raises(ValueError, match=f"cannot be called '{name}'"):
        declare_stream(data_cfg("unused"), name, labelled=True)


def test_plugins_have_to_agree_on_a_stream():
    cfg = configured()
    with pytest.raises(ValueError, match="Two plugins declare the stream 'target'"):
        declare_stream(cfg, "target", labelled=True)


def test_class_names_of_a_labelled_stream_are_numbered_by_the_training_split(tmp_path):
    (tmp_path / "source.csv").write_text("a.mp4 jump\nb.mp4 run\nc.mp4 walk\n")
    (tmp_path / "target.csv").write_text("x.mp4 walk\ny.mp4 run\n")
    (tmp_path / "open.csv").write_text("x.mp4 swim\ny.mp4 run\n")
    cfg = data_cfg(tmp_path / "source.csv", PATH_TO_DATA_DIR=str(tmp_path))
    declare_stream(cfg, "target", labelled=True)
    keys = cfg.DATA.STREAMS.target
    keys.update({"SPLIT": "target.csv", "PATH_PREFIX": "/elsewhere"})
    complete_streams(cfg)
    records = build_stream(cfg, "target").records
    assert [record.label for record in records] == [2, 1]
    assert [record.path for record in records] == ["/elsewhere/x.mp4", "/elsewhere/y.mp4"]
    keys.SPLIT = "open.csv"
    with pytest.raises(DataError, match="swim"):
        build_stream(cfg, "target")
    keys.LABELLED = False
    assert [record.name for record in build_stream(cfg, "target").records] == ["x.mp4", "y.mp4"]


def test_a_made_up_stream_is_a_split_of_its_data_set(plugin):
    import pvbias.plugins.decoupled_videos  # noqa: F401 (registers it)

    overrides = [*plugin, "MODEL.MODEL_NAME", "r3d_small", "DECOUPLED.TEST_VIDEOS", "5"]
    overrides += ["DATA.STREAMS.target.DATASET", "brush_mnist", "DATA.STREAMS.target.SPLIT"]
    source = build_stream(complete(load_cfg(None, [*overrides, "test"]), num_classes=100), "target")
    assert [record.name.split("/")[1] for record in source.records] == ["test"] * 5
    with pytest.raises(ConfigError, match=r"DATA\.STREAMS\.target\.SPLIT = 'x\.csv': of the data set 'brush_mnist'"):
        build_stream(complete(load_cfg(None, [*overrides, "x.csv"]), num_classes=100), "target")
