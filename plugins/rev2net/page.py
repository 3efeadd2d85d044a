"""The page of decoded clips: optical flow and frames beside their targets."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import flow_to_image

from pvbias.files import write_atomically
from pvbias.report.tables import image_uri
from pvbias.report.templating import render_template

#: Frames of a clip that are shown, at most.
FRAMES_SHOWN = 8

_TEMPLATE = Path(__file__).with_name("templates") / "decoded.html"


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """A clip with its decoded flow and frames; any part may be missing.

    Attributes:
        name: of the video.
        label: its class; empty: unknown.
        clip: float in [0, 1], ``(3, T, H, W)``.
        target_flow, flow: true and decoded optical flow, pixels, ``(2, T, H, W)``.
        frames: decoded frames, float in [0, 1], ``(3, T, H, W)``: the clip's in reversed order.
    """

    name: str
    label: str
    clip: Tensor
    target_flow: Tensor | None
    flow: Tensor | None
    frames: Tensor | None

    @property
    def flow_errors(self) -> tuple[float, float] | None:
        """Mean end-point error of the decoded flow and of a flow of zero, pixels."""
        if self.flow is None or self.target_flow is None:
            return None
        error, zero = (
            float(torch.linalg.vector_norm(wrong, dim=0).mean())
            for wrong in (self.flow - self.target_flow, self.target_flow)
        )
        return error, zero

    @property
    def frame_errors(self) -> tuple[float, float] | None:
        """Mean absolute error of the decoded frames and of the clip's mean image, which does not move, grey levels of
        255."""
        if self.frames is None:
            return None
        wrong = [frames - self.clip.flip(1) for frames in (self.frames, self.clip.mean(1, keepdim=True))]
        error, still = (255 * float(difference.abs().mean()) for difference in wrong)
        return error, still


def write_decoded(
    path: Path, clips: Sequence[DecodedClip], *, about: Mapping[str, str], without_target: str = ""
) -> Path:
    """Write a page with rows of frames for each clip.

    Args:
        path: of the page; its folder is made when missing.
        clips: what to show, at least one.
        about: what was decoded and how, by heading.
        without_target: why there is no true optical flow; empty: there is, or none is decoded.

    Returns:
        ``path``.
    """
    means = {
        "flow_errors": _said(_mean([clip.flow_errors for clip in clips]), "px"),
        "frame_errors": _said(_mean([clip.frame_errors for clip in clips]), "grey levels"),
    }
    context = {
        "clips": [_context(clip) for clip in clips],
        "means": means if len(clips) > 1 else {},
        "about": about,
        "without_target": without_target,
    }
    return write_atomically(path, render_template(_TEMPLATE, context))


def _context(clip: DecodedClip) -> dict[str, Any]:
    num_frames = clip.clip.shape[1]
    shown = torch.linspace(0, num_frames - 1, min(FRAMES_SHOWN, num_frames)).round().long()
    rows = [("Clip", _colours(clip.clip[:, shown]))]
    there = {"True flow": clip.target_flow, "Decoded flow": clip.flow}
    flows = {name: flow[:, shown] for name, flow in there.items() if flow is not None}
    longest = ""
    if flows:
        # Coloured together: the same scale for both.
        together = torch.cat(list(flows.values()), dim=1)
        longest = f"{float(torch.linalg.vector_norm(together, dim=0).max()):.2f} px"
        images = flow_to_image(together.transpose(0, 1).float().contiguous()).transpose(0, 1)
        rows += zip(flows, images.split(len(shown), dim=1), strict=True)
    if clip.frames is not None:
        rows += [
            ("Clip, reversed", _colours(clip.clip.flip(1)[:, shown])),
            ("Decoded frames", _colours(clip.frames[:, shown])),
        ]
    return {
        "name": clip.name,
        "label": clip.label,
        "shown": [str(int(frame) + 1) for frame in shown],
        "num_frames": num_frames,
        "rows": [(name, image_uri(_strip(images))) for name, images in rows],
        "longest": longest,
        "flow_errors": _said(clip.flow_errors, "px"),
        "frame_errors": _said(clip.frame_errors, "grey levels"),
    }


def _mean(errors: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Over the clips, as far as they have any."""
    there = [pair for pair in errors if pair is not None]
    return (statistics.fmean(own for own, _ in there), statistics.fmean(other for _, other in there)) if there else None


def _said(errors: tuple[float, float] | None, unit: str) -> list[str]:
    return [f"{error:.2f} {unit}" for error in errors or ()]


def _colours(images: Tensor) -> Tensor:
    """Float in [0, 1] -> uint8."""
    return (images * 255).round().clamp(0, 255).byte()


def _strip(images: Tensor) -> bytes:
    """A PNG file of images ``(3, S, H, W)``, uint8, side by side with a white line between them."""
    padded = torch.nn.functional.pad(images, (0, 2), value=255)
    pixels = padded.permute(2, 1, 3, 0).flatten(1, 2)[:, :-2]
    file = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG")
    return file.getvalue()
