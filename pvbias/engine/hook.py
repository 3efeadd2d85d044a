"""The Hook contract: code to run before, between and after the steps of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .state import TrainState


class Hook:
    """Base of hooks, which are called at four points of a training, in the order in which they are registered, in every
    process."""

    def before_train(self, state: TrainState) -> None:
        """Called before the first epoch of this run."""

    def after_step(self, state: TrainState) -> None:
        """Called after each step, which ``state.last`` describes."""

    def after_epoch(self, state: TrainState) -> None:
        """Called after each epoch, which ``state.epoch`` already counts."""

    def after_train(self, state: TrainState) -> None:
        """Called at the end, also after an error, to release resources."""

    def state(self) -> dict[str, Any]:
        """The hook's state for this process's part of a checkpoint: tensors and plain values."""
        return {}

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Restore the state in a run that is resumed, before :meth:`before_train`.

        Args:
            states: what :meth:`state` gave in each process of the run that was interrupted, which may have been more
                or fewer than there are now.
        """


def is_due(state: TrainState, period: int) -> bool:
    """Whether something that happens every ``period`` epochs (0: never) and at the end of the training is due now."""
    return period > 0 and (state.epoch % period == 0 or state.epoch == state.max_epochs)
