"""Triton kernel that puts the frames under a stem's kernel side by side as channels."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["frames", "height", "width", "out_frames", "sn", "sc", "st", "sh", "sw"])
def stack_frames(
    x,
    y,
    frames,
    height,
    width,
    out_frames,
    sn,
    sc,
    st,
    sh,
    sw,
    CHANNELS: tl.constexpr,
    TAPS: tl.constexpr,
    STEP: tl.constexpr,
    PADDING: tl.constexpr,
    OUT_CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """y[n, t, h, w, tap * CHANNELS + c] = x[n, c, t * STEP + tap - PADDING, h, w], zeros where there is none.

    Args:
        x: (N, CHANNELS, frames, height, width), of strides sn, sc, st, sh, sw.
        y: (N, out_frames, height, width, OUT_CHANNELS), dense; written.
    """
    row = tl.program_id(0)
    h = row % height
    t = row // height % out_frames
    n = row // height // out_frames
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    w = place // OUT_CHANNELS
    channel = place % OUT_CHANNELS
    in_t = t * STEP + channel // CHANNELS - PADDING
    exists = (w < width) & (channel < TAPS * CHANNELS) & (in_t >= 0) & (in_t < frames)
    start = n.to(tl.int64) * sn + h * sh
    value = tl.load(x + start + (channel % CHANNELS).to(tl.int64) * sc + in_t * st + w * sw, mask=exists, other=0.0)
    out = y + row.to(tl.int64) * width * OUT_CHANNELS + place
    tl.store(out, value.to(y.dtype.element_ty), mask=w < width)
