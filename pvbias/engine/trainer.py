"""The training loop: epochs of steps, a step of phases, hooks around both."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from fvcore.common.config import CfgNode
from fvcore.nn.precise_bn import BN_MODULE_TYPES
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data import TrainBatch, TrainLoader
from ..distributed import get_rank, is_main_process
from ..errors import TrainingError
from ..interruption import answering
from ..models.recognizer import Recognizer
from ..runtime import Settings
from .hooks import Hook
from .identity import Identity
from .objective import Objective, Phase, Step
from .parallel import GradientAverage, broadcast_buffers, broadcast_parameters
from .seeding import restore_generators, seed_everything
from .solver import LRSchedule, build_lr_schedule, build_optimizer, clip_gradients, trainable_parameters

logger = logging.getLogger(__name__)

#: Names that a message lists.
_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class RunningPhase:
    """A phase with what updates it.

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
        """What the optimizer updates."""
        return _parameters(self.optimizer)


@dataclass
class StepRecord:
    """What one step was like.

    Attributes:
        metrics: logged scalars, ``loss`` and the like; with several phases ``<phase>/<name>``.
        data_seconds: waiting for the loader.
        compute_seconds: everything else.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    data_seconds: float = 0.0
    compute_seconds: float = 0.0


class Trainer:
    """Trains a recognizer with an objective.

    ::

        for each epoch
            for each window of TRAIN.ACCUMULATE_STEPS mini-batches              (one step)
                for each phase, in order
                    clear its gradients; for each mini-batch: loss / window, backward; clip; optimizer step
                hooks: after_step
            hooks: after_epoch

    A later phase sees what the earlier ones have just changed, with accumulation, too: a window of K mini-batches of N
    clips gives the step of one mini-batch of K x N (but for what depends on a mini-batch as a whole, such as
    BatchNorm). With K > 1 and several phases every phase therefore goes over the window anew, and :attr:`Step.logits`
    is computed once for each phase: to keep the graphs of all K mini-batches for the next phase would take the memory
    that accumulation is there to save.
    Mini-batches left over at the end of an epoch make a smaller window.

    Everything random in the main process restarts from a seed of (``RNG_SEED``, epoch, process) at each epoch. A run
    that is resumed (:mod:`.checkpoint`), after an epoch or inside one, goes on as if it had not been interrupted.

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
    ) -> None:
        self.cfg = cfg
        self.recognizer = recognizer
        self.objective = objective
        self.loader = loader
        self.settings = settings
        self.hooks: list[Hook] = []
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
        #: Ids of the parameters that the first step of this process had a gradient for; None after it.
        self._reached: set[int] | None = set()

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

    def train(self) -> None:
        """Train from :attr:`epoch` and :attr:`step` to the end.

        Raises:
            Interrupted: it was asked to stop (:func:`pvbias.interruption.request_stop`).
            TrainingError: a loss or gradient is not finite.
        """
        try:
            with answering():
                for hook in self.hooks:
                    hook.before_train(self)
                while self.epoch < self.max_epochs:
                    self._train_epoch()
        finally:
            for hook in self.hooks:
                hook.after_train(self)

    @property
    def step(self) -> int:
        """Finished steps of the epoch at work."""
        return max(0, self.iteration - self.epoch * self.steps_per_epoch)  # the last epoch may be part of one

    @property
    def fractional_epoch(self) -> float:
        """Where the run is, in epochs; schedules are functions of this."""
        return self.iteration / self.steps_per_epoch

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rates of the latest step, ``lr`` or ``<phase>/lr``."""
        return {self._key(running, "lr"): running.optimizer.param_groups[0]["lr"] for running in self.phases}

    def set_training_mode(self) -> None:
        """Training mode for all modules, but for BatchNorm that is frozen."""
        self.recognizer.train()
        self.objective.train()
        if self.cfg.BN.FREEZE:
            for module in batch_norms(self.recognizer):
                module.eval()

    def _train_epoch(self) -> None:
        if not self.step:
            seed_everything(self.cfg.RNG_SEED, self.epoch, get_rank())
        elif self.generators is not None:
            restore_generators(self.generators)
        else:
            seed_everything(self.cfg.RNG_SEED, self.epoch, get_rank(), self.step)
        self.set_training_mode()
        started = time.perf_counter()
        for window in islice(self._windows(), self.max_iterations - self.iteration):
            loaded = time.perf_counter()
            self.window = window
            metrics = self._step(window)
            self._name_unreached()
            done = time.perf_counter()
            self.last = StepRecord(metrics, data_seconds=loaded - started, compute_seconds=done - loaded)
            self.iteration += 1
            for hook in self.hooks:
                hook.after_step(self)
            started = time.perf_counter()
        self.epoch += 1
        broadcast_buffers(self.recognizer)
        broadcast_buffers(self.objective)
        for hook in self.hooks:
            hook.after_epoch(self)

    def _windows(self) -> Iterator[list[TrainBatch]]:
        batches = iter(self.loader.epoch(self.epoch, self.step * self.cfg.TRAIN.ACCUMULATE_STEPS))
        while window := list(islice(batches, self.cfg.TRAIN.ACCUMULATE_STEPS)):
            yield window

    def _step(self, window: Sequence[TrainBatch]) -> dict[str, float]:
        """All phases over one window; the logged scalars, averaged over its mini-batches."""
        shared = self._prepare(window[0]) if len(window) == 1 else None
        metrics: dict[str, float] = {}
        for running in self.phases:
            for group in running.optimizer.param_groups:
                group["lr"] = running.schedule(self.fractional_epoch) * group["lr_factor"]
            running.optimizer.zero_grad(set_to_none=True)
            for position, batch in enumerate(window):
                is_last = position == len(window) - 1
                with running.average.exchanging(active=is_last):
                    values = self._backward(running, shared or self._prepare(batch), share=1 / len(window))
                for name, value in values.items():
                    key = self._key(running, name)
                    metrics[key] = metrics.get(key, 0.0) + value / len(window)
            metrics[self._key(running, "grad_norm")] = self._update(running)
        self.scaler.update()
        return metrics

    def _prepare(self, batch: TrainBatch) -> Step:
        return Step(
            clips=self.settings.clips(batch.clips),
            labels=batch.labels.to(self.settings.device, non_blocking=True),
            recognizer=self.recognizer,
            epoch=self.fractional_epoch,
            names=batch.names,
            flow=None if batch.flow is None else batch.flow.to(self.settings.device, non_blocking=True).float(),
        )

    def _backward(self, running: RunningPhase, step: Step, *, share: float) -> dict[str, float]:
        """Add the gradients of ``share`` of a mini-batch's loss; the logged scalars."""
        with self.settings.autocast():
            losses = running.phase.loss(step)
        # One transfer for all of them; it waits for the device, which is what it takes to stop before a bad loss does
        # harm.
        values = dict(zip(losses, _to_floats(list(losses.values())), strict=True))
        broken = {name: value for name, value in values.items() if not math.isfinite(value)}
        if broken:
            raise self._not_finite(running, broken, step.names)
        self.scaler.scale(losses["loss"] * share).backward()
        return values

    def _update(self, running: RunningPhase) -> float:
        """The optimizer's step; the norm of the gradients."""
        running.average.finish()
        if self._reached is not None:
            self._reached |= {id(parameter) for parameter in running.parameters if parameter.grad is not None}
        self.scaler.unscale_(running.optimizer)
        norm = clip_gradients(running.phase.solver, running.parameters)
        # With loss scaling, gradients that overflow are an everyday matter: the scaler skips the step and lowers the
        # scale.
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            raise self._not_finite(
                running, {"grad_norm": norm}, [name for batch in self.window for name in batch.names]
            )
        self.scaler.step(running.optimizer)
        return norm

    def _name_unreached(self) -> None:
        """After the first step, warn of parameters that the loss does not reach; the optimizer leaves them alone."""
        if self._reached is None:
            return
        reached, self._reached = self._reached, None
        own = {id(parameter): name for name, parameter in self.recognizer.module.named_parameters()}
        trained = {
            own.get(id(parameter), name): parameter
            for running in self.phases
            for name, parameter in trainable_parameters(running.phase.modules).items()
        }
        unreached = [name for name, parameter in trained.items() if id(parameter) not in reached]
        if not unreached or not is_main_process():
            return
        share = sum(trained[name].numel() for name in unreached) / sum(each.numel() for each in trained.values())
        logger.warning(
            "The loss reaches %d of the %d parameters that are trained. No gradient, and no change, for %.3g %% of the "
            "weights: %s. If they should learn, look at what %s computes its loss from.",
            len(trained) - len(unreached),
            len(trained),
            100 * share,
            ", ".join(unreached[:_LISTED]) + (f" and {len(unreached) - _LISTED} more" if unreached[_LISTED:] else ""),
            type(self.objective).__name__,
        )

    def _key(self, running: RunningPhase, name: str) -> str:
        return name if len(self.phases) == 1 else f"{running.phase.name}/{name}"

    def _not_finite(self, running: RunningPhase, broken: dict[str, float], names: Sequence[str]) -> TrainingError:
        terms = ", ".join(f"{self._key(running, name)} = {value}" for name, value in broken.items())
        return TrainingError(
            f"Training stops: {terms} at epoch {self.epoch + 1}, iteration {self.iteration + 1} of "
            f"{self.max_iterations}, before it changed any weight. The mini-batch's videos: {', '.join(names)}. If "
            "they are sound, try a lower SOLVER.BASE_LR, a warm-up (SOLVER.WARMUP_EPOCHS), SOLVER.CLIP_GRAD_L2NORM, or "
            "PRECISION fp32."
        )


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers in a module."""
    return [layer for layer in module.modules() if isinstance(layer, BN_MODULE_TYPES)]


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _to_floats(values: Sequence[Tensor]) -> list[float]:
    return torch.stack([value.detach().float().reshape(()) for value in values]).tolist()
