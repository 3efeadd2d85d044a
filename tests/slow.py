"""A plugin for tests that interrupt commands: videos and steps that take their time, and a network of a few kB."""

import time

from torch import nn

from pvbias.clips import ClipSpec
from pvbias.engine import CrossEntropy
from pvbias.models import ZooModel
from pvbias.registries import DATASET, MODEL, OBJECTIVE

from .evaluation.toys import NoiseSource

#: Seconds that a video takes to open, and a step to compute.
SECONDS = 0.04


class SlowVideos(NoiseSource):
    description = "slow noise"

    def open(self, record):
        time.sleep(SECONDS)
        return super().open(record)


@DATASET.register(name="slow_videos")
def slow_videos(cfg, split):
    return SlowVideos(bad=(5, 17), num_videos={"train": 40, "val": 12, "test": 60}[split])


@OBJECTIVE.register()
class SlowCrossEntropy(CrossEntropy):
    def _loss(self, step):
        time.sleep(SECONDS)
        return super()._loss(step)


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm3d(6)
        self.dropout = nn.Dropout(0.2)
        self.proj = nn.Linear(6, num_classes)

    def forward(self, clip):
        return self.proj(self.dropout(self.norm(self.conv(clip)).relu().mean((2, 3, 4))))


MODEL.register(
    ZooModel(
        zoo="tests",
        build=lambda num_classes, num_frames, crop_size: Net(num_classes),
        clip_spec=ClipSpec(num_frames=4, sampling_rate=2, crop_size=8, test_crop_size=8, short_side=8),
        head="proj",
    ),
    name="slow_net",
)
