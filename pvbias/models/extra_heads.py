"""Linear heads on the embedding, beside a zoo module's own, for further tasks: the scene, the domain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ..errors import ConfigError

_SPEC = re.compile(r"([^=.\s][^=.]*?)\s*=\s*([1-9][0-9]*)")


def parse_extra_heads(specs: Sequence[str]) -> dict[str, int]:
    """Names of the heads and numbers of their classes, from ``["scene=10", "domain=2"]`` (``MODEL.EXTRA_HEADS``).

    Raises:
        ConfigError: an item that is not ``name=classes`` with 2 classes or more, or a name twice.
    """
    heads: dict[str, int] = {}
    for spec in specs:
        found = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
        if found is None or int(found[2]) < 2:
            raise ConfigError(
                f"{spec!r} is no head: write NAME=CLASSES, such as scene=10, with at least 2 classes and a name "
                "without = and dots."
            )
        if found[1] in heads:
            raise ConfigError(f"{specs} has the head {found[1]!r} twice.")
        heads[found[1]] = int(found[2])
    return heads


class ExtraHeads(nn.Module):
    """Linear projections of the embedding: ``(N, D) -> {name: logits (N, K_name)}``.

    Args:
        num_classes: of each head, by name.
        width: D.
    """

    def __init__(self, num_classes: Mapping[str, int], width: int) -> None:
        super().__init__()
        for name, classes in num_classes.items():
            # With an ending, since a head may be called like one of torch's own attributes ("type").
            self.add_module(f"{name}_head", nn.Linear(width, classes))
        self.num_classes = dict(num_classes)

    def __len__(self) -> int:
        """How many heads there are."""
        return len(self.num_classes)

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Logits by name."""
        return {name: self.get_submodule(f"{name}_head")(embedding) for name in self.num_classes}
