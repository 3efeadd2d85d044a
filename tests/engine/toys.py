"""A small zoo-like model, generated mini-batches and an objective with two phases."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from fvcore.common.config import CfgNode
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.data import TrainBatch
from pvbias.engine import Objective, Phase, Trainer
from pvbias.engine.transform import build_transforms
from pvbias.models import Recognizer
from pvbias.runtime import choose_settings

CLASSES = 3
SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)


class TinyNet(nn.Module):
    """One 3D convolution (and BatchNorm, dropout if asked for), average pool, projection; a few kB."""

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm3d(6) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(6, CLASSES)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.conv(clip)).relu().mean((2, 3, 4))
        return self.proj(self.dropout(features))


def tiny_recognizer(*, norm: bool = False, dropout: float = 0.0, seed: int = 0) -> Recognizer:
    torch.manual_seed(seed)
    return Recognizer(TinyNet(norm, dropout), clip_spec=SPEC, head="proj")


class FakeLoader:
    """``length`` mini-batches an epoch over all processes' ``batch_size``, different in every epoch; this process's
    share of each."""

    def __init__(self, length: int = 3, batch_size: int = 4, *, rank: int = 0, world_size: int = 1, bad: tuple = ()):
        self.length, self.batch_size, self.rank, self.world_size, self.bad = length, batch_size, rank, world_size, bad
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return self.length

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TrainBatch]:
        self.epochs.append(epoch)
        generator = torch.Generator().manual_seed(1000 + epoch)
        for number in range(self.length):
            clips = torch.randint(0, 256, (self.batch_size, 3, 4, 8, 8), dtype=torch.uint8, generator=generator)
            labels = torch.randint(0, CLASSES, (self.batch_size,), generator=generator)
            mine = slice(self.rank, None, self.world_size)
            names = [f"video_{epoch}_{number}_{n}.mp4" for n in range(self.batch_size)]
            if number >= start:
                yield TrainBatch(clips=clips[mine], labels=labels[mine], names=names[mine], bad=list(self.bad))


class TeacherAndStudent(Objective):
    """First a linear student learns the recognizer's predictions, then the recognizer learns the labels and the
    student."""

    def __init__(self, cfg, recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.student = nn.Linear(3, recognizer.num_classes)
        self.seen: list[torch.Tensor] = []
        self.shared: list[int] = []

    def phases(self):
        return [
            Phase(name="student", modules={"student": self.student}, loss=self._student, solver=self.cfg.SOLVER),
            Phase(
                name="recognizer",
                modules={"recognizer": self.base_recognizer},
                loss=self._recognizer_loss,
                solver=self.cfg.SOLVER,
            ),
        ]

    def _predict(self, step):
        return self.student(step.clips.mean((2, 3, 4)))

    def _student(self, step):
        self.shared.append(id(step.logits))
        return {"loss": nn.functional.mse_loss(self._predict(step), step.logits.detach())}

    def _recognizer_loss(self, step):
        self.shared.append(id(step.logits))
        self.seen.append(self.student.weight.detach().clone())
        with torch.no_grad():
            target = self._predict(step)
        distance = nn.functional.mse_loss(step.logits, target)
        return {"loss": nn.functional.cross_entropy(step.logits, step.labels) + distance, "distance": distance}


def make_cfg(output_dir, *overrides):
    """Defaults for small runs on the CPU, with ``KEY, value`` pairs on top."""
    cfg = get_cfg()
    basic = ["OUTPUT_DIR", str(output_dir), "MODEL.NUM_CLASSES", CLASSES, "TENSORBOARD.ENABLE", False, "NUM_GPUS", 0]
    basic += ["SOLVER.MAX_EPOCH", 2.0, "SOLVER.WEIGHT_DECAY", 0.001, "TRAIN.BATCH_SIZE", 4]
    set_keys(cfg, [*basic, *overrides])
    return cfg


def set_keys(cfg, overrides):
    """Set ``KEY, value`` pairs, of whatever type the values are."""
    for name, value in zip(overrides[::2], overrides[1::2], strict=True):
        *parents, leaf = name.split(".")
        node = cfg
        for parent in parents:
            node = node[parent]
        node[leaf] = value


def make_cfg_with_student(output_dir, add_config, student, *overrides):
    """:func:`make_cfg` with a plugin's keys and a student of the registry, which is trained as the recognizer is."""
    cfg = make_cfg(output_dir)
    add_config(cfg)
    set_keys(cfg, ["STUDENT.NAME", student, *overrides])
    cfg.STUDENT.SOLVER = CfgNode({**cfg.SOLVER, **{k: v for k, v in cfg.STUDENT.SOLVER.items() if v is not None}})
    return cfg


def make_trainer(cfg, recognizer, objective, loader) -> Trainer:
    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    transforms = build_transforms(cfg, recognizer)
    return Trainer(cfg, recognizer, objective(cfg, recognizer), loader, settings, transforms)


def weights(module: nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return nn.utils.parameters_to_vector(parameter.detach().contiguous() for parameter in module.parameters())
