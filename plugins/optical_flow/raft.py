"""RAFT (Teed and Deng 2020), torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from iopath.common.file_io import get_cache_dir
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import WeightsEnum, optical_flow

from pvbias.errors import WeightsError
from pvbias.registries import FLOW
from pvbias.zoo import fetch, model_weights, read_checkpoint

#: The network wants sides that are multiples of 8, and 128 pixels at least.
_STEP, _SMALLEST = 8, 128


class RAFT:
    """A recurrent network on all pairs of pixels; on the GPU where there is one, else on one thread.

    Args:
        builder: of the network: torchvision's ``raft_small`` or ``raft_large``.
        weights: torchvision's entry of its catalogue.

    Raises:
        WeightsError: the weights cannot be had, or are no network of this kind.
    """

    def __init__(self, builder: Callable[[], Any], weights: WeightsEnum) -> None:
        torch.set_num_threads(1)  # one worker a core is what extraction has
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = builder().eval().to(self._device)
        path = _fetch(weights.url)
        try:
            self._network.load_state_dict(model_weights(read_checkpoint(path), path))
        except RuntimeError as error:
            raise WeightsError(f"{path} does not hold the weights of {builder.__name__}: {error}") from error

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See :data:`pvbias.registries.FLOW`."""
        height, width = first.shape[:2]
        with torch.inference_mode():
            before, after = (self._prepared(frame) for frame in (first, second))
            vectors = self._network(before, after)[-1]
        return vectors[0, :, :height, :width].permute(1, 2, 0).cpu().numpy()

    def _prepared(self, frame: np.ndarray) -> Tensor:
        """``(1, 3, h, w)`` in [-1, 1], its last row and column repeated up to a size that the network takes."""
        image = torch.from_numpy(frame).to(self._device).permute(2, 0, 1)[None] / 127.5 - 1
        bottom, right = (max(-side % _STEP, _SMALLEST - side) for side in frame.shape[:2])
        return F.pad(image, (0, right, 0, bottom), mode="replicate")


@FLOW.register
def raft_small() -> RAFT:
    """RAFT with 1 million parameters, torchvision's, with its weights."""
    return RAFT(optical_flow.raft_small, optical_flow.Raft_Small_Weights.DEFAULT)


@FLOW.register
def raft_large() -> RAFT:
    """RAFT with 5 million parameters, torchvision's, with its weights."""
    return RAFT(optical_flow.raft_large, optical_flow.Raft_Large_Weights.DEFAULT)


def _fetch(url: str) -> str:
    try:
        return fetch(url)
    except WeightsError as error:
        parts = urlsplit(url)
        place = Path(get_cache_dir()) / parts.netloc / parts.path.lstrip("/")
        raise WeightsError(f"{error} For RAFT the path is {str(place)!r}: copy the file there.") from error
