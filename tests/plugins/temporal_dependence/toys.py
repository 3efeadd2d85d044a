"""Videos that move by a pixel every so many frames, and a network that sees just that."""

import numpy as np
import torch
from torch import nn

from pvbias.clips import ClipSpec, modulation, view_seeds
from pvbias.data import VideoRecord
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from pvbias.plugins import temporal_dependence
from tests.evaluation import toys

FRAMES = 16
SPEC = ClipSpec(
    num_frames=FRAMES, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4, mean=(0.5,) * 3, std=(0.5,) * 3
)


class Apart(nn.Module):
    """How well a frame, moved by a pixel to the left or to the right, fits the one ``apart`` frames later: mean over
    the clip. Its temporal receptive field is ``apart + 1`` frames."""

    def __init__(self, apart, scale=20.0):
        super().__init__()
        self.apart = apart
        self.head = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.head.weight)
        self.head.weight.data *= scale

    def forward(self, clip):
        first, last = clip[:, :, : -self.apart], clip[:, :, self.apart :]
        fits = [(first.roll(way, -1) * last).mean((1, 2, 3, 4)) for way in (1, -1)]
        return self.head(torch.stack(fits, 1))


class Still(nn.Module):
    """Averages over time."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.head.weight.data *= 50

    def forward(self, clip):
        return self.head(torch.stack([clip[:, 0].mean((1, 2, 3)), clip[:, 1].mean((1, 2, 3))], 1))


def moving(number, way, apart, frames=FRAMES):
    """Noise, uint8 ``(3, T, 4, 4)``, that is a pixel further to the right (1) or left (-1) ``apart`` frames later."""
    generator = torch.Generator().manual_seed(number)
    clip = 255 * torch.randint(2, (3, frames, 4, 4), generator=generator, dtype=torch.uint8)
    for frame in range(apart, frames):
        clip[:, frame] = clip[:, frame - apart].roll(way, -1)
    return clip


class MovingSource:
    """Videos that move to the right (class 0) and to the left (class 1)."""

    class_names = ("going right", "going left")
    description = "moving noise"

    def __init__(self, count, apart=1):
        self.records = [VideoRecord(path=f"{i}.mp4", name=f"{i}.mp4", label=i % 2) for i in range(count)]
        self.apart = apart

    def open(self, record):
        return MovingVideo(int(record.name.split(".")[0]), (1, -1)[record.label], self.apart)


class MovingVideo:
    """16 frames at 10 a second."""

    timestamps = np.arange(FRAMES) / 10
    duration = FRAMES / 10

    def __init__(self, number, way, apart):
        self.frames = moving(number, way, apart).permute(1, 2, 3, 0).numpy()

    def read(self, times, size):
        return self.frames[
            np.clip(np.searchsorted(self.timestamps, np.asarray(times), side="right") - 1, 0, FRAMES - 1)
        ]

    def close(self):
        pass


def recognizer(module):
    return Recognizer(module.eval(), clip_spec=SPEC, head="head")


def config(frames=FRAMES, **keys):
    cfg = toys.config(views=1)
    temporal_dependence.add_config(cfg)
    cfg.MODEL.NUM_CLASSES = 2
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE = frames, 1
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = 4
    for key, value in keys.items():
        cfg.BIAS[key] = value
    return cfg


def feed(evaluator, videos, labels=None):
    """Show an evaluator one-view videos, uint8 ``(3, T, H, W)``; the figures by (name, level, variant), the result."""
    for index, clip in enumerate(videos):
        name = f"{index}.mp4"
        with torch.no_grad():
            outputs = {
                spec: evaluator.recognizer.outputs(modulation(spec)(clip[None], view_seeds(0, name, 1)).float() / 255)
                for spec in evaluator.needs.modulations
            }
        label = None if labels is None else labels[index]
        evaluator.process(VideoViews(index=index, name=name, label=label, clips=clip[None]), outputs)
    result = evaluator.evaluate()
    return {(figure.name, figure.level, figure.variant): figure for figure in result.figures}, result
