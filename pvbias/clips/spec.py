"""The specification of the clips that a model takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..errors import ConfigError
from ..modalities import check_channels


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """The clips a checkpoint was trained on; the configuration's empty keys are filled from it.

    Attributes:
        num_frames: frames in a clip, >= 1.
        sampling_rate: step between them, in frames of a ``fps`` video, >= 1.
        crop_size: side of the square training crop, pixels.
        test_crop_size: side of the square test crop, pixels.
        short_side: length the short side is resized to before a test crop, pixels, >= ``test_crop_size``.
        fps: frames per second that ``sampling_rate`` counts in.
        mean, std: normalisation of each channel in [0, 1]; means in [0, 1], standard deviations in (0, 1]. Three
            values, or 3 + 2k where the clips show k stacked flow frames beside RGB.
        sampling: how frames are chosen, a name in the SAMPLING registry: "rate" is every ``sampling_rate``-th one.
        modality: what the clips show: ``rgb``, ``flow`` (coded as :func:`.encode_flow` does), or ``rgb+flow``: RGB and
            behind it, as further channels, the x and y components of the coded flow at the frame's time and at k - 1
            times after it, 1 / ``fps`` apart.

    Raises:
        ConfigError: a mean or a standard deviation that is not for channels in [0, 1], or not one for each channel of
            the modality.
    """

    num_frames: int
    sampling_rate: int
    crop_size: int
    test_crop_size: int
    short_side: int
    fps: float = 30.0
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.225, 0.225, 0.225)
    modality: str = "rgb"
    sampling: str = "rate"

    def __post_init__(self) -> None:
        for name, values, low in (("mean", self.mean, "[0"), ("std", self.std, "(0")):
            if not all(0 <= value <= 1 and (value > 0 or name == "mean") for value in values):
                raise ConfigError(
                    f"ClipSpec({name}={tuple(values)}): each has to lie in {low}, 1], since clips are RGB in [0, 1]. "
                    "Those for RGB in [0, 255] have to be divided by 255."
                )
        check_channels(self.modality, self.mean, self.std)

    @property
    def duration(self) -> float:
        """Seconds of video that one clip covers: ``num_frames * sampling_rate / fps``."""
        return self.num_frames * self.sampling_rate / self.fps

    def replace(self, **changes: object) -> ClipSpec:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
