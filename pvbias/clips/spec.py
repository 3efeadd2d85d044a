"""What clips a model was made for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """The clips a checkpoint was trained on; what the configuration's empty keys are filled from.

    Attributes:
        num_frames: frames in a clip, >= 1.
        sampling_rate: step between them, in frames of a ``fps`` video, >= 1.
        crop_size: side of the square training crop, pixels.
        test_crop_size: side of the square test crop, pixels.
        short_side: length the short side is resized to before a test crop, pixels, >= ``test_crop_size``.
        fps: frames per second that ``sampling_rate`` counts in.
        mean, std: normalisation of RGB in [0, 1], per channel.
        modality: what the clips show, ``rgb`` or ``flow`` (coded as :func:`pvbias.data.flow.encode_flow` does).
    """

    num_frames: int
    sampling_rate: int
    crop_size: int
    test_crop_size: int
    short_side: int
    fps: float = 30.0
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    modality: str = "rgb"

    @property
    def duration(self) -> float:
        """Seconds of video that one clip covers: ``num_frames * sampling_rate / fps``."""
        return self.num_frames * self.sampling_rate / self.fps

    def replace(self, **changes: object) -> ClipSpec:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
