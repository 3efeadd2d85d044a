"""A plugin for jobs of tests: a network of a few kB, and an objective that takes its time, or ends its process."""

import os
import signal
import time

from fvcore.common.config import CfgNode
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.distributed import get_rank
from pvbias.engine import CrossEntropy
from pvbias.errors import DataError
from pvbias.models import ZooModel
from pvbias.registries import MODEL, OBJECTIVE


def add_config(cfg):
    cfg.BRAKE = CfgNode()
    # Seconds for each step.
    cfg.BRAKE.SECONDS = 0.0
    # The process in which the third step goes wrong: "killed" (as by the kernel) or "raises". Negative: none.
    cfg.BRAKE.BAD_RANK = -1
    cfg.BRAKE.HOW = "killed"


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
        clip_spec=ClipSpec(num_frames=4, sampling_rate=1, crop_size=16, test_crop_size=16, short_side=16),
        head="proj",
    ),
    name="braked_net",
)


@OBJECTIVE.register()
class Braked(CrossEntropy):
    """Cross-entropy, not too fast for a test that has to interrupt it."""

    steps = 0

    def _loss(self, step):
        time.sleep(self.cfg.BRAKE.SECONDS)
        self.steps += 1
        if self.steps == 3 and get_rank() == self.cfg.BRAKE.BAD_RANK:
            if self.cfg.BRAKE.HOW == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise DataError("this process cannot go on")
        return super()._loss(step)
