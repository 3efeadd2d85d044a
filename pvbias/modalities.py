"""The modalities of clips, and the channels that they have."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ConfigError

#: Modality of clips that show optical flow beside RGB.
RGB_AND_FLOW = "rgb+flow"


def check_channels(modality: str, mean: Sequence[float], std: Sequence[float]) -> None:
    """Raise ConfigError where a normalisation has not one value for each channel of clips of a modality."""
    stacked = modality == RGB_AND_FLOW
    fits = len(mean) >= 5 and len(mean) % 2 == 1 if stacked else len(mean) <= 3
    if len(mean) != len(std) or not fits:
        needed = "3 + 2k means (RGB, and two for each of k flow frames)" if stacked else "3 means"
        raise ConfigError(
            f"Clips of the modality {modality!r} are normalised with {needed} and as many standard deviations, and "
            f"there are {len(mean)} means and {len(std)} standard deviations."
        )
