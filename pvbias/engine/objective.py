"""The contract of a training step: an objective owns its auxiliary networks and declares phases; the engine runs
them in order."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..models.recognizer import Recognizer


class Step:
    """One mini-batch on its way through the phases.

    Attributes:
        clips: float in [0, 1], ``(N, C, T, H, W)``, on the device.
        labels: int64 ``(N,)``, or class probabilities ``(N, K)``.
        recognizer: ``clips -> logits``; under DistributedDataParallel the wrapped one. Use this, not the objective's
            own reference, for forwards that need gradients.
        epoch: fractional epoch, 0 at the start, for schedules inside an objective.
        names: paths of the videos, for messages.
        flow: the clips' optical flow, to the right and down, in pixels in ``1 / DATA.TARGET_FPS`` seconds: float32
            ``(N, 2, T, H, W)``, on the device. None where the objective does not need it.
    """

    def __init__(
        self,
        *,
        clips: Tensor,
        labels: Tensor,
        recognizer: Callable[[Tensor], Tensor],
        epoch: float,
        names: Sequence[str] = (),
        flow: Tensor | None = None,
    ) -> None:
        self.clips = clips
        self.labels = labels
        self.recognizer = recognizer
        self.epoch = epoch
        self.names = names
        self.flow = flow

    @cached_property
    def logits(self) -> Tensor:
        """The recognizer's logits ``(N, K)`` on the clean clips, with graph; computed once for all phases (detach
        where needed)."""
        return self.recognizer(self.clips)


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
        needs_flow: its steps need the clips' optical flow; may be set in ``__init__``.
    """

    needs_flow: bool = False

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
