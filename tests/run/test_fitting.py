"""Auxiliary networks: trained once, found by fingerprint, the best epoch or the last."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.context import Context
from pvbias.data import VideoRecord
from pvbias.engine import classification
from pvbias.errors import DataError, TrainingError
from pvbias.models import Recognizer
from pvbias.run.fitting import hold_out
from pvbias.runtime import choose_settings

FRAMES, SIZE = 2, 8
SPEC = ClipSpec(
    num_frames=FRAMES,
    sampling_rate=1,
    crop_size=SIZE,
    test_crop_size=SIZE,
    short_side=SIZE,
    fps=10.0,
    mean=(0.0,) * 3,
    std=(1.0,) * 3,
)


class Greys:
    """Videos of one grey each: dark (0) and bright (1)."""

    class_names = ()
    description = "greys"

    def __init__(self, count, *, labelled=True):
        self.records = [
            VideoRecord(path=str(index), name=str(index), label=index % 2 if labelled else None)
            for index in range(count)
        ]

    def open(self, record):
        return Grey(60 + 120 * (int(record.name) % 2))


class Grey:
    timestamps = np.arange(FRAMES) / 10
    duration = FRAMES / 10

    def __init__(self, level):
        self.level = level

    def read(self, times, size):
        return np.full((len(times), SIZE, SIZE, 3), self.level, np.uint8)

    def close(self):
        pass


class Linear(nn.Module):
    """A linear classifier of the mean colour; counts the clips it is trained on."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.trained = 0

    def forward(self, clips):
        self.trained += len(clips) * self.training
        return self.head(clips.mean((2, 3, 4)))


@pytest.fixture
def context(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.NUM_GPUS, cfg.TENSORBOARD.ENABLE = str(tmp_path), 0, False
    cfg.MODEL.NUM_CLASSES, cfg.DATA_LOADER.NUM_WORKERS = 2, 0
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS = FRAMES, 1, 10.0
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = SIZE
    cfg.DATA.TRAIN_JITTER_SCALES = [SIZE, SIZE]
    cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.NUM_SPATIAL_CROPS = 1
    cfg.TRAIN.BATCH_SIZE = 4
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.WEIGHT_DECAY = 0.5, 3.0, 0.0
    return Context(cfg, choose_settings(cfg, network(), training=False))


def network():
    return Recognizer(Linear(), clip_spec=SPEC, head="head")


def cross_entropy(step):
    return classification(step.logits, step.labels)


def held_out(video, outputs):
    return float(nn.functional.cross_entropy(outputs.logits, torch.full((len(outputs.logits),), video.label)))


def fit(context, module, source=None, loss=cross_entropy, **options):
    source = source or Greys(20)
    return context.fit(module, source, loss, name="probe", solver=context.cfg.SOLVER, **options)


def test_it_learns_and_is_found_again(context):
    first, second = network(), network()
    fitted = fit(context, first)
    assert [row["epoch"] for row in fitted.epochs] == [1, 2, 3]
    assert fitted.epochs[-1]["training_loss"] < fitted.epochs[0]["training_loss"] < math.log(2)
    assert fitted.best == 3  # the last one: nothing is held out
    assert first.module.trained == 3 * 20
    assert fit(context, second) == fitted
    assert second.module.trained == 0
    assert torch.equal(first.head.weight, second.head.weight)
    assert not second.training


def test_what_is_drawn_afterwards_does_not_depend_on_whether_it_was_there(context):
    """Other networks that are made after it start the same in a run that was killed in between."""
    drawn = []
    for module in (network(), network()):  # trained, found
        torch.manual_seed(7)
        np.random.seed(7)
        fit(context, module)
        drawn.append((float(torch.rand(())), np.random.random()))
    assert drawn[0] == drawn[1]


def test_the_best_epoch_over_held_out_videos(context):
    context.cfg.SOLVER.STEPS, context.cfg.SOLVER.LRS = [0, 2], [1.0, -10.0]  # the last epoch unlearns
    context.cfg.SOLVER.LR_POLICY = "steps_with_relative_lrs"
    module = network()
    fitted = fit(context, module, held_out_loss=held_out)
    losses = [row["held_out_loss"] for row in fitted.epochs]
    assert fitted.best == 2
    assert module.module.trained == 3 * 16  # mini-batches of 4 of the 18 that are not held out
    dark, bright = (torch.full((1, 3, FRAMES, SIZE, SIZE), level / 255) for level in (60, 180))
    with torch.no_grad():  # the loss over the held-out videos is that of epoch 2
        ends = [
            float(nn.functional.cross_entropy(module(clip), torch.tensor([n]))) for n, clip in enumerate((dark, bright))
        ]
    labels = [record.label for record in hold_out(Greys(20), seed=context.cfg.RNG_SEED)[1].records]
    assert np.mean([ends[label] for label in labels]) == pytest.approx(losses[1], rel=1e-5)
    assert losses[2] > 1.001 * losses[1]


def test_what_makes_another_network(context):
    folders = {fit(context, network()).folder}
    folders.add(fit(context, network(), depends_on={"option": 1}).folder)
    folders.add(fit(context, network(), Greys(24)).folder)
    other = network()
    nn.init.constant_(other.head.bias, 1e-6)
    folders.add(fit(context, other).folder)
    context.cfg.SOLVER.BASE_LR = 0.4
    folders.add(fit(context, network()).folder)
    frozen = network()
    frozen.head.bias.requires_grad_(False)
    folders.add(fit(context, frozen).folder)
    assert not frozen.head.bias.any()
    context.cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = True
    folders.add(fit(context, network()).folder)
    context.cfg.NUM_SHARDS = 2
    folders.add(fit(context, network()).folder)
    context.cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False
    context.cfg.TEST.BATCH_SIZE, context.cfg.DATA.PATH_PREFIX = 3, "elsewhere"
    assert len(folders) == 8
    assert fit(context, network()).folder in folders


def test_a_held_out_loss_that_is_not_finite(context):
    with pytest.raises(TrainingError, match="held-out videos is nan after epoch 1"):
        fit(context, network(), held_out_loss=lambda video, outputs: math.nan)


def test_without_labels(context):
    """The loss sees none: to say the same of all clips, which these start with."""
    fitted = fit(
        context,
        network(),
        Greys(8, labelled=False),
        lambda step: {"loss": step.logits.square().mean()},
        labelled=False,
    )
    assert fitted.epochs[-1]["training_loss"] == 0


def test_held_out_videos():
    source = Greys(40)
    fitting, held_out = hold_out(source, seed=0)
    names = [record.name for record in held_out.records]
    assert len(names) == 4
    assert sorted([*names, *(record.name for record in fitting.records)]) == sorted(r.name for r in source.records)
    source.records.reverse()  # the names and the seed decide, not the order
    assert [record.name for record in hold_out(source, seed=0)[1].records] == names[::-1]
    assert [record.name for record in hold_out(source, seed=1)[1].records] != names[::-1]
    source.records = [record for record in source.records for _ in range(3)]  # three parts of each
    parts = hold_out(source, seed=0)
    assert not {record.name for record in parts[0].records} & {record.name for record in parts[1].records}
    source.records = source.records[:3]
    with pytest.raises(DataError, match="has 1"):
        hold_out(source, seed=0)
