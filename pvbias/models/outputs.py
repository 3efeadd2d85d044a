"""The outputs of one forward of a recognizer: logits by head, and named inner features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError

#: The feature that the final projection sees, averaged over the positions it is applied to.
EMBEDDING = "embedding"


class Features(dict[str, Any]):
    """Features by name; a name that was not declared is an error that says how to."""

    def __missing__(self, name: str) -> Any:
        declared = ", ".join(map(repr, self)) or "none"
        raise ConfigError(
            f"The feature {name!r} was not asked for before the forward (asked for: {declared}). Declare it: "
            f"needs = Needs(..., features=({name!r},))."
        )


@dataclass(frozen=True)
class Outputs:
    """The outputs of a recognizer on N clips.

    Attributes:
        heads: logits ``(N, K)`` by name of the head; the first one is that of the task at hand, ``""`` where the module
            has one only.
        features: by the names that were asked for: ``(N, D)`` for ``"embedding"``, else the inner module's output,
            whose first dimension is N; of a module with several outputs (pathways; tokens and their layout) a list or
            tuple of such tensors and of plain values.
    """

    heads: Mapping[str, Tensor]
    features: Features = field(default_factory=Features)

    @property
    def logits(self) -> Tensor:
        """The logits ``(N, K)`` of the first head."""
        return next(iter(self.heads.values()))

    def __len__(self) -> int:
        """The number of clips N."""
        return len(self.logits)

    def __getitem__(self, clips: slice) -> Outputs:
        """The outputs of some of the clips."""
        return self.map(lambda value: value[clips])

    def only(self, features: Iterable[str]) -> Outputs:
        """The outputs with some of the features only."""
        return Outputs(self.heads, Features({name: self.features[name] for name in features}))

    def map(self, function: Callable[[Tensor], Tensor]) -> Outputs:
        """Apply a function to each tensor."""
        return Outputs(
            {name: function(value) for name, value in self.heads.items()},
            Features({name: each_tensor(function, value) for name, value in self.features.items()}),
        )

    @staticmethod
    def cat(parts: Sequence[Outputs]) -> Outputs:
        """Concatenate the outputs of several mini-batches."""
        if len(parts) == 1:
            return parts[0]
        return Outputs(
            {name: torch.cat([part.heads[name] for part in parts]) for name in parts[0].heads},
            Features({name: _joined([part.features[name] for part in parts]) for name in parts[0].features}),
        )


#: Name of the head of a module that has one.
ONLY_HEAD = ""


def heads_of(logits: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Logits by name of the head, of what a module gives.

    Raises:
        ConfigError: it gives something else.
    """
    if isinstance(logits, Tensor):
        return {ONLY_HEAD: logits}
    named = dict(logits) if isinstance(logits, Mapping) else {}
    if not named or not all(isinstance(value, Tensor) and value.dim() == 2 for value in named.values()):
        raise ConfigError(
            f"The model gives a {type(logits).__name__} that is neither logits (N, K) nor logits of several heads by "
            "name, {'action': (N, K), 'scene': (N, S)}."
        )
    return named


def first_head(logits: Tensor | Mapping[str, Tensor]) -> Tensor:
    """Logits of the first head, of what a module gives; see :func:`heads_of`."""
    return logits if isinstance(logits, Tensor) else next(iter(heads_of(logits).values()))


def check_ran(seen: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise ConfigError for an inner module of which nothing was seen in the forward."""
    for name in names:
        if name not in seen:
            raise ConfigError(
                f"The forward did not call the inner module {name!r}, so there is no feature of it: it is a list of "
                "modules, a head for training alone, or its weights alone are used. Name a module that runs."
            )


def check_first_dimension(name: str, value: Any, num_clips: int) -> None:
    """Raise ConfigError where a feature has not one row for each clip."""
    tensors = [value] if isinstance(value, Tensor) else _tensors(value)
    if not tensors or any(tensor.shape[:1] != (num_clips,) for tensor in tensors):
        seen = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or type(value).__name__
        raise ConfigError(
            f"The inner module {name!r} gives {seen} for {num_clips} clips, not one row for each clip: its output "
            "cannot be a feature. Name a module whose output has the clips as its first dimension."
        )


def _tensors(value: Any) -> list[Tensor]:
    items = value if isinstance(value, (list, tuple)) else []
    return [item for item in items if isinstance(item, Tensor)]


def each_tensor(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to a tensor, or to each one in a list or tuple; anything else stays as it is."""
    if isinstance(value, Tensor):
        return function(value)
    if not isinstance(value, (list, tuple)):
        return value
    return _like(value, (function(item) if isinstance(item, Tensor) else item for item in value))


def _like(first: Any, items: Iterable[Any]) -> Any:
    """A list, tuple or named tuple of the same type."""
    return first._make(items) if hasattr(first, "_make") else type(first)(items)


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    columns = zip(*values, strict=True)
    return _like(first, (torch.cat(column) if isinstance(column[0], Tensor) else column[0] for column in columns))
