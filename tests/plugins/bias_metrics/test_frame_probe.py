"""The linear probe of single frames: on videos whose frames give the class away, and where only their order does."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.config.solvers import complete_solvers
from pvbias.data import BadVideoLog, VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import run_evaluators
from pvbias.models.recognizer import Recognizer
from pvbias.plugins import bias_metrics
from pvbias.plugins.bias_metrics import FrameProbe
from pvbias.plugins.spatial_student import SpatialStudent
from pvbias.registries import DATASET, STUDENT
from pvbias.runtime import choose_settings

FRAMES, SIZE = 4, 8
SPEC = ClipSpec(num_frames=FRAMES, sampling_rate=1, crop_size=SIZE, test_crop_size=SIZE, short_side=SIZE, fps=10.0)


class Mean(nn.Module):
    """An image network whose features are the mean colour."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        return self.head(images.mean((2, 3)))


class Order(nn.Module):
    """Says class 0 where the last frame is brighter than the first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0], [-1.0]])

    def forward(self, clips):
        return self.head((clips[:, :, -1] - clips[:, :, 0]).mean((1, 2, 3))[:, None])


class Shades:
    """Videos of class 0 that get brighter, of class 1 that get darker; their middle frame is of a random grey, or
    (``shown``) red in class 0 and blue in class 1. The last ``unlabelled`` have no label."""

    class_names = ("up", "down")
    description = "shades"

    def __init__(self, split, shown, count=40, unlabelled=0):
        self.shown, self.split = shown, split
        self.records = [
            VideoRecord(path=f"{split}/{n}", name=f"{split}/{n}", label=n % 2 if n < count - unlabelled else None)
            for n in range(count)
        ]

    def open(self, record):
        return Shade(int(record.name.partition("/")[2]), self.split, self.shown)


class Shade:
    timestamps = np.arange(FRAMES) / 10
    duration = FRAMES / 10

    def __init__(self, number, split, shown):
        rng = np.random.default_rng([len(split), number])
        colours = np.repeat(np.array([20, 90, 120, 220])[:: 1 if number % 2 == 0 else -1, None], 3, axis=1)
        colours[2] = rng.integers(60, 190)
        if shown:
            colours[2, 0 if number % 2 == 0 else 2] = 250
        self.frames = np.broadcast_to(colours[:, None, None], (FRAMES, SIZE, SIZE, 3)).astype(np.uint8)

    def read(self, times, size):
        return self.frames[np.searchsorted(self.timestamps, np.asarray(times) + 1e-3, side="right") - 1]

    def close(self):
        pass


@pytest.fixture
def measured(tmp_path):
    def run(shown, train="videos", modality="rgb", **videos):
        cfg = get_cfg()
        bias_metrics.add_config(cfg)
        cfg.OUTPUT_DIR, cfg.NUM_GPUS, cfg.DATA_LOADER.NUM_WORKERS = str(tmp_path), 0, 0
        cfg.MODEL.NUM_CLASSES, cfg.STUDENT.NAME, cfg.TRAIN.DATASET = 2, "mean", train
        cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS = FRAMES, 1, 10.0
        cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = SIZE
        cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.NUM_SPATIAL_CROPS = 1
        cfg.BIAS.BOOTSTRAP_SAMPLES, cfg.DATA.MODALITY = 100, modality
        complete_solvers(cfg)
        DATASET.register(lambda cfg, split: Shades("train", shown), name="shades")
        recognizer = Recognizer(Order(), clip_spec=SPEC, head="head")
        probe = FrameProbe(cfg, recognizer, ("up", "down"))
        settings = choose_settings(cfg, recognizer, training=False)
        source, log = Shades("test", shown, **videos), BadVideoLog(str(tmp_path), 0.0)
        results = run_evaluators(
            cfg,
            settings.place(recognizer),
            source,
            {"frame_probe": probe},
            settings=settings,
            bad_log=log,
            progress=False,
        )
        return results["frame_probe"]

    restore = DATASET.snapshot(), STUDENT.snapshot()
    STUDENT.register(lambda cfg, k: SpatialStudent(Mean(k), num_frames=cfg.STUDENT.NUM_FRAMES), name="mean")
    yield run
    for undo in restore:
        undo()


def test_frames_that_give_the_class_away(measured):
    result = measured(True, "shades", count=42, unlabelled=2)
    found = {(figure.name, figure.level): figure for figure in result.figures}
    for level in ("clip", "video"):
        assert found["frame_top1", level].value == 100
        assert found["representation_bias", level].value == pytest.approx(math.log(2))
        assert 0.9 * math.log(2) < found["static_information", level].value <= math.log(2)
    assert found["frame_top1", "video"].count == 40
    assert "2 videos without a label" in found["frame_top1", "video"].note
    for row in result.tables["frame_probe_classes"]:
        assert (row["told_by_a_frame"], row["needs_motion"], row["model_top1"]) == (True, False, 100)
    (fit,) = result.tables["frame_probe"]
    assert (fit["training_videos"], fit["frames"], fit["features"], fit["top1_training"]) == (40, 40, 3, 100)


def test_flow_is_no_appearance(measured):
    with pytest.raises(ConfigError, match="show optical flow"):
        measured(True, "shades", modality="flow", count=4)


def test_chance_is_of_the_classes_that_training_videos_have(measured, monkeypatch):
    """A part of a large data set, whose list has the names of all classes."""
    monkeypatch.setattr(Shades, "class_names", (*Shades.class_names, *map(str, range(98))))
    result = measured(True, "shades", count=20)
    found = {(figure.name, figure.level): figure for figure in result.figures}
    assert found["representation_bias", "video"].value == pytest.approx(math.log(2))
    assert result.tables["frame_probe"][0]["chance"] == 50


def test_classes_that_need_motion(measured):
    """The middle frame says nothing, the order of frames all: so does the model, which sees it."""
    result = measured(False, "shades", count=80)
    found = {(figure.name, figure.level): figure for figure in result.figures}
    low, high = found["frame_top1", "video"].interval
    assert low < 50 < high
    bias = found["representation_bias", "video"]
    assert bias.interval == pytest.approx((math.log(low / 50), math.log(high / 50)))
    assert -0.1 < found["static_information", "video"].value < 0.05
    rows = result.tables["frame_probe_classes"]
    assert {row["class"] for row in rows} == {"up", "down"}
    assert rows[0]["needs_motion"]
    assert sum(row["frame_top1"] for row in rows) / 2 == pytest.approx(found["frame_top1", "video"].value)


def test_without_training_videos(measured):
    with pytest.raises(DataError, match="leave frame_probe out"):
        measured(True)
