"""Training steps on noise, to be timed: the trainer's, a spatial student's, and those of a loop in plain PyTorch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from pvbias.config import complete, load_cfg
from pvbias.config.effects import flat
from pvbias.context import Context
from pvbias.data import TrainBatch
from pvbias.data.streams import FIRST, is_labelled, tracks_of
from pvbias.engine import Trainer, build_objective
from pvbias.engine.solver import build_optimizer
from pvbias.engine.transform import build_transforms
from pvbias.errors import ConfigError
from pvbias.machine import tf32
from pvbias.models import Recognizer, build_recognizer, find_model
from pvbias.models.outputs import first_head
from pvbias.needs import union
from pvbias.registries import TRACK
from pvbias.runtime import DTYPES, MEMORY_FORMATS, Settings, choose_settings

#: Steps between two looks at the clock. A GPU's are queued, as in a training: each alone would be timed with the wait
#: for the first of its kernels.
STEPS_AT_ONCE = {"cuda": 3, "cpu": 1}

#: Values of keys that make a step another one than the plain loop's.
PLAIN = {"TRAIN.ACCUMULATE_STEPS": 1, "SOLVER.OPTIMIZING_METHOD": "sgd", "BN.FREEZE": False}


def synchronize(device: torch.device) -> None:
    """Wait for what a device has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(action: Callable[[], object], device: torch.device, count: int = 1) -> float:
    """Seconds of an action, the mean of ``count`` that are queued one after another."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        action()
    synchronize(device)
    return (time.perf_counter() - start) / count


def take_turns(steps: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Seconds of each step in each turn, by name. They take turns, so that the machine's slow moments hit all alike."""
    rows = [{name: step() for name, step in steps.items()} for _ in range(turns)]
    return {name: [row[name] for row in rows] for name in steps}


def median_ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """The median, over the turns, of how many times as long the first took."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


class TrainerStep:
    """A step of the trainer on a mini-batch of noise: transforms, then all phases of the objective, each with loss,
    backward and optimizer.

    Args:
        overrides: of the configuration. A transform that is prepared from the training videos takes those that it
            names, and what it makes of them is kept in its OUTPUT_DIR.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        cfg = complete(load_cfg(overrides=overrides), num_classes=400)
        torch.manual_seed(0)
        recognizer = build_recognizer(cfg)
        settings = choose_settings(cfg, recognizer, training=True)
        settings.place(recognizer)
        objective = settings.place(build_objective(cfg, recognizer))
        transforms = build_transforms(cfg, recognizer)
        needs = union([objective.needs, *(transform.needs for transform in transforms)])
        for transform in transforms:
            transform.prepare(Context(cfg, settings))
        streams = {FIRST: _noise(cfg, FIRST, cfg.TRAIN.BATCH_SIZE, needs.tracks)}
        for name in needs.streams:
            if name not in streams:
                streams[name] = _noise(cfg, name, cfg.DATA.STREAMS[name].BATCH_SIZE, needs.tracks)
        self.batch = replace(streams.pop(FIRST), streams=streams)
        if settings.device.type == "cuda":
            self.batch = self.batch.pin_memory()
        loader = _OneBatch(self.batch, STEPS_AT_ONCE[settings.device.type] * cfg.TRAIN.ACCUMULATE_STEPS)
        self.trainer = Trainer(cfg, recognizer, objective, loader, settings, transforms)  # type: ignore[arg-type]

    def __call__(self) -> float:
        """Seconds of a step, the mean of some that are queued one after another."""
        trainer = self.trainer
        trainer.max_epochs = trainer.epoch + 1
        trainer.max_iterations = trainer.max_epochs * trainer.steps_per_epoch
        return timed(trainer.train, trainer.settings.device) / trainer.steps_per_epoch


