"""Evaluators get the tracks that they need, and no others."""

import numpy as np
import pytest

from pvbias.data import Track
from pvbias.needs import Needs
from pvbias.registries import TRACK

from .toys import NUM_VIDEOS, Keep, NoiseVideo, assert_same_rows, config, measure, recognizer


class Column:
    """Time and column of each pixel."""

    def __init__(self, duration):
        self.duration = duration

    def read(self, times, size):
        height, width = size(8, 8)
        values = np.zeros((len(times), height, width, 2), np.float32)
        values[..., 0], values[..., 1] = np.asarray(times)[:, None, None], np.arange(width)
        return values

    def close(self):
        pass


class ColumnTrack(Track):
    title, channels, dtype = "column", 2, np.float16

    def __init__(self, cfg, source):
        pass

    def open(self, record, video):
        return Column(video.duration)


class Tracked(Keep):
    """Keeps the tracks that it is given, and a frame's grey levels."""

    def __init__(self, cfg, recognizer, tracks):
        super().__init__(cfg, recognizer, ["original"])
        self.needs = Needs(modulations=("original",), tracks=tuple(tracks))

    def process(self, video, outputs):
        assert set(video.tracks) == set(self.needs.tracks)
        tracks = {name: values.numpy() for name, values in video.tracks.items()}
        self.rows[video.index] = (video.name, video.label, video.clips.numpy(), tracks)


@pytest.fixture(autouse=True)
def column(monkeypatch):
    monkeypatch.setattr(TRACK, "_obj_map", {**TRACK._obj_map, "column": ColumnTrack})


def test_every_evaluator_is_given_the_tracks_that_it_needs(tmp_path):
    cfg, model = config(), recognizer()
    evaluators = {"with": Tracked(cfg, model, ["column"]), "without": Tracked(cfg, model, [])}
    measure(tmp_path, cfg, evaluators, model=model)
    for index, (_, _, clips, tracks) in evaluators["with"].rows.items():
        values = tracks["column"]
        assert values.shape == (3, 2, 4, 8, 8)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[:, 1], np.broadcast_to(np.arange(8), (3, 4, 8, 8)))
        # The frames of those times, 10 a second.
        shown = (values[:, 0, :, 0, 0] * 10 + 0.02).astype(int)
        np.testing.assert_array_equal(clips.transpose(0, 2, 3, 4, 1), NoiseVideo(index).frames[shown])
    assert len(evaluators["with"].rows) == len(evaluators["without"].rows) == NUM_VIDEOS


def test_what_is_kept_of_a_measurement_that_was_killed_is_the_same_with_tracks(tmp_path):
    cfg, model = config(), recognizer()
    whole = {"tracked": Tracked(cfg, model, ["column"])}
    measure(tmp_path, cfg, whole, model=model)
    for _ in range(2):  # made, and taken from what is kept
        again = {"tracked": Tracked(cfg, model, ["column"])}
        measure(tmp_path, cfg, again, model=model, keep=tmp_path / "keep")
        assert_same_rows(again["tracked"].rows, whole["tracked"].rows)
