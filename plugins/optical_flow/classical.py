"""Variational and patch-based optical flow, on one thread each."""

from __future__ import annotations

import numpy as np
from skimage import registration

from pvbias.errors import ConfigError
from pvbias.registries import FLOW


@FLOW.register(name="tvl1")
class TVL1:
    """TV-L1 (Zach, Pock and Bischof 2007), scikit-image's, with the weights of the original.

    It minimises ``integral |grad u| + lambda * |I1(x + u) - I0(x)|``. The original's lambda = 0.15 is for grey levels
    up to 255; here they go to 1, so lambda is 0.15 * 255. Five warps on each level of a pyramid that halves the frames,
    with a median filter before each.
    """

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See :data:`pvbias.registries.FLOW`."""
        down, right = registration.optical_flow_tvl1(
            _brightness(first),
            _brightness(second),
            attachment=0.15 * 255,
            tightness=0.3,
            num_warp=5,
            num_iter=10,
            prefilter=True,
            dtype=np.float32,
        )
        return np.stack([right, down], axis=-1)


@FLOW.register(name="dis")
class DIS:
    """Dense inverse search (Kroeger et al. 2016), OpenCV's, medium preset: a hundred times faster than TV-L1.

    Raises:
        ConfigError: OpenCV is not installed.
    """

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise ConfigError(
                "The optical flow method 'dis' needs OpenCV: `pip install 'pvbias[flow]'`, or take 'tvl1'."
            ) from error
        cv2.setNumThreads(1)  # one worker a core is what extraction has
        self._search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See :data:`pvbias.registries.FLOW`."""
        before, after = (np.rint(255 * _brightness(frame)).astype(np.uint8) for frame in (first, second))
        return self._search.calc(before, after, None)


def _brightness(frame: np.ndarray) -> np.ndarray:
    """Luma (BT.601) in [0, 1]: uint8 ``(h, w, 3)`` to float32 ``(h, w)``."""
    return frame @ np.array([0.299, 0.587, 0.114], np.float32) / 255
