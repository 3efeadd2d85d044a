"""Triton kernels of depthwise 3D convolutions of activations in channels_last_3d, accumulated in fp32.

Each is limited by the bytes it moves: a position of the output is read where it lies, the taps around it come from the
caches.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .windows import SIZES

_SIZES = [*SIZES, "channel_vectors"]


@triton.jit(do_not_specialize=_SIZES)
def convolve(
    x,
    weight,
    bias,
    y,
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
    BIAS: tl.constexpr,
    VECTOR: tl.constexpr,
    BLOCK_WIDTH: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Convolution, zero padding. A program makes a part of one row of one frame.

    Args:
        x: (N, frames, height, width, C).
        weight: (KT * KH * KW, C), fp32.
        bias: (C,), fp32; read with BIAS.
        y: (N, out_frames, out_height, out_width, C); written.
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
    total = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    for kt in range(KT):
        in_t = t * ST + kt - PT
        for kh in tl.static_range(KH):
            in_h = h * SH + kh - PH
            row_exists = (in_t >= 0) & (in_t < frames) & (in_h >= 0) & (in_h < height)
            row = ((n * frames + in_t) * height + in_h).to(tl.int64) * width * channels
            for kw in tl.static_range(KW):
                in_w = w * SW + kw - PW
                exists = ((in_w >= 0) & (in_w < width) & row_exists)[:, None] & inside
                value = tl.load(x + row + in_w[:, None] * channels + c[None, :], mask=exists, other=0.0)
                factor = tl.load(weight + ((kt * KH + kh) * KW + kw) * channels + c, mask=c < channels, other=0.0)
                total += value.to(tl.float32) * factor[None, :]
    if BIAS:
        total += tl.load(bias + c, mask=c < channels, other=0.0)[None, :]
    place = out_row.to(tl.int64) * out_width * channels + w[:, None] * channels + c[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), mask=(w < out_width)[:, None] & inside)


@triton.jit(do_not_specialize=_SIZES)
def propagate(
    gradient,
    weight,
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
    """Gradient of the input: each position gathers from the outputs that it went into.

    Args:
        gradient: (N, out_frames, out_height, out_width, C).
        weight: (KT * KH * KW, C), fp32.
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
    # Of the kernel's taps, those that reach this position from a whole output: every ST-th, SH-th, SW-th.
    for i in range((KT + ST - 1) // ST):
        kt = (t + PT) % ST + i * ST
        out_t = (t + PT - kt + KT * ST) // ST - KT
        for j in tl.static_range((KH + SH - 1) // SH):
            kh = (h + PH) % SH + j * SH
            out_h = (h + PH - kh + KH * SH) // SH - KH
            row_exists = (kt < KT) & (out_t >= 0) & (out_t < out_frames)
            row_exists = row_exists & (kh < KH) & (out_h >= 0) & (out_h < out_height)
            row = ((n * out_frames + out_t) * out_height + out_h).to(tl.int64) * out_width * channels
            taps = weight + (kt * KH + kh) * KW * channels
            for k in tl.static_range((KW + SW - 1) // SW):
                kw = (w + PW) % SW + k * SW
                out_w = (w + PW - kw + KW * SW) // SW - KW
                exists = ((kw < KW) & (out_w >= 0) & (out_w < out_width) & row_exists)[:, None] & inside
                place = row + out_w[:, None] * channels + c[None, :]
                value = tl.load(gradient + place, mask=exists, other=0.0)
                if SW == 1:
                    factor = tl.load(taps + k * channels + c, mask=(c < channels) & row_exists, other=0.0)[None, :]
                else:
                    factor = tl.load(taps + kw[:, None] * channels + c[None, :], mask=exists, other=0.0)
                total += value.to(tl.float32) * factor
    place = in_row.to(tl.int64) * width * channels + w[:, None] * channels + c[None, :]
    tl.store(x_gradient + place, total.to(x_gradient.dtype.element_ty), mask=(w < width)[:, None] & inside)


@triton.jit(do_not_specialize=[*_SIZES, "rows", "split_rows"])
def correlate(
    x,
    gradient,
    parts,
    frames,
    height,
    width,
    out_frames,
    out_height,
    out_width,
    rows,
    split_rows,
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
    """Gradient of the weight, over a part of the rows of the output: the taps of one frame and row of the kernel.

    Args:
        x: (N, frames, height, width, C).
        gradient: (N, out_frames, out_height, out_width, C): ``rows`` rows of ``out_width`` positions.
        parts: (splits, KT * KH * KW, C), fp32; written. Its sum over the splits is the gradient.
        split_rows: of a split; the last one has what is left.
    """
    tl.static_assert(KW <= 5)
    channels = channel_vectors * VECTOR
    kt = tl.program_id(0) // KH
    kh = tl.program_id(0) % KH
    c = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = (c < channels)[None, :]
    split = tl.program_id(2)
    begin = split * split_rows
    end = tl.minimum(begin + split_rows, rows)
    # One accumulator for each tap: a tensor of tensors is nothing that Triton has.
    total0 = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    total1 = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    total2 = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    total3 = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    total4 = tl.zeros([BLOCK_WIDTH, BLOCK_CHANNELS], dtype=tl.float32)
    for out_row in range(begin, end):
        in_h = out_row % out_height * SH + kh - PH
        in_t = out_row // out_height % out_frames * ST + kt - PT
        n = out_row // out_height // out_frames
        row_exists = (in_h >= 0) & (in_h < height) & (in_t >= 0) & (in_t < frames)
        row = ((n * frames + in_t) * height + in_h).to(tl.int64) * width * channels
        out_start = (begin.to(tl.int64) + (out_row - begin)) * out_width * channels
        for start in range(0, out_width, BLOCK_WIDTH):
            w = start + tl.arange(0, BLOCK_WIDTH)
            exists = (w < out_width) & row_exists
            place = out_start + w[:, None] * channels + c[None, :]
            value = tl.load(gradient + place, mask=exists[:, None] & inside, other=0.0).to(tl.float32)
            in_w = w * SW - PW
            total0 += value * _tap(x + row, in_w, 0, c, width, channels, exists, inside)
            if KW > 1:
                total1 += value * _tap(x + row, in_w, 1, c, width, channels, exists, inside)
            if KW > 2:
                total2 += value * _tap(x + row, in_w, 2, c, width, channels, exists, inside)
            if KW > 3:
                total3 += value * _tap(x + row, in_w, 3, c, width, channels, exists, inside)
            if KW > 4:
                total4 += value * _tap(x + row, in_w, 4, c, width, channels, exists, inside)
    place = (split * KT * KH * KW + tl.program_id(0) * KW) * channels + c
    tl.store(parts + place, tl.sum(total0, axis=0), mask=c < channels)
    if KW > 1:
        tl.store(parts + place + channels, tl.sum(total1, axis=0), mask=c < channels)
    if KW > 2:
        tl.store(parts + place + 2 * channels, tl.sum(total2, axis=0), mask=c < channels)
    if KW > 3:
        tl.store(parts + place + 3 * channels, tl.sum(total3, axis=0), mask=c < channels)
    if KW > 4:
        tl.store(parts + place + 4 * channels, tl.sum(total4, axis=0), mask=c < channels)


@triton.jit
def _tap(row, in_w, kw: tl.constexpr, c, width, channels, exists, inside):
    """Input of a row of the output at one tap."""
    w = in_w + kw
    mask = (exists & (w >= 0) & (w < width))[:, None] & inside
    return tl.load(row + w[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
