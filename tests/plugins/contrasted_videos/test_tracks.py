"""Backgrounds of other videos and of images: the donor's frames at the same relative time, in the video's shape."""

from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from pvbias.data import VideoRecord
from pvbias.data.masks import FrameMasks
from pvbias.errors import ConfigError
from pvbias.plugins.contrasted_videos.tracks import ImageBackground, RandomDonor
from pvbias.video import resize_frames

from .toys import config


class Ramp:
    """A video of ``frames`` frames, 10 a second, whose grey level is the frame's number, its left half dark."""

    def __init__(self, number, frames, height, width):
        self.timestamps, self.duration = np.arange(frames) / 10, frames / 10
        self.shape = (height, width)

    def read(self, times, size):
        numbers = np.searchsorted(self.timestamps, np.asarray(times) + 1e-6, side="right") - 1
        frames = np.broadcast_to(numbers[:, None, None, None], (len(times), *self.shape, 3)).astype(np.uint8).copy()
        frames[:, :, : self.shape[1] // 2, 0] = 0
        return resize_frames(frames, *size(*self.shape))

    def close(self):
        pass


class Ramps:
    """A wide short video, and a tall one that is ten times as long; the second one's mask is its upper half."""

    class_names, description = (), ""
    records = tuple(VideoRecord(path=f"{i}.mp4", name=f"{i}.mp4", label=i) for i in range(2))
    shapes = ((10, 6, 12), (100, 24, 8))

    def open(self, record):
        return Ramp(record.label, *self.shapes[record.label])

    def open_mask(self, record):
        frames, height, width = self.shapes[record.label]
        masks = np.zeros((frames, height, width), np.uint8)
        masks[:, :12] = 7 * record.label
        return FrameMasks(masks.__getitem__, frames, self.open(record), where=record.name)


def test_a_donor_runs_from_the_same_relative_time_in_the_videos_shape():
    source = Ramps()
    track, record = RandomDonor(config(), source), source.records[0]
    with closing(track.open(record, source.open(record))) as opened:
        values = opened.read([0.0, 0.5, 0.9], lambda *_: (6, 12))
    assert values.shape == (3, 6, 12, 4)
    # 8 columns become 12 and 24 rows 36, of which rows 15 to 20 are shown: the first three are of the upper half.
    np.testing.assert_array_equal(values[:, 0, 0, 1], [0, 50, 90])
    np.testing.assert_array_equal(values[1, :, :5, 0], 0)  # the edge between the halves is blurred
    np.testing.assert_array_equal(values[1, :, 7:, 0], 50)
    np.testing.assert_array_equal(values[0, :, 0, 3], [1, 1, 1, 0, 0, 0])


def test_images_belong_to_the_videos_name(tmp_path):
    with pytest.raises(ConfigError, match=r"CONTRASTED\.IMAGES_DIR = '' is no folder with images"):
        ImageBackground(config(), Ramps())
    (tmp_path / "deep").mkdir()
    for level, name in ((10, "a.png"), (200, "deep/b.png")):
        Image.fromarray(np.full((40, 20, 3), level, np.uint8)).save(tmp_path / name)
    cfg = config()
    cfg.CONTRASTED.IMAGES_DIR = str(tmp_path)
    track, video = ImageBackground(cfg, Ramps()), Ramps().open(Ramps.records[0])
    levels = []
    for number in range(20):
        values = track.open(VideoRecord(path="", name=f"{number}"), video).read([0.0, 0.1], lambda *_: (6, 12))
        assert values.shape == (2, 6, 12, 3)
        levels.append(values.min())
        assert values.min() == values.max()
    assert set(levels) == {10, 200}
