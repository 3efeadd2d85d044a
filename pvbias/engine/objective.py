"""The contract of a training step: an objective owns its auxiliary networks and declares phases; the engine runs
them in order."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..models.batch_norm import freeze_running_stats
from ..models.recognizer import Recognizer
from .seeding import generator_states, restore_generators


class Step:
    """One mini-batch on its way through the phases.

    Attributes:
        clips: float in [0, 1], ``(N, C, T, H, W)``, on the device.
        labels: int64 ``(N,)``, or class probabilities ``(N, K)``.
        recognizer: the model being trained.
        epoch: fractional epoch, 0 at the start, for schedules inside an objective.
        names: paths of the videos, for messages.
        tracks: what accompanies the clips, by name in the TRACK registry, ``(N, D, T, H, W)`` on the device (float32
            or integers): those that the objective needs.
    """

    def __init__(
        self,
        *,
        clips: Tensor,
        labels: Tensor,
        recognizer: Recognizer,
        epoch: float,
        names: Sequence[str] = (),
        tracks: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.clips = clips
        self.labels = labels
        self.recognizer = recognizer
        self.epoch = epoch
        self.names = names
        self.tracks = tracks or {}
        self._generators: dict[str, Any] | None = None

    @cached_property
    def logits(self) -> Tensor:
        """The recognizer's logits ``(N, K)`` on the clean clips, with graph; computed once for all phases (detach
        where needed)."""
        with self._same_draws():
            return self.recognizer(self.clips)

    @torch.no_grad()
    def constant_logits(self, clips: Tensor, *, frames: Tensor | None = None) -> Tensor:
        """The recognizer's logits ``(N, K)`` on other clips, without graph, to set :attr:`logits` against.

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
        """The first forward inside draws its random numbers as they come; each later one draws the same again, and
        leaves the generators where they were."""
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
    """What training minimises.

    A subclass makes its auxiliary networks (student, decoders, ...) in ``__init__`` as ordinary submodules; they are
    in the training checkpoint (under ``objective_state``) and in none of the exported ones. The recognizer itself is
    not a submodule.

    Args:
        cfg: the whole configuration.
        recognizer: the model being trained.

    Attributes:
        tracks: what its steps need beside the clips: names in the TRACK registry; may be set in ``__init__``.
        description: what readers of the results have to know of how it trains, in a line without a full stop; set in
            ``__init__``, logged and shown on the page. Empty: nothing that the configuration does not say.
    """

    tracks: Sequence[str] = ()
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

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of a step, in the order in which they run; called once, before training."""
