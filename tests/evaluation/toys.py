"""Small things to measure: videos of noise, a network, an evaluator that keeps all it is given."""

import contextlib
import types

import numpy as np
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.data import BadVideoLog, VideoRecord
from pvbias.evaluation import Evaluator, Figure, Result, run_evaluators
from pvbias.models import Outputs
from pvbias.models.recognizer import Recognizer
from pvbias.needs import Needs
from pvbias.video import BadVideoError

SPEC = ClipSpec(num_frames=4, sampling_rate=2, crop_size=8, test_crop_size=8, short_side=8)
NUM_VIDEOS, NUM_CLASSES = 7, 6
SETTINGS = types.SimpleNamespace(
    device=torch.device("cpu"),
    precision="fp32",
    memory_format="contiguous",
    clips=lambda clips: clips.float().div(255),
    tracks=dict,
    autocast=contextlib.nullcontext,
)


class NoiseVideo:
    """20 frames of noise at 10 frames a second; the noise is a function of the number."""

    timestamps = np.arange(20) / 10
    duration = 2.0

    def __init__(self, number):
        generator = np.random.default_rng(number)
        self.frames = generator.integers(256, size=(20, 8, 8, 3), dtype=np.uint8)

    def read(self, times, size):
        assert size(8, 8) == (8, 8)
        return self.frames[np.clip(np.searchsorted(self.timestamps, np.asarray(times), side="right") - 1, 0, 19)]

    def close(self):
        pass


class NoiseSource:
    """Videos of noise, some of them bad."""

    class_names = ()
    description = "noise"

    def __init__(self, bad=(), num_videos=NUM_VIDEOS):
        self.records = [VideoRecord(path=f"{i}.mp4", name=f"{i}.mp4", label=i % 3) for i in range(num_videos)]
        self.bad = bad
        self.opened = []

    def open(self, record):
        self.opened.append(record.name)
        number = int(record.name.split(".")[0])
        if number in self.bad:
            raise BadVideoError("missing", "not there")
        return NoiseVideo(number)


class Small(nn.Module):
    """A convolution over time and a classifier; counts its forwards."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.head = nn.Linear(4, NUM_CLASSES)
        self.batches = []

    def forward(self, clip):
        self.batches.append(len(clip))
        assert not self.training
        assert not torch.is_grad_enabled()
        return self.head(self.norm(self.conv(clip)).relu().mean((2, 3, 4)))


class Keep(Evaluator):
    """Keeps all it is given."""

    def __init__(self, cfg, recognizer, modulations):
        super().__init__(cfg, recognizer, ())
        self.needs = Needs(modulations=tuple(modulations))

    def process(self, video, outputs):
        logits = {name: each.logits for name, each in outputs.items()}
        assert set(logits) == set(self.needs.modulations)
        self.rows[video.index] = (
            video.name,
            video.label,
            video.clips.numpy(),
            {k: v.numpy() for k, v in logits.items()},
        )

    def evaluate(self):
        return Result(figures=[Figure(name="videos", value=len(self.rows), unit="", level="video")])


def config(workers=0, batch_size=4, views=3):
    cfg = get_cfg()
    cfg.MODEL.NUM_CLASSES = NUM_CLASSES
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS = 4, 2, 10.0
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = 8
    cfg.DATA_LOADER.NUM_WORKERS = workers
    cfg.TEST.BATCH_SIZE, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = batch_size, views, 1
    cfg.BIAS.BOOTSTRAP_SAMPLES = 100
    return cfg


def recognizer():
    torch.manual_seed(0)
    model = Recognizer(Small(), clip_spec=SPEC, head="head")
    with torch.no_grad():
        model.head.weight.mul_(30)
    return model


def measure(tmp_path, cfg, evaluators, *, model=None, source=None, max_bad=0.5, keep=None):
    model = model or recognizer()
    return run_evaluators(
        cfg,
        model,
        source or NoiseSource(),
        evaluators,
        settings=SETTINGS,
        bad_log=BadVideoLog(str(tmp_path), max_bad),
        progress=False,
        keep=keep,
    )


def assert_same_rows(some, others):
    """Bit by bit."""
    assert list(some) == list(others)
    for index in some:
        assert some[index][:2] == others[index][:2]
        np.testing.assert_array_equal(some[index][2], others[index][2])
        for variant, logits in some[index][3].items():
            np.testing.assert_array_equal(logits, others[index][3][variant])


def as_outputs(logits):
    """Logits by modulation as what an evaluator is given."""
    return {name: Outputs({"": each}) for name, each in logits.items()}
