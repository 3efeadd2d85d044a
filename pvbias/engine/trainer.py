"""The training loop: epochs of steps, a step of phases, hooks around both."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from fvcore.common.config import CfgNode

from ..data import TrainBatch, TrainLoader
from ..distributed import get_rank, is_main_process
from ..errors import TrainingError
from ..interruption import answering
from ..models.recognizer import Recognizer
from ..runtime import Settings
from .finite import FiniteGuard, Refusal, StepScalars
from .hook import Hook
from .objective import Objective, Step
from .parallel import broadcast_buffers
from .seeding import restore_generators, seed_everything
from .solver import clip_gradients, trainable_parameters
from .state import RunningPhase, StepRecord, TrainState
from .transform import MiniBatch, Transform, apply_transforms

logger = logging.getLogger(__name__)

#: Names that a message lists.
_LISTED = 5


class Trainer(TrainState):
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
    BatchNorm). With K > 1 and several phases every phase therefore goes over the window anew, and :attr:`.Step.logits`
    is computed once for each phase: to keep the graphs of all K mini-batches for the next phase would take the memory
    that accumulation is there to save.
    Mini-batches left over at the end of an epoch make a smaller window.

    Everything random in the main process restarts from a seed of (``RNG_SEED``, epoch, process) at each epoch. A run
    that is resumed (:mod:`.checkpoint`), after an epoch or inside one, goes on as if it had not been interrupted.

    Attributes:
        hooks: run in this order at each of their four points.
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
        super().__init__(cfg, recognizer, objective, loader, settings, transforms)
        self.hooks: list[Hook] = []
        self._guard = FiniteGuard(settings.device)
        #: Ids of the parameters that the first step of this process had a gradient for; None after it.
        self._reached: set[int] | None = set()

    def train(self) -> None:
        """Train from :attr:`.TrainState.epoch` and :attr:`.TrainState.step` to the end.

        Raises:
            Interrupted: it was asked to stop (:func:`pvbias.interruption.request_stop`).
            TrainingError: a loss or gradient is not finite.
        """
        try:
            with answering(), self.settings.tf32():
                for hook in self.hooks:
                    hook.before_train(self)
                while self.epoch < self.max_epochs:
                    self._train_epoch()
        finally:
            for hook in self.hooks:
                hook.after_train(self)

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
            scalars = self._step(window)
            self._name_unreached()
            before = self.last
            _ = before.metrics  # of the step before this one: what waits for a GPU waits with a step queued behind
            done = time.perf_counter()
            clips = sum(len(each.names) for batch in window for each in (batch, *batch.streams.values()))
            self.last = StepRecord(scalars, loaded - started, done - loaded, clips)
            self.iteration += 1
            for hook in self.hooks:
                hook.after_step(self)
            started = time.perf_counter()
        self.epoch += 1
        _ = self.last.metrics  # raises where the last step was not finite
        broadcast_buffers(self.recognizer)
        broadcast_buffers(self.objective)
        for hook in self.hooks:
            hook.after_epoch(self)

    def _windows(self) -> Iterator[list[TrainBatch]]:
        batches = iter(self.loader.epoch(self.epoch, self.step * self.cfg.TRAIN.ACCUMULATE_STEPS))
        while window := list(islice(batches, self.cfg.TRAIN.ACCUMULATE_STEPS)):
            yield window

    def _step(self, window: Sequence[TrainBatch]) -> StepScalars:
        """Run all phases over one window; returns the logged scalars, averaged over its mini-batches."""
        scalars = StepScalars(self.settings.device, self._guard)
        shared = self._prepare(window[0]) if len(window) == 1 else None
        for running in self.phases:
            for group in running.optimizer.param_groups:
                group["lr"] = running.schedule(self.fractional_epoch) * group["lr_factor"]
            running.optimizer.zero_grad(set_to_none=True)
            for position, batch in enumerate(window):
                is_last = position == len(window) - 1
                with running.average.exchanging(active=is_last):
                    self._backward(running, shared or self._prepare(batch), scalars)
            self._update(running, scalars)
        self.scaler.update()
        scalars.end()
        return scalars

    def _prepare(self, batch: TrainBatch) -> Step:
        """Move the mini-batch of each stream to the device, and apply the transforms to the first one."""
        epoch = self.fractional_epoch
        made = apply_transforms(self.transforms, self._on_device(batch), rng_seed=self.cfg.RNG_SEED, epoch=epoch)
        return self._as_step(made, {name: self._as_step(self._on_device(b)) for name, b in batch.streams.items()})

    def _on_device(self, batch: TrainBatch) -> MiniBatch:
        labels = batch.labels
        return MiniBatch(
            clips=self.settings.clips(batch.clips),
            labels=None if labels is None else labels.to(self.settings.device, non_blocking=True),
            names=batch.names,
            tracks=self.settings.tracks(batch.tracks),
            attributes=batch.attributes,
        )

    def _as_step(self, batch: MiniBatch, streams: Mapping[str, Step] | None = None) -> Step:
        return Step(
            clips=batch.clips,
            labels=batch.labels,
            recognizer=self.recognizer,
            epoch=self.fractional_epoch,
            names=batch.names,
            tracks=batch.tracks,
            attributes=batch.attributes,
            features=self.objective.needs.features,
            streams=streams,
        )

    def _backward(self, running: RunningPhase, step: Step, scalars: StepScalars) -> None:
        """Accumulate the gradients of a mini-batch's share of the loss."""
        with self.settings.autocast():
            losses = running.phase.loss(step)
        scalars.add(
            {self.key(running, name): value.float() for name, value in losses.items()},
            divisor=len(self.window),
            refusal=self._refusal(running, step.names),
        )
        loss = self._guard.guarded(losses["loss"] * (1 / len(self.window)))
        self.scaler.scale(loss).backward()

    def _update(self, running: RunningPhase, scalars: StepScalars) -> None:
        """Take the optimizer's step."""
        running.average.finish()
        if self._reached is not None:
            self._reached |= {id(parameter) for parameter in running.parameters if parameter.grad is not None}
        self.scaler.unscale_(running.optimizer)
        norm = clip_gradients(running.phase.solver, running.parameters)
        # With loss scaling, gradients that overflow are an everyday matter: the scaler skips the step and lowers the
        # scale.
        names = [name for batch in self.window for name in batch.names]
        refusal = None if self.scaler.is_enabled() else self._refusal(running, names)
        scalars.add({self.key(running, "grad_norm"): norm}, refusal=refusal)
        self._guard.withhold(running.optimizer)
        self.scaler.step(running.optimizer)

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

    def _refusal(self, running: RunningPhase, names: Sequence[str]) -> Refusal:
        """The error of this step where scalars of a phase are not finite: ``names`` are the videos that they are of."""
        place = f"epoch {self.epoch + 1}, iteration {self.iteration + 1} of {self.max_iterations}"
        first, unchanged = self.phases[0], "before it changed any weight"
        if running is not first:
            unchanged = f"before the phase {running.phase.name!r} changed any weight (those before it have)"

        def error(broken: Mapping[str, float]) -> TrainingError:
            terms = ", ".join(f"{key} = {value}" for key, value in broken.items())
            return TrainingError(
                f"Training stops: {terms} at {place}, {unchanged}. The mini-batch's videos: {', '.join(names)}. If "
                "they are sound, try a lower SOLVER.BASE_LR, a warm-up (SOLVER.WARMUP_EPOCHS), "
                "SOLVER.CLIP_GRAD_L2NORM, or PRECISION fp32."
            )

        return error
