"""Long videos by "windows", whose views are read some at a time: as if they were all there at once, bit by bit."""

import numpy as np
import pytest
import torch

from pvbias.data import Views, dataset
from pvbias.evaluation import Accuracy, SampleClips
from pvbias.video import BadVideoError

from .test_runner_features import KeepFeatures
from .toys import Keep, NoiseSource, NoiseVideo, assert_same_rows, config, measure, recognizer

MODULATIONS = ("original", "shuffle", "freeze(frame=random)")
#: Bytes of the three crops of a temporal clip: 4 frames of 8 x 8 pixels.
CLIP = 3 * 4 * 8 * 8 * 3


class WideVideo(NoiseVideo):
    """Three crops that differ; broken from a second on, where ``ends`` says so."""

    def __init__(self, number, ends):
        super().__init__(number)
        self.ends = ends
        self.frames = np.random.default_rng(number).integers(256, size=(20, 8, 12, 3), dtype=np.uint8)

    def read(self, times, size):
        if max(times) > self.ends:
            raise BadVideoError("decoder error", "broken")
        assert size(8, 12) == (8, 12)
        return self.frames[np.clip(np.searchsorted(self.timestamps, np.asarray(times), side="right") - 1, 0, 19)]


class WideSource(NoiseSource):
    def __init__(self, broken=()):
        super().__init__(num_videos=4)
        self.broken = broken

    def open(self, record):
        number = int(record.name.split(".")[0])
        return WideVideo(number, 1.0 if number in self.broken else 10.0)


def measured(folder, clips_at_once, monkeypatch, *, workers=0, broken=(), modulation="original"):
    monkeypatch.setattr(dataset, "BYTES_AT_ONCE", clips_at_once * CLIP)
    cfg = config(workers)
    cfg.DATA.TEMPORAL_SAMPLING, cfg.DATA.WINDOW_STRIDE, cfg.DATA.MODULATION = "windows", 1, modulation
    cfg.TEST.NUM_SPATIAL_CROPS, cfg.OUTPUT_DIR = 3, str(folder)
    model = recognizer()
    evaluators = {
        "keep": Keep(cfg, model, MODULATIONS),
        "features": KeepFeatures(cfg, model),
        "accuracy": Accuracy(cfg, model, ()),
        "samples": SampleClips(cfg, model, ()),
    }
    return evaluators, measure(folder, cfg, evaluators, model=model, source=WideSource(broken))


def assert_same(found, wanted):
    assert_same_rows(found[0]["keep"].rows, wanted[0]["keep"].rows)
    for key, values in wanted[0]["features"].found.items():
        np.testing.assert_array_equal(found[0]["features"].found[key], values)
    assert found[1]["accuracy"].figures == wanted[1]["accuracy"].figures
    assert found[1]["samples"].images == wanted[1]["samples"].images
    assert found[1]["samples"].tables == wanted[1]["samples"].tables


@pytest.mark.parametrize(
    ("clips_at_once", "workers", "modulation"), [(1, 0, "original"), (5, 0, "shuffle"), (4, 2, "shuffle")]
)
def test_pieces_give_what_all_bytes_at_once_give(tmp_path, monkeypatch, clips_at_once, workers, modulation):
    whole = measured(tmp_path / "whole", 1000, monkeypatch, modulation=modulation)
    assert whole[0]["keep"].rows[0][2].shape == (13 * 3, 3, 4, 8, 8)  # begins at 0, 0.1, ..., 1.2 s: 0.8 of 2 s
    assert_same(measured(tmp_path / "some", clips_at_once, monkeypatch, workers=workers, modulation=modulation), whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_video_whose_end_is_broken_is_a_bad_one(tmp_path, monkeypatch, workers):
    wanted = measured(tmp_path / "whole", 1000, monkeypatch, broken=(1,))
    found = measured(tmp_path / "some", 2, monkeypatch, broken=(1,), workers=workers)
    assert list(wanted[0]["keep"].rows) == [0, 2, 3]
    assert_same(found, wanted)
    lists = [(tmp_path / name / "bad_videos.jsonl").read_text() for name in ("whole", "some")]
    assert lists[0] == lists[1]
    assert "decoder error" in lists[0]


class KeepMiddle(KeepFeatures):
    def views_of_features(self, num_views):
        return range(num_views // 2, num_views // 2 + 2)


def test_features_of_some_views_beside_those_of_all(tmp_path, monkeypatch):
    cfg, model = config(views=5), recognizer()
    alone, beside = ({"middle": KeepMiddle(cfg, model, ("embedding", "conv"))} for _ in range(2))
    beside["all"] = KeepFeatures(cfg, model, ("conv",))
    measure(tmp_path / "alone", cfg, alone, model=model)
    measure(tmp_path / "beside", cfg, beside, model=model)
    whole = beside["all"].found["shuffle", "conv"]
    assert whole.shape[:2] == (7, 5)
    for evaluators in (alone, beside):
        found = evaluators["middle"].found
        np.testing.assert_array_equal(found["shuffle", "conv"], whole[:, 2:4])
        assert found["original", "embedding"].shape == (7, 2, 4)


def test_views_are_read_when_they_are_asked_for():
    values, asked = torch.arange(7)[:, None].expand(7, 2), []

    def read(start, stop):
        asked.append((start, stop))
        return values[start:stop]

    views = Views(values.shape, read)
    assert (len(views), views.shape[1]) == (7, 2)
    for key in (3, -1, slice(2, 5), slice(-3, None), slice(4, 4)):
        assert torch.equal(views[key], values[key])
    assert asked == [(3, 4), (6, 7), (2, 5), (4, 7), (0, 1)]
    assert [len(part) for part in views.split(3)] == [3, 3, 1]
    assert torch.equal(views.map(lambda part: part * 2)[1:3], values[1:3] * 2)
    assert torch.equal(views[torch.tensor([5, 0])], values[[5, 0]])
    assert torch.equal(views.float(), values.float())
    with pytest.raises(IndexError):
        views[7]
