"""Known wrong or slow combinations of torch, cuDNN and devices: data, each with its source and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

#: A version, as far as it counts: (2, 9, 1).
Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class KnownIssue:
    """A combination that computes something wrong or slowly.

    Attributes:
        what: goes wrong, in a sentence without a full stop.
        advice: what to do, in a sentence.
        source: where it is told, with its title.
        devices: some of ``cuda``, ``cpu``.
        precisions: of the forward passes that it concerns.
        torch: from this version (included) to that one (excluded); None: with no beginning or end.
        cudnn: likewise; a torch without cuDNN does not have the issue.
        features: of the CPU, one of which it takes to have the issue; empty: none.
        handled: pvbias avoids it, so that it matters to a user's own code only.
    """

    what: str
    advice: str
    source: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    torch: tuple[Version | None, Version | None] = (None, None)
    cudnn: tuple[Version | None, Version | None] = (None, None)
    features: tuple[str, ...] = ()
    handled: bool = False

    def __str__(self) -> str:
        return f"{self.what}. {self.advice} ({self.source})"


_HALF = ("bf16", "fp16")
_PYTORCH = "https://github.com/pytorch/pytorch"

KNOWN_ISSUES = (
    KnownIssue(
        what="3D convolutions of large clips in bf16 give wrong results",
        advice="Update torch to 2.10 or later, or take PRECISION fp32.",
        source=f'{_PYTORCH}/issues/163539 "conv3d bfloat16 wrong result"',
        devices=("cuda",),
        precisions=("bf16",),
        torch=(None, (2, 9)),  # which does not call cuDNN for them
        cudnn=((9, 8), (9, 15)),
    ),
    KnownIssue(
        what="3D convolutions in half precision do without cuDNN: four times slower than in torch 2.8, and with "
        "several times its memory",
        advice="Update torch to 2.10 or later for CUDA 13, or take PRECISION fp32.",
        source=f'{_PYTORCH}/issues/166122 "4x performance regression for 3D convs with AMP on torch 2.9.0"',
        devices=("cuda",),
        precisions=_HALF,
        torch=((2, 9), (2, 9, 1)),
        cudnn=((9, 8), None),
    ),
    KnownIssue(
        what="3D convolutions in half precision do without cuDNN: several times slower than with cuDNN 9.15, and with "
        "several times its memory",
        advice="Install cuDNN 9.15 or later (`pip install -U nvidia-cudnn-cu12`, or -cu13, as torch was built for), or "
        "a torch that comes with it.",
        source=f'{_PYTORCH}/issues/166643 "Significant Memory Regression in F.conv3d with bfloat16 Inputs in PyTorch '
        '2.9.0"',
        devices=("cuda",),
        precisions=_HALF,
        torch=((2, 9, 1), None),
        cudnn=((9, 8), (9, 15)),
    ),
    KnownIssue(
        what="3D convolutions in TF32 may give wrong results: cuDNN has a broken kernel, and it is not known for which "
        "sizes",
        advice="Install cuDNN 9.16 or later, or take PRECISION fp32.",
        source=f'{_PYTORCH}/pull/167024 "[cuDNN][Conv3d] Disable TF32 in cuDNN for 3D convolutions"',
        devices=("cuda",),
        precisions=("tf32",),
        cudnn=((9, 10, 2), (9, 16)),
    ),
    KnownIssue(
        what="BatchNorm3d and other layers have no kernels of their own for channels_last_3d, and are slow or change "
        "the format",
        advice="MEMORY_FORMAT auto chooses by the model; in code of your own, time both formats.",
        source=f'{_PYTORCH}/issues/59168 "[CUDA] Add channels_last_3d support for commonly used modules"',
        devices=("cuda",),
        precisions=("fp32", "tf32", *_HALF),
        handled=True,
    ),
    KnownIssue(
        what="after a forward under no_grad, the next one in the same autocast region has no gradient for the weights "
        "that are cast",
        advice="In code of your own, give autocast cache_enabled=False, or each forward a region of its own.",
        source=f'{_PYTORCH}/issues/112583 "Nesting no_grad in autocast causes backwards graph to be (partially) lost '
        'outside of no_grad"',
        devices=("cuda", "cpu"),
        precisions=_HALF,
        torch=(None, (2, 11)),
        handled=True,
    ),
    KnownIssue(
        what="3D convolutions in bf16 with a stride over width whose result is one pixel wide are wrong on this CPU",
        advice="Take PRECISION fp32 for crops so small, or another crop.",
        source=f'{_PYTORCH}/issues/169688 "[CPU] Stride 3 bfloat16 convolutions appear incorrect"',
        devices=("cpu",),
        precisions=("bf16",),
        features=("avx512_bf16", "amx_bf16"),
    ),
)


def known_issues(
    device: str,
    *,
    torch: str,
    cudnn: int | None = None,
    features: Collection[str] = (),
    precisions: Collection[str] | None = None,
) -> list[KnownIssue]:
    """The known issues of a combination.

    Args:
        device: ``cuda`` or ``cpu``.
        torch: its version, ``2.9.1+cu128``.
        cudnn: its version as torch gives it, 91002 for 9.10.2; None: there is none.
        features: of the CPU (:func:`pvbias.hardware.cpu_features`).
        precisions: that are used; None: any.
    """
    return [
        issue
        for issue in KNOWN_ISSUES
        if device in issue.devices
        and (precisions is None or set(precisions) & set(issue.precisions))
        and _within(_numbers(torch), issue.torch)
        and (issue.cudnn == (None, None) or (cudnn is not None and _within(_of_cudnn(cudnn), issue.cudnn)))
        and (not issue.features or set(features) & set(issue.features))
    ]


def _within(version: Sequence[int], limits: tuple[Version | None, Version | None]) -> bool:
    first, end = limits
    return (first is None or tuple(version) >= first) and (end is None or tuple(version) < end)


def _numbers(version: str) -> Version:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _of_cudnn(version: int) -> Version:
    return (version // 10000, version // 100 % 100, version % 100)
