"""The contract of an objective: auxiliary networks, and the phases of a training step."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..errors import ConfigError
from ..models.batch_norm import freeze_running_stats
from ..models.outputs import Outputs
from ..models.recognizer import Recognizer
from ..needs import Needs
from .classification import classification
from .seeding import generator_states, restore_generators

if TYPE_CHECKING:
    from ..context import Context


class Step:
    """One mini-batch, as the losses of all phases get it.

    Attributes:
        clips: float in [0, 1], ``(N, C, T, H, W)``, on the device.
        recognizer: the model being trained.
        epoch: fractional epoch, 0 at the start, for schedules inside an objective.
        names: paths of the videos, for messages.
        tracks: what accompanies the clips, by name in the TRACK registry, ``(N, D, T, H, W)`` on the device (float32
            or integers): those that the objective needs.
        attributes: of the videos' records.
        streams: the mini-batch of each stream that the objective needs, as a step of its own; this one is the first.
    """

    def __init__(
        self,
        *,
        clips: Tensor,
        labels: Tensor | None,
        recognizer: Recognizer,
        epoch: float,
        names: Sequence[str] = (),
        tracks: Mapping[str, Tensor] | None = None,
        attributes: Sequence[Mapping[str, Any]] = (),
        features: Sequence[str] = (),
        streams: Mapping[str, Step] | None = None,
    ) -> None:
        """Args other than attributes: ``features``: those that :attr:`outputs` have (:attr:`.Needs.features`)."""
        self.clips = clips
        self.recognizer = recognizer
        self.epoch = epoch
        self.names = names
        self.tracks = dict(tracks or {})
        self.attributes = attributes
        self.streams: Mapping[str, Step] = {"train": self, **(streams or {})}
        self._labels = labels
        self._features = features
        self._generators: dict[str, Any] | None = None

    @property
    def labels(self) -> Tensor:
        """Int64 ``(N,)``, or class probabilities ``(N, K)``.

        Raises:
            ConfigError: the stream has no labels.
        """
        if self._labels is None:
            raise ConfigError("This stream of training clips has no labels: the objective must not ask for them.")
        return self._labels

    @labels.setter
    def labels(self, labels: Tensor) -> None:
        self._labels = labels

    @cached_property
    def outputs(self) -> Outputs:
        """The recognizer's outputs on the clean clips, with graph: logits and the features that the objective needs
        (:attr:`Objective.needs`); one forward for all phases (detach where needed)."""
        with self._same_draws():
            return self.recognizer.outputs(self.clips, self._features)

    @property
    def logits(self) -> Tensor:
        """The logits ``(N, K)`` of :attr:`outputs`."""
        return self.outputs.logits

    @torch.no_grad()
    def constant_logits(self, clips: Tensor, *, frames: Tensor | None = None) -> Tensor:
        """The recognizer's logits ``(N, K)`` on other clips, without graph, for comparison with :attr:`logits`.

        Nothing but the clips differs between the two: dropout and stochastic depth leave out the same, whichever of
        them is asked for first. (A distance between two forwards that leave out different things is not zero for the
        same clip, and a loss with that distance in it pays for noise.) BatchNorm in training mode normalises with these
        clips' own statistics and leaves the running ones alone: those belong to the clean clips.

        Args:
            clips: as many and as large as the mini-batch's own, ``(N, C, T, H, W)`` in [0, 1].
            frames: int64 ``(N,)`` in [0, T): of each clip this frame alone, repeated
                (:meth:`.Recognizer.frozen_logits`, which is faster than a forward of the repeated frames).
        """
        with self._same_draws(), freeze_running_stats(self.recognizer):
            return self.recognizer(clips) if frames is None else self.recognizer.frozen_logits(clips, frames)

    @contextmanager
    def _same_draws(self) -> Iterator[None]:
        """Context in which every forward draws the random numbers of the first one, and the later ones leave the
        generators as they were."""
        if self._generators is None:
            self._generators = generator_states()
            yield
            return
        now = generator_states()
        restore_generators(self._generators)
        try:
            yield
        finally:
            restore_generators(now)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One part of a training step: a loss and the parameters it updates.

    Attributes:
        name: for logs and for the optimizer's entry in the checkpoint, e.g. ``recognizer``, ``student``.
        modules: the modules whose parameters this phase's optimizer updates, by name; parameters that do not require
            gradients are left alone.
        loss: ``loss(step) -> {"loss": scalar to minimise, other names: scalars to log}``. It must leave gradients only
            where they belong: detach what another phase trains.
        solver: the configuration subtree with this phase's optimizer and schedule (keys as in ``SOLVER``).
        lr_factors: of modules that learn faster or slower than the schedule says, by their names in ``modules``.
    """

    name: str
    modules: Mapping[str, nn.Module]
    loss: Callable[[Step], dict[str, Tensor]]
    solver: CfgNode
    lr_factors: Mapping[str, float] = field(default_factory=dict)


class Objective(nn.Module, abc.ABC):
    """Base of objectives: the losses that training minimises.

    A subclass makes its auxiliary networks (student, decoders, ...) in ``__init__`` as ordinary submodules; they are
    in the training checkpoint (under ``objective_state``) and in none of the exported ones. The recognizer itself is
    not a submodule.

    Args:
        cfg: the whole configuration.
        recognizer: the model being trained.

    Attributes:
        needs: what its steps are given: features of the one forward, tracks, streams; may be set in ``__init__``.
        weighs_classification: its loss is not the classification loss plus something: among several terms
            (``OBJECTIVE.NAME`` with more than one) it can only be the one that has that loss.
        classifies: its recognizer's loss has the classification loss in it; of several terms only one's has.
        description: what readers of the results have to know of how it trains, in a line without a full stop; set in
            ``__init__``, logged and shown on the page. Empty: nothing that the configuration does not say.
    """

    needs: Needs = Needs()
    weighs_classification: bool = False
    classifies: bool = True
    description: str = ""

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__()
        self.cfg = cfg
        # In a tuple, so that the recognizer's weights do not become part of the objective's state.
        self._recognizer = (recognizer,)

    @property
    def base_recognizer(self) -> Recognizer:
        """The recognizer itself, not wrapped for distributed training."""
        return self._recognizer[0]

    def prepare(self, context: Context) -> None:
        """Prepare before the first step, also of a run that is resumed: train an auxiliary network, look at the videos.
        Called once in all processes, before :meth:`phases`; the recognizer is on its device, with the weights that
        training starts from."""

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of a step, in the order in which they run; called once, before training."""

    def classification(self, step: Step, logits: Tensor | None = None) -> dict[str, Tensor]:
        """The classification loss as plain training has it, with ``OBJECTIVE.LABEL_SMOOTHING``: ``loss`` and ``top1``
        (:func:`.classification`). For a term that is not the one to have it (:attr:`classifies`) the loss is 0.

        Args:
            step: the mini-batch.
            logits: on other clips than the clean ones; None: :attr:`Step.logits`.
        """
        terms = classification(
            step.logits if logits is None else logits,
            step.labels,
            label_smoothing=self.cfg.OBJECTIVE.LABEL_SMOOTHING,
        )
        return terms if self.classifies else terms | {"loss": torch.zeros_like(terms["loss"])}
