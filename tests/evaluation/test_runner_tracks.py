"""Evaluators get the tracks that they need, and no others."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from pvbias.clips import TrackModulation
from pvbias.config import load_cfg
from pvbias.data import Track
from pvbias.errors import ConfigError
from pvbias.evaluation import SampleClips
from pvbias.models.evaluation_mode import evaluation_mode
from pvbias.needs import Needs
from pvbias.registries import MODULATION, TRACK

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


@dataclass(frozen=True)
class OfColumn(TrackModulation):
    """The track's columns in place of red."""

    tracks = ("column",)

    def modulate(self, clips, seeds, tracks):
        changed = clips.clone()
        changed[:, 0] = tracks["column"][:, 1].to(clips.dtype)
        return changed


@pytest.fixture
def of_column(monkeypatch):
    monkeypatch.setattr(MODULATION, "_obj_map", {**MODULATION._obj_map, "of_column": OfColumn})


@pytest.mark.parametrize("in_pieces", [False, True])
def test_modulations_are_given_the_tracks_that_they_take(tmp_path, of_column, monkeypatch, in_pieces):
    cfg, model = config(batch_size=2), recognizer()
    if in_pieces:
        monkeypatch.setattr("pvbias.data.dataset.BYTES_AT_ONCE", 4 * 8 * 8 * 3)
    evaluators = {"keep": Keep(cfg, model, ["original", "of_column"]), "samples": SampleClips(cfg, model, ())}
    measure(tmp_path, cfg, evaluators, model=model)
    for _, _, clips, logits in evaluators["keep"].rows.values():
        changed = torch.as_tensor(clips).clone()
        changed[:, 0] = torch.arange(8)
        with torch.no_grad(), evaluation_mode(model):
            expected = model(changed.float() / 255)
        np.testing.assert_allclose(logits["of_column"], expected.numpy(), rtol=1e-4, atol=1e-4)
        assert np.abs(logits["of_column"] - logits["original"]).max() > 0.1


def test_sample_clips_show_what_takes_a_track(tmp_path, of_column):
    cfg, model = config(), recognizer()
    cfg.BIAS.MODULATIONS = ["of_column"]
    samples = SampleClips(cfg, model, ())
    result = measure(tmp_path, cfg, {"samples": samples}, model=model)["samples"]
    assert "of_column" in {row["variant"] for row in result.tables["samples"]}


def test_what_takes_a_track_is_no_modulation_of_the_data(of_column):
    with pytest.raises(ConfigError, match="takes what accompanies the clips"):
        load_cfg(None, ["DATA.MODULATION", "of_column"])
    with pytest.raises(ConfigError, match=r"modulate\(clips, seeds, tracks\)"):
        OfColumn()(torch.zeros(1, 3, 4, 8, 8), [0])
