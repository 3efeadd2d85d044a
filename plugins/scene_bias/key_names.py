"""Names of weights in the files of Places365's classifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pvbias.registries import KEY_LAYOUT

#: What AlexNet's and VGG's files have: their convolutions alone were spread over GPUs.
_SPREAD = re.compile(r"^features\.module\.")

#: What torch 0.3's DenseNet was made of (``denselayer1.norm.1.weight``), and torchvision's still reads.
_DOTTED = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


@KEY_LAYOUT.register(name="Places365")
def from_places365(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The names in ``alexnet_places365.pth.tar`` and ``densenet161_places365.pth.tar``
    (http://places2.csail.mit.edu/models_places365); those of the ResNets are torchvision's own."""
    renamed = {_DOTTED.sub(r"\1\2", _SPREAD.sub("features.", name)): value for name, value in weights.items()}
    return None if renamed.keys() == weights.keys() or not renamed.keys() & own.keys() else renamed
