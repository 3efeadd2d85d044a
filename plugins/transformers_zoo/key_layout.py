"""Key layout of the hub's folders, for networks of any version of transformers.

The two are not the same everywhere, and those inside change from version to version: transformers translates when it
loads and saves. Here both are brought to the hub's names and compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pvbias.registries import KEY_LAYOUT

#: What networks are called that a classifier is built around: the first part of its names.
_BASES = ("videomae", "timesformer", "vivit", "vjepa2")

#: Names inside a network of some version, and those of the hub, by the network around which it is built.
_RENAMED = {
    "videomae": (
        (r"\battention\.attention\.query\.bias$", "attention.attention.q_bias"),
        (r"\battention\.attention\.value\.bias$", "attention.attention.v_bias"),
    ),
    "vivit": (
        (r"^vivit\.layers\.", "vivit.encoder.layer."),
        (r"\battention\.q_proj\b", "attention.attention.query"),
        (r"\battention\.k_proj\b", "attention.attention.key"),
        (r"\battention\.v_proj\b", "attention.attention.value"),
        (r"\battention\.o_proj\b", "attention.output.dense"),
        (r"\bmlp\.fc1\b", "intermediate.dense"),
        (r"\bmlp\.fc2\b", "output.dense"),
    ),
}


@KEY_LAYOUT.register(name="Hugging Face")
def from_hub(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the weights of a hub folder for a network of transformers, whatever the version of either, with or
    without its head."""
    base = next(iter(own), "").partition(".")[0]
    if base not in _BASES:
        return None
    places = {_on_the_hub(name, base): name for name in own}
    without_head = not any(name.startswith(f"{base}.") for name in weights)
    named = {f"{base}.{name}" if without_head and name not in own else name: value for name, value in weights.items()}
    return {places.get(_on_the_hub(name, base), name): value for name, value in named.items()}


def _on_the_hub(name: str, base: str) -> str:
    for inside, outside in _RENAMED.get(base, ()):
        name = re.sub(inside, outside, name)
    return name
