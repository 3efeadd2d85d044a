"""Triton kernels of 3D max pooling of activations in channels_last_3d."""

from __future__ import annotations

import triton
import triton.language as tl

from .windows import SIZES

_SIZES = [*SIZES, "channel_vectors"]


@triton.jit(do_not_specialize=_SIZES)
def pool(
    x,
    y,
    taps,
    frames,
    height,
    width,
    out_frames,
    out_height,
    out_width,
    channel_vectors,
    KT: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    ST: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PT: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    TAPS: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """The greatest value of each window, the first of several equal ones; nan where there is one.

    Args:
        x: (N, frames, height, width, C).
        y: (N, out_frames, out_height, out_width, C); written.
        taps: like ``y``, uint8; where in the window it was; written with TAPS.
        channel_vectors: C / VECTOR; VECTOR channels are read at once.
    """
    channels = channel_vectors * VECTOR
    out_row = tl.program_id(0)
    h = out_row % out_height
    t = out_row // out_height % out_frames
    n = out_row // out_height // out_frames
    w = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    c = tl.program_id(2) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = (c < channels)[None, :]
    best = tl.full([BLOCK_WIDTH, BLOCK_CHANNELS], float("-inf"), dtype=tl.float32)
    where = tl.full([BLOCK_WIDTH, BLOCK_CHANNELS], -1, dtype=tl.int32)
    for kt in range(KT):
        in_t = t * ST + kt - PT
        for kh in tl.static_range(KH):
            in_h = h * SH + kh - PH
            row_exists = (in_t >= 0) & (in_t < frames) & (in_h >= 0) & (in_h < height)
            row = ((n * frames + in_t) * height + in_h).to(tl.int64) * width * channels
            for kw in tl.static_range(KW):
                in_w = w * SW + kw - PW
                exists = ((in_w >= 0) & (in_w < width) & row_exists)[:, None] & inside
                place = row + in_w[:, None] * channels + c[None, :]
                value = tl.load(x + place, mask=exists, other=float("-inf")).to(tl.float32)
                if TAPS:
                    better = exists & ((value > best) | (value != value) | (where < 0))
                    best = tl.where(better, value, best)
                    where = tl.where(better, (kt * KH + kh) * KW + kw, where)
                else:
                    best = tl.maximum(best, value, propagate_nan=tl.PropagateNan.ALL)
    place = out_row.to(tl.int64) * out_width * channels + w[:, None] * channels + c[None, :]
    written = (w < out_width)[:, None] & inside
    tl.store(y + place, best.to(y.dtype.element_ty), mask=written)
    if TAPS:
        tl.store(taps + place, where.to(tl.uint8), mask=written)


@triton.jit(do_not_specialize=_SIZES)
def propagate(
    gradient,
    taps,
    x_gradient,
    frames,
    height,
    width,
    out_frames,
    out_height,
    out_width,
    channel_vectors,
    KT: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    ST: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PT: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Gradient of the input: each position gathers from the windows whose greatest value it was.

    Args:
        gradient, taps: (N, out_frames, out_height, out_width, C).
        x_gradient: (N, frames, height, width, C); written.
    """
    channels = channel_vectors * VECTOR
    in_row = tl.program_id(0)
    h = in_row % height
    t = in_row // height % frames
    n = in_row // height // frames
    w = tl.program_id(1) * BLOCK_WIDTH + tl.arange(0, BLOCK_WIDTH)
    c = tl.program_id(2) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = (c < channels)[None, :]
    total = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    # Of a window's taps, those that are this position: with a stride they are fewer than the kernel has.
    for i in range((KT + ST - 1) // ST):
        kt = (t + PT) % ST + i * ST
        out_t = (t + PT - kt + KT * ST) // ST - KT
        for j in tl.static_range((KH + SH - 1) // SH):
            kh = (h + PH) % SH + j * SH
            out_h = (h + PH - kh + KH * SH) // SH - KH
            row_exists = (kt < KT) & (out_t >= 0) & (out_t < out_frames)
            row_exists = row_exists & (kh < KH) & (out_h >= 0) & (out_h < out_height)
            row = ((n * out_frames + out_t) * out_height + out_h).to(tl.int64) * out_width * channels
            for k in tl.static_range((KW + SW - 1) // SW):
                kw = (w + PW) % SW + k * SW
                out_w = (w + PW - kw + KW * SW) // SW - KW
                exists = ((kw < KW) & (out_w >= 0) & (out_w < out_width) & row_exists)[:, None] & inside
                place = row + out_w[:, None] * channels + c[None, :]
                tap = tl.load(taps + place, mask=exists, other=255).to(tl.int32)
                value = tl.load(gradient + place, mask=exists, other=0.0).to(tl.float32)
                total += tl.where(tap == ((kt * KH + kh) * KW + kw)[:, None], value, 0.0)
    place = in_row.to(tl.int64) * width * channels + w[:, None] * channels + c[None, :]
    tl.store(x_gradient + place, total.to(x_gradient.dtype.element_ty), mask=(w < width)[:, None] & inside)
