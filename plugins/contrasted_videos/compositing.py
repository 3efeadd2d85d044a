"""Clips put together of an actor and a background."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pvbias.errors import ConfigError

from .tracks import NO_DONOR

#: Side of the images that the stripes' lengths are given for, pixels.
_SIDE = 256


def check_rgb(clips: Tensor, spec: str) -> None:
    """Raise ConfigError where clips are not RGB ``(N, 3, T, H, W)``."""
    if clips.shape[1] != 3:
        raise ConfigError(f"{spec} is for clips that show RGB, and these have {clips.shape[1]} channels.")


def composite(clips: Tensor, masks: Tensor, background: Tensor) -> Tensor:
    """The actors of clips over another background, in the clips' dtype and memory format.

    Args:
        clips: ``(N, 3, T, H, W)``.
        masks: ``(N, 1, T, H, W)``, not 0 where an actor is.
        background: of the clips' dtype, ``(N, 3, T, H, W)``, or 1 in place of N, T, H or W.
    """
    return in_format_of(clips, torch.where(masks > 0, clips, background))


def in_format_of(clips: Tensor, values: Tensor) -> Tensor:
    """Values ``(N, C, T, H, W)`` in the memory format of some clips."""
    return values.contiguous(memory_format=torch.contiguous_format if clips.is_contiguous() else torch.channels_last_3d)


def as_pixels(values: Tensor, clips: Tensor) -> Tensor:
    """Values on the device and in the dtype of some clips: of uint8 values, or floats in [0, 1], uint8 (rounded) or
    floats in [0, 1]."""
    if values.is_floating_point() and not clips.is_floating_point():
        values = (255 * values).round()
    elif clips.is_floating_point() and not values.is_floating_point():
        values = values / 255
    return values.to(clips.device, clips.dtype)


def without_actor(clips: Tensor, masks: Tensor) -> Tensor:
    """Clips without their actors: each pixel that shows one is filled with the mean of what is there in the frames that
    show the background, and where none does, with what surrounds it, the more blurred the farther away.

    With a still camera that is the background itself wherever the actor moves on. It takes the place of HAT's video
    inpainting (E2FGVI), a network.

    Args:
        clips, masks: as for :func:`composite`.
    """
    behind = (masks == 0).float()
    filled = _filled((clips * behind).sum(2), behind.sum(2))[:, :, None]
    values = filled if clips.is_floating_point() else filled.round()
    return composite(clips, masks == 0, values.to(clips.dtype))


def donor_background(clips: Tensor, donor: Tensor) -> Tensor:
    """The background of other videos, without their actors, in the dtype of some clips ``(N, 3, T, H, W)``; the clips
    themselves where there is no other video.

    Args:
        donor: a track of them (:class:`.tracks.DonorTrack`), ``(N, 4, T, H, W)``.
    """
    background = as_pixels(without_actor(donor[:, :3], donor[:, 3:] & 1), clips)
    return torch.where(donor[:, 3:] == NO_DONOR, clips, background)


def _filled(total: Tensor, count: Tensor) -> Tensor:
    """Means ``total / count`` of ``(N, C, H, W)`` by ``(N, 1, H, W)``; where the count is 0, of a surrounding of twice
    the size, and so on."""
    means = total / count.clamp(min=1)
    if total.shape[2:] == (1, 1):
        return means
    coarse = [F.avg_pool2d(each, 2, ceil_mode=True, divisor_override=1) for each in (total, count)]
    around = F.interpolate(_filled(*coarse), size=total.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(count > 0, means, around)


def aligned(clips: Tensor, masks: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Clips and masks moved such that each actor's centre in the first frame is where that of another mask is; where a
    mask is empty, the middle of the frame counts. What comes from outside is masked out.

    Args:
        clips, masks: as for :func:`composite`.
        others: ``(N, 1, T, H, W)``.
    """
    height, width = clips.shape[3:]
    moved, moved_masks = clips.clone(), masks.clone()
    rows, columns = torch.arange(height, device=clips.device), torch.arange(width, device=clips.device)
    for number in range(len(clips)):
        there, here = _centre(others[number, 0, 0]), _centre(masks[number, 0, 0])
        down, right = int(there[0] - here[0]), int(there[1] - here[1])
        moved[number] = clips[number].roll((down, right), (2, 3))
        inside = (
            ((rows - down >= 0) & (rows - down < height))[:, None] & (columns - right >= 0) & (columns - right < width)
        )
        moved_masks[number] = masks[number].roll((down, right), (2, 3)) * inside
    return moved, moved_masks


def _centre(mask: Tensor) -> tuple[float, float]:
    """Row and column of the centre of mass of a mask ``(H, W)``, each pixel of which counts alike."""
    places = (mask > 0).nonzero().double()
    if not len(places):
        return mask.shape[0] / 2, mask.shape[1] / 2
    row, column = places.mean(0).tolist()
    return row, column


def stripes(height: int, width: int, seed: int) -> Tensor:
    """An image of parallel sinusoidal stripes, float64 ``(3, height, width)`` in [0, 1] on the CPU.

    One colour c, uniform in RGB, and stripes of the colour 1 - c, along a sine curve that is turned by any angle about
    the middle. Thickness, distance, wavelength and amplitude are drawn from the ranges of SCUBA's released generator,
    in proportion to the shorter side: thickness 10 to 40 of 256 pixels, distance 1.5 to 2.5 thicknesses, wavelength 4
    to 1,004 and amplitude 10 to 110 pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(9, generator=generator, dtype=torch.float64)
    scale = min(height, width) / _SIDE
    colour = drawn[:3, None, None]
    thickness, distance, length, amplitude, phase, angle = drawn[3:].tolist()
    thickness = scale * (10 + 30 * thickness)
    distance = thickness * (1.5 + distance)
    wave = 2 * math.pi / (scale * (4 + 1000 * length))
    amplitude = scale * (10 + 100 * amplitude)
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64)[None] - (width - 1) / 2
    cosine, sine = math.cos(2 * math.pi * angle), math.sin(2 * math.pi * angle)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    inside = (across - amplitude * torch.sin(wave * along + 2 * math.pi * phase)) % distance < thickness
    return torch.where(inside, 1 - colour, colour)


def striped(clips: Tensor, seeds: Sequence[int]) -> Tensor:
    """Stripes behind each of some clips, ``(N, 3, 1, H, W)`` of their dtype; a function of the clip's seed and size."""
    images = [stripes(clips.shape[3], clips.shape[4], seed) for seed in seeds]
    return as_pixels(torch.stack(images)[:, :, None], clips)
