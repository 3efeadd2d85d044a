"""Every objective trains every model of the hub, and some of them in half precision."""

import pytest
import torch

import pvbias.plugins.pytorchvideo_zoo  # noqa: F401 (registers the models)
from pvbias.config import complete, load_cfg
from pvbias.data import TrainBatch
from pvbias.engine import Trainer
from pvbias.machine import choose_settings
from pvbias.models import build_recognizer
from pvbias.registries import MODEL, OBJECTIVE

#: (frames, crop), as small as the architecture takes.
SIZES = {"slowfast": (8, 32), "mvit": (2, 32), "c2d": (2, 32), "i3d": (2, 32)}
OBJECTIVES = ("DRLAdversarial", "DRLDistill", "DRLFreeze", "DRLShuffle")


class OneBatch:
    """A loader of a single mini-batch of two clips."""

    def __init__(self, frames, crop):
        clips = torch.randint(256, (2, 3, frames, crop, crop), dtype=torch.uint8)
        self.batch = TrainBatch(clips=clips, labels=torch.tensor([2, 5]), names=["a.mp4", "b.mp4"], bad=[])

    def __len__(self):
        return 1

    def epoch(self, epoch):
        yield self.batch


HUB = [name for name, model in MODEL if model.zoo == "pytorchvideo"]
#: A convolutional network and a transformer: processors without bf16 take ten times as long as for fp32.
HALF = ["x3d_xs", "mvit_base_16x4"]


@pytest.mark.parametrize(("name", "precision"), [*((name, "fp32") for name in HUB), *((name, "bf16") for name in HALF)])
def test_a_step(name, precision, tmp_path):
    frames, crop = next((size for start, size in SIZES.items() if name.startswith(start)), (3, 32))
    keys = {
        "MODEL.MODEL_NAME": name,
        "DATA.NUM_FRAMES": frames,
        "DATA.TRAIN_CROP_SIZE": crop,
        "DATA.TEST_CROP_SIZE": crop,
        "PRECISION": precision,
        "STUDENT.NAME": "squeezenet1_1",
        "STUDENT.NUM_FRAMES": 1,
        "SOLVER.MAX_EPOCH": 1.0,
        "SOLVER.BASE_LR": 1e-3,
        "OUTPUT_DIR": tmp_path,
    }
    cfg = complete(load_cfg(None, [str(part) for pair in keys.items() for part in pair]), num_classes=7)
    recognizer = build_recognizer(cfg)
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    for objective in OBJECTIVES:
        made = settings.place(OBJECTIVE.get(objective)(cfg, recognizer))
        before = recognizer.head.weight.detach().clone()
        trainer = Trainer(cfg, recognizer, made, OneBatch(frames, crop), settings)
        trainer.train()
        assert not torch.equal(recognizer.head.weight, before)
        assert all(parameter.grad is not None for parameter in recognizer.parameters())
        assert recognizer.head.weight.dtype == torch.float32
