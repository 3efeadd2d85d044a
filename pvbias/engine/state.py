"""The state of a training: networks, optimizers and position, for the trainer, its hooks and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from fvcore.common.config import CfgNode
from fvcore.nn.precise_bn import BN_MODULE_TYPES
from torch import nn
from torch.optim import Optimizer

from ..data import TrainBatch, TrainLoader
from ..models.recognizer import Recognizer
from ..runtime import Settings
from .finite import StepScalars
from .identity import Identity
from .objective import Objective, Phase
from .parallel import GradientAverage, broadcast_parameters
from .solver import LRSchedule, build_lr_schedule, build_optimizer
from .transform import Transform


@dataclass(frozen=True, kw_only=True)
class RunningPhase:
    """A phase with its optimizer, schedule and gradient averaging.

    Attributes:
        phase: as the objective declares it.
        optimizer: over the trainable parameters of its modules.
        schedule: learning rate by fractional epoch.
        updates_recognizer: parameters of the recognizer are among them.
        average: of their gradients, over the processes.
    """

    phase: Phase
    optimizer: Optimizer
    schedule: LRSchedule
    updates_recognizer: bool
    average: GradientAverage

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the optimizer updates."""
        return _parameters(self.optimizer)


@dataclass(frozen=True)
class StepRecord:
    """Metrics and timing of one step.

    Attributes:
        scalars: to be logged; None: there has been no step.
        data_seconds: waiting for the loader.
        compute_seconds: everything else.
        clips: of this process, of all streams.
    """

    scalars: StepScalars | None = None
    data_seconds: float = 0.0
    compute_seconds: float = 0.0
    clips: int = 0

    @property
    def metrics(self) -> Mapping[str, float]:
        """The logged scalars, ``loss`` and the like; with several phases ``<phase>/<name>``. On a GPU, which has the
        latest step still to do, reading them waits for it.

        Raises:
            TrainingError: a loss or gradient of the step is not finite.
        """
        return {} if self.scalars is None else self.scalars.read()


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers in a module."""
    return [layer for layer in module.modules() if isinstance(layer, BN_MODULE_TYPES)]


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class Resumable(Protocol):
    """The contract of what a checkpoint keeps beside networks and optimizers: the state of a hook."""

    def state(self) -> dict[str, Any]:
        """This process's state: tensors and plain values."""

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Restore the states of all processes of the run that is resumed."""


class TrainState:
    """Networks, optimizers, schedules and the position of a training.

    Attributes:
        epoch: finished epochs.
        iteration: finished steps, also counting those before a resume.
        generators: for a start inside an epoch: where the random generators are (:func:`.seeding.generator_states`);
            None: they restart from a seed of (``RNG_SEED``, epoch, process, step).
        max_iterations: steps of the whole run: ``MAX_EPOCH`` epochs, rounded.
        class_names: of the training videos, in label order, for checkpoints; empty: they have none.
        identity: what decides this training (:mod:`.identity`), for checkpoints.
        history: what was another way before a checkpoint that the run has gone on from, in words.
        last: the latest step.
        window: its mini-batches.
    """

    def __init__(
        self,
        cfg: CfgNode,
        recognizer: Recognizer,
        objective: Objective,
        loader: TrainLoader,
        settings: Settings,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.cfg = cfg
        self.recognizer = recognizer
        self.objective = objective
        self.loader = loader
        self.settings = settings
        self.transforms = transforms
        self.hooks: Sequence[Resumable] = ()
        self.class_names: Sequence[str] = ()
        self.identity: Identity = {}
        self.history: list[str] = []
        if cfg.BN.FREEZE:
            for module in batch_norms(recognizer):
                module.requires_grad_(False)
        broadcast_parameters(recognizer)
        broadcast_parameters(objective)
        self.phases = [self._running(phase) for phase in objective.phases()]
        self.scaler = torch.amp.GradScaler(settings.device.type, enabled=settings.precision == "fp16")
        self.steps_per_epoch = math.ceil(len(loader) / cfg.TRAIN.ACCUMULATE_STEPS)
        self.max_iterations = max(1, round(cfg.SOLVER.MAX_EPOCH * self.steps_per_epoch))
        self.max_epochs = math.ceil(self.max_iterations / self.steps_per_epoch)
        self.epoch = 0
        self.iteration = 0
        self.generators: Mapping[str, Any] | None = None
        self.last = StepRecord()
        self.window: Sequence[TrainBatch] = ()

    def _running(self, phase: Phase) -> RunningPhase:
        optimizer = build_optimizer(phase.solver, phase.modules, phase.lr_factors)
        recognizers = {id(parameter) for parameter in self.recognizer.parameters()}
        parameters = _parameters(optimizer)
        return RunningPhase(
            phase=phase,
            optimizer=optimizer,
            schedule=build_lr_schedule(phase.solver, num_shards=self.cfg.NUM_SHARDS),
            updates_recognizer=any(id(parameter) in recognizers for parameter in parameters),
            average=GradientAverage(parameters),
        )

    @property
    def step(self) -> int:
        """Finished steps of the current epoch."""
        return max(0, self.iteration - self.epoch * self.steps_per_epoch)  # the last epoch may be part of one

    @property
    def fractional_epoch(self) -> float:
        """Position of the training in epochs; schedules are functions of it."""
        return self.iteration / self.steps_per_epoch

    @property
    def learning_rates(self) -> dict[str, float]:
        """The learning rates of the latest step, ``lr`` or ``<phase>/lr``."""
        return {self.key(running, "lr"): running.optimizer.param_groups[0]["lr"] for running in self.phases}

    def set_training_mode(self) -> None:
        """Set all modules to training mode, except for BatchNorm that is frozen."""
        self.recognizer.train()
        self.objective.train()
        if self.cfg.BN.FREEZE:
            for module in batch_norms(self.recognizer):
                module.eval()

    def key(self, running: RunningPhase, name: str) -> str:
        """The name under which a phase's scalar is logged: ``<phase>/<name>`` where there are several phases."""
        return name if len(self.phases) == 1 else f"{running.phase.name}/{name}"
