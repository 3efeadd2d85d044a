"""The TRACK contract: a track of one's own travels with the clips, and one that breaks it is an error."""

import numpy as np
import pytest
import torch

from pvbias.data import Track, VideoRecord, build_test_loader, build_train_loader
from pvbias.errors import ConfigError, DataError
from pvbias.registries import TRACK
from pvbias.runtime import Settings
from pvbias.video.video import frames_shown

from ..video.videos import data_cfg

SIDE, FRAMES = 16, 10


class Numbered:
    """A video whose grey level is the frame's number."""

    timestamps = np.arange(FRAMES) / 30
    duration = FRAMES / 30

    def read(self, times, size):
        needed, place = frames_shown(self.timestamps, times)
        height, width = size(SIDE, SIDE)
        return np.broadcast_to(needed[place][:, None, None, None], (len(times), height, width, 3)).astype(np.uint8)

    def close(self):
        pass


class Videos:
    class_names, description = (), "numbered"
    records = tuple(VideoRecord(path=f"{number}", name=f"{number}", label=0) for number in range(8))

    def open(self, record):
        return Numbered()


class Clock:
    """Time and column of each pixel; two values."""

    def __init__(self, video, columns=SIDE, dtype=np.float32):
        self.duration, self._columns, self._dtype = video.duration, columns, dtype
        self.closed = 0

    def read(self, times, size):
        height, width = size(SIDE, self._columns)
        values = np.zeros((len(times), height, width, 2), self._dtype)
        values[..., 0] = np.asarray(times)[:, None, None]
        values[..., 1] = np.arange(width) - (width - 1) / 2
        return values

    def close(self):
        self.closed += 1


class ClockTrack(Track):
    title, channels, dtype = "clock", 2, np.float16

    def __init__(self, cfg, source):
        self.options = {}
        self.opened = []

    def open(self, record, video):
        self.opened.append(Clock(video, **self.options))
        return self.opened[-1]

    def mirror(self, values):
        return values[:, :, ::-1] * np.array([1, -1], values.dtype)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(TRACK, "_obj_map", {**TRACK._obj_map, "clock": ClockTrack})


def configured():
    sizes = {"NUM_FRAMES": 4, "SAMPLING_RATE": 1, "TRAIN_CROP_SIZE": 8, "TRAIN_JITTER_SCALES": [16, 16]}
    return data_cfg("unused", **sizes, TEST_CROP_SIZE=8, TEST_SHORT_SIDE=16)


def test_a_track_of_ones_own_is_read_at_the_frames_times_cropped_with_them_and_mirrored_in_its_way():
    loader = build_train_loader(configured(), Videos(), rank=0, world_size=1, tracks=["clock"])
    lefts = set()
    for epoch in range(3):
        for batch in loader.epoch(epoch):
            times, columns = batch.tracks["clock"].float().unbind(1)
            assert times.shape == (4, 4, 8, 8)
            # A time shows the last frame that has come up; clips begin anywhere between two.
            number = batch.clips[:, 0].float()
            assert ((times * 30 - number >= -0.05) & (times * 30 - number < 1.05)).all()
            # Mirrored twice, positions and signs: they grow to the right in all clips.
            assert (columns.diff(dim=-1) == 1).all()
            lefts |= set(columns[:, 0, 0, 0].tolist())
    assert len(lefts) > 3


def test_test_views_have_the_track_of_their_crop():
    (video, *_) = build_test_loader(configured(), Videos(), rank=0, world_size=1, tracks=["clock"])
    values = video.tracks["clock"]
    assert values.shape == (len(video.clips), 2, 4, 8, 8)
    assert values.dtype == torch.float16
    assert torch.equal((values[:, 0].float() * 30).round(), video.clips[:, 0].float())


def test_nothing_is_read_that_nobody_asks_for():
    loader = build_train_loader(configured(), Videos(), rank=0, world_size=1)
    assert all(batch.tracks == {} for batch in loader.epoch(0))
    with pytest.raises(ConfigError, match=r"No TRACK is called 'clok'.*Did you mean 'clock'"):
        build_train_loader(configured(), Videos(), rank=0, world_size=1, tracks=["clok"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": np.complex64}, r"ClockTrack read complex64 \(4, 16, 16, 2\) as the clock of '.'; float16"),
        ({"columns": 2 * SIDE}, "16 x 16 pixels, its clock 32 x 16: they do not belong together"),
    ],
)
def test_values_that_are_not_those_of_the_frames_are_an_error(monkeypatch, options, message):
    monkeypatch.setattr(ClockTrack, "__init__", lambda self, cfg, source: vars(self).update(options=options, opened=[]))
    loader = build_train_loader(configured(), Videos(), rank=0, world_size=1, tracks=["clock"])
    with pytest.raises(DataError, match=message):
        list(loader.epoch(0))


def test_on_the_device_half_precision_is_single_and_labels_stay_labels():
    settings = Settings(device=torch.device("cpu"), memory_format="contiguous", precision="fp32")
    tracks = settings.tracks({"flow": torch.ones(2, dtype=torch.float16), "mask": torch.ones(2, dtype=torch.uint8)})
    assert {name: values.dtype for name, values in tracks.items()} == {"flow": torch.float32, "mask": torch.uint8}
