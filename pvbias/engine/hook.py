"""The Hook contract: what runs before, between and after the steps of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .state import TrainState


class Hook:
    """Something to do at four points of a run; hooks run in the order in which they are registered, in every
    process."""

    def before_train(self, state: TrainState) -> None:
        """Before the first epoch of this run."""

    def after_step(self, state: TrainState) -> None:
        """After each step; ``state.last`` describes it."""

    def after_epoch(self, state: TrainState) -> None:
        """After each epoch; ``state.epoch`` already counts it."""

    def after_train(self, state: TrainState) -> None:
        """At the end, also after an error: only for giving things back."""

    def state(self) -> dict[str, Any]:
        """What this process's part of a checkpoint has to hold of the hook: tensors and plain values."""
        return {}

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Before :meth:`before_train` of a run that is resumed.

        Args:
            states: what :meth:`state` gave in each process of the run that was interrupted, which may have been more
                or fewer than there are now.
        """


def is_due(state: TrainState, period: int) -> bool:
    """Whether something that happens every ``period`` epochs (0: never) and at the end of the run happens now."""
    return period > 0 and (state.epoch % period == 0 or state.epoch == state.max_epochs)