class StudentStep:
    """A step of an objective's spatial student, where one of its phases trains it, and a forward of it, without the
    recognizer. It moves the student.

    Args:
        step: of the objective, which has a student.
    """

    def __init__(self, step: TrainerStep) -> None:
        self.settings, self.batch = step.trainer.settings, step.batch
        student = student_of(step.trainer)
        assert student is not None
        self.student = student
        own = {id(parameter) for parameter in student.parameters()}
        trained = any(id(parameter) in own for running in step.trainer.phases for parameter in running.parameters)
        solver = step.trainer.cfg.STUDENT.SOLVER
        self.optimizer = build_optimizer(solver, {"student": student}) if trained else None

    def __call__(self) -> float:
        """Seconds, the mean of some steps that are queued one after another."""
        device = self.settings.device
        return timed(self._step, device, STEPS_AT_ONCE[device.type])

    def _step(self) -> None:
        clips, labels = self.settings.clips(self.batch.clips), self.batch.labels
        assert labels is not None  # of noise there are
        if self.optimizer is not None:
            with self.settings.autocast():
                loss = F.nll_loss(self.student(clips), labels.to(self.settings.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        with torch.no_grad(), self.settings.autocast():
            self.student(clips)


def student_of(trainer: Trainer) -> torch.nn.Module | None:
    """The spatial student of the objective; None: it has none."""
    return getattr(trainer.objective, "student", None)


class PlainNetwork:
    """The zoo's network of a recognizer in PyTorch alone: built anew with its weights, without pvbias' own layers.

    Args:
        cfg: completed configuration.
        recognizer: whose weights it takes.
        settings: whose device and precision it takes.
        memory_format: ``contiguous`` or ``channels_last_3d``.

    Attributes:
        module: the network.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, settings: Settings, memory_format: str) -> None:
        entry, data = find_model(cfg), cfg.DATA
        self.device, self.precision, self.memory_format = settings.device, settings.precision, memory_format
        self.module = entry.build(
            num_classes=cfg.MODEL.NUM_CLASSES, num_frames=data.NUM_FRAMES, crop_size=data.TRAIN_CROP_SIZE
        )
        self.module.load_state_dict(recognizer.module.state_dict())
        self.module.to(self.device)
        own = dict(recognizer.module.named_parameters())
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(own[name].requires_grad)
            if parameter.dim() == 5:
                parameter.data = parameter.data.contiguous(memory_format=MEMORY_FORMATS[memory_format])
        self.pathways, self.mean, self.std = entry.pathways, recognizer.mean.clone(), recognizer.std.clone()

    def clips(self, clips: Tensor) -> Tensor:
        """uint8 clips ``(N, C, T, H, W)`` as float in [0, 1], on the device, in the memory format."""
        moved = clips.to(self.device, non_blocking=True)
        return moved.to(torch.float32, memory_format=MEMORY_FORMATS[self.memory_format]).div_(255)

    def logits(self, clips: Tensor) -> Tensor:
        """Logits ``(N, K)`` of clips ``(N, C, T, H, W)``, float in [0, 1]."""
        return first_head(self.module(self.pathways((clips - self.mean) / self.std)))

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Forward passes inside run in the precision."""
        dtype = DTYPES.get(self.precision)
        with tf32(self.precision == "tf32"), torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            yield


class PlainStep(PlainNetwork):
    """A step of a training loop written by hand in PyTorch: autocast, cross-entropy, backward, SGD with momentum.

    ::

        clips (N, C, T, H, W), float in [0, 1], on the device and in the memory format from the start
          -> normalise -> the zoo's network, built anew -> cross-entropy -> backward -> SGD

    None of pvbias' own layers is in it, and moving clips to the device is not: it is a lower bound of what such a loop
    takes.

    Args:
        step: the trainer's, whose weights, clips and labels it takes.
        memory_format: ``contiguous`` or ``channels_last_3d``.

    Raises:
        ConfigError: the trainer's step is to be made in another way (:data:`PLAIN`).
    """

    def __init__(self, step: TrainerStep, memory_format: str) -> None:
        cfg = step.trainer.cfg
        for key, value in flat(cfg):
            if PLAIN.get(key, value) != value:
                raise ConfigError(f"{key} = {value!r}: the plain loop has {PLAIN[key]!r}, and cannot be set beside it.")
        super().__init__(cfg, step.trainer.recognizer, step.trainer.settings, memory_format)
        self.batch = self.clips(step.batch.clips)
        assert step.batch.labels is not None  # of noise there are
        self.labels = step.batch.labels.to(self.device)
        trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=cfg.SOLVER.BASE_LR, momentum=0.9)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def __call__(self) -> float:
        """Seconds of a step, the mean of some that are queued one after another."""
        self.module.train()
        return timed(self.step, self.device, STEPS_AT_ONCE[self.device.type])

    def step(self) -> Tensor:
        """Take a step; the loss, a scalar on the device."""
        with self.autocast():
            loss = F.cross_entropy(self.logits(self.batch), self.labels)
        self.optimizer.zero_grad(set_to_none=True)
        with tf32(self.precision == "tf32"):
            self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss


class _OneBatch:
    """A loader whose epochs are one and the same mini-batch of noise, some times over."""

    def __init__(self, batch: TrainBatch, length: int) -> None:
        self.batch = batch
        self.length = length

    def __len__(self) -> int:
        return self.length

    def epoch(self, epoch: int, start: int = 0) -> list[TrainBatch]:
        """The mini-batches of an epoch."""
        return [self.batch] * (self.length - start)


def _noise(cfg: CfgNode, stream: str, size: int, tracks: Sequence[str]) -> TrainBatch:
    """A mini-batch of a stream, with values of its tracks in [0, 2)."""
    frames, crop = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    clips = torch.randint(256, (size, frames, crop, crop, 3), dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    labels = torch.randint(cfg.MODEL.NUM_CLASSES, (size,)) if is_labelled(cfg, stream) else None
    values = {}
    for name in tracks_of(tracks, stream):
        track = TRACK.get(name)
        noise = np.random.default_rng(0).uniform(0, 2, (size, track.channels, frames, crop, crop))
        values[name] = torch.from_numpy(noise.astype(track.dtype))
    return TrainBatch(clips=clips, labels=labels, names=["noise"] * size, bad=[], tracks=values)
