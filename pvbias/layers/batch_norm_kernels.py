"""Triton kernels of BatchNorm with what follows it, over a matrix of positions and channels.

Activations in channels_last_3d are such a matrix in memory: a row for each position (n, t, h, w), a column for each
channel. So that rows are wide enough for any number of channels, several positions make one row of the kernels:
``columns`` is a multiple of ``channels``, and column j belongs to channel j % channels.

Sums run over a fixed division of the rows (it depends on the shape alone), in fp32: the same input gives the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Sizes: not to be compiled anew for each that is 1 or a multiple of 16. (Whether ``columns`` is one decides how wide
#: the loads are.)
_SIZES = ["rows", "channels"]

#: What follows the normalisation: nothing, ReLU, SiLU (x * sigmoid(x)).
NONE, RELU, SILU = 0, 1, 2


@triton.jit(do_not_specialize=[*_SIZES, "split_rows"])
def collect_statistics(
    x,
    parts,
    rows,
    columns,
    split_rows,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Mean, and sum of squared deviations from it, of each column over each of the splits of the rows (Welford).

    Args:
        x: (rows, columns).
        parts: (2, splits, columns), fp32; written.
        split_rows: rows of a split; the last one has what is left.
    """
    split = tl.program_id(1)
    cols = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    begin = split * split_rows
    end = tl.minimum(begin + split_rows, rows)
    lane = tl.arange(0, BLOCK_ROWS)
    inside = (cols < columns)[None, :]
    mean = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    square = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    count = 0.0
    for start in range(begin, end, BLOCK_ROWS):
        row = start + lane
        valid = (row < end)[:, None] & inside
        value = tl.load(x + row.to(tl.int64)[:, None] * columns + cols[None, :], mask=valid, other=0.0)
        count += 1.0
        delta = tl.where(valid, value.to(tl.float32) - mean, 0.0)
        mean += delta * (1.0 / count)
        square += delta * (value.to(tl.float32) - mean)
    # Rows of the tile that lie behind the end have one value less.
    values = ((end - begin - lane + BLOCK_ROWS - 1) // BLOCK_ROWS).to(tl.float32)[:, None]
    total = tl.sum(mean * values, axis=0) / (end - begin)
    deviation = mean - total[None, :]
    square = tl.sum(square + values * deviation * deviation, axis=0)
    tl.store(parts + split * columns + cols, total, mask=cols < columns)
    tl.store(parts + (tl.num_programs(1) + split) * columns + cols, square, mask=cols < columns)


@triton.jit(do_not_specialize=[*_SIZES, "split_rows", "count", "group"])
def combine_statistics(
    parts,
    mean,
    inverse_std,
    running_mean,
    running_var,
    momentum,
    eps,
    positions,
    count,
    group,
    rows,
    split_rows,
    channels,
    HAS_RUNNING: tl.constexpr,
    BLOCK_PARTS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Mean and 1 / sqrt(variance + eps) of each channel from those of its parts; moves the running statistics.

    Args:
        parts: of :func:`collect_statistics`, seen as (2, count, channels): ``group`` of them to a split.
        mean, inverse_std: (channels,), fp32; written.
        running_mean, running_var: (channels,); moved by ``momentum``.
        positions: over which the statistics are, as fp32.
        rows, split_rows: as there.
    """
    cols = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    inside = cols < channels
    lane = tl.arange(0, BLOCK_PARTS)
    total = tl.zeros([BLOCK_PARTS, BLOCK_CHANNELS], dtype=tl.float32)
    for start in range(0, count, BLOCK_PARTS):
        part = start + lane
        valid = (part < count)[:, None] & inside[None, :]
        number = tl.minimum(rows - part // group * split_rows, split_rows).to(tl.float32)
        total += number[:, None] * tl.load(parts + part[:, None] * channels + cols[None, :], mask=valid, other=0.0)
    center = tl.sum(total, axis=0) / positions
    square = tl.zeros([BLOCK_PARTS, BLOCK_CHANNELS], dtype=tl.float32)
    for start in range(0, count, BLOCK_PARTS):
        part = start + lane
        valid = (part < count)[:, None] & inside[None, :]
        number = tl.minimum(rows - part // group * split_rows, split_rows).to(tl.float32)
        place = part[:, None] * channels + cols[None, :]
        deviation = tl.load(parts + place, mask=valid, other=0.0) - center[None, :]
        own = tl.load(parts + count * channels + place, mask=valid, other=0.0)
        square += tl.where(valid, own + number[:, None] * deviation * deviation, 0.0)
    squares_sum = tl.sum(square, axis=0)
    tl.store(mean + cols, center, mask=inside)
    tl.store(inverse_std + cols, 1.0 / tl.sqrt(squares_sum / positions + eps), mask=inside)
    if HAS_RUNNING:
        old = tl.load(running_mean + cols, mask=inside, other=0.0)
        tl.store(running_mean + cols, old + momentum * (center - old), mask=inside)
        old = tl.load(running_var + cols, mask=inside, other=0.0)
        tl.store(running_var + cols, old + momentum * (squares_sum / (positions - 1.0) - old), mask=inside)


@triton.jit
def _parameters(
    mean, spread, weight, bias, eps, channel, inside, SPREAD_IS_VARIANCE: tl.constexpr, AFFINE: tl.constexpr
):
    """A block's columns: mean, 1 / std, factor, shift."""
    center = tl.load(mean + channel, mask=inside, other=0.0).to(tl.float32)
    inverse = tl.load(spread + channel, mask=inside, other=1.0).to(tl.float32)
    if SPREAD_IS_VARIANCE:
        inverse = 1.0 / tl.sqrt(inverse + eps)
    if AFFINE:
        factor = tl.load(weight + channel, mask=inside, other=0.0).to(tl.float32)
        shift = tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
    else:
        factor = tl.full(channel.shape, 1.0, dtype=tl.float32)
        shift = tl.full(channel.shape, 0.0, dtype=tl.float32)
    return center, inverse, factor, shift


@triton.jit(do_not_specialize=_SIZES)
def normalize(
    x,
    residual,
    y,
    mean,
    spread,
    weight,
    bias,
    eps,
    rows,
    columns,
    channels,
    SPREAD_IS_VARIANCE: tl.constexpr,
    AFFINE: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """y = activation((x - mean) / std * weight + bias + residual).

    Args:
        x, residual, y: (rows, columns).
        mean, spread, weight, bias: (channels,). ``spread`` is 1 / std, or the variance.
    """
    cols = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    inside = cols < columns
    center, inverse, factor, shift = _parameters(
        mean, spread, weight, bias, eps, cols % channels, inside, SPREAD_IS_VARIANCE, AFFINE
    )
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    valid = (row < rows)[:, None] & inside[None, :]
    place = row.to(tl.int64)[:, None] * columns + cols[None, :]
    value = tl.load(x + place, mask=valid, other=0.0).to(tl.float32)
    value = (value - center[None, :]) * (inverse * factor)[None, :] + shift[None, :]
    if RESIDUAL:
        value += tl.load(residual + place, mask=valid, other=0.0).to(tl.float32)
    if ACTIVATION == 1:
        value = tl.where(value < 0.0, 0.0, value)  # and nan stays nan
    elif ACTIVATION == 2:
        value = value / (1.0 + tl.exp(-value))
    tl.store(y + place, value.to(y.dtype.element_ty), mask=valid)


@triton.jit
def _through_activation(
    x, gradient, y, place, valid, center, inverse, factor, shift, RESIDUAL: tl.constexpr, ACTIVATION: tl.constexpr
):
    """x - mean, and the gradient before the activation."""
    deviation = tl.load(x + place, mask=valid, other=0.0).to(tl.float32) - center[None, :]
    value = tl.load(gradient + place, mask=valid, other=0.0).to(tl.float32)
    if ACTIVATION == 1:
        if RESIDUAL:
            output = tl.load(y + place, mask=valid, other=0.0).to(tl.float32)
        else:
            output = deviation * (inverse * factor)[None, :] + shift[None, :]
        value = tl.where(output <= 0.0, 0.0, value)  # and nan lets it through, as torch's
    elif ACTIVATION == 2:
        before = deviation * (inverse * factor)[None, :] + shift[None, :]
        gate = 1.0 / (1.0 + tl.exp(-before))
        value = value * gate * (1.0 + before * (1.0 - gate))
    return deviation, value


@triton.jit(do_not_specialize=[*_SIZES, "split_rows"])
def collect_gradients(
    x,
    gradient,
    y,
    parts,
    mean,
    spread,
    weight,
    bias,
    eps,
    rows,
    columns,
    channels,
    split_rows,
    SPREAD_IS_VARIANCE: tl.constexpr,
    AFFINE: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Sums over each split of the rows of the gradient before the activation, alone and times (x - mean) / std.

    Args:
        x, gradient, y: (rows, columns); ``y`` is read where there was a residual.
        parts: (2, splits, columns), fp32; written.
    """
    split = tl.program_id(1)
    cols = tl.program_id(0) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    inside = cols < columns
    center, inverse, factor, shift = _parameters(
        mean, spread, weight, bias, eps, cols % channels, inside, SPREAD_IS_VARIANCE, AFFINE
    )
    begin = split * split_rows
    end = tl.minimum(begin + split_rows, rows)
    total = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    product = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    for start in range(begin, end, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        valid = (row < end)[:, None] & inside[None, :]
        place = row.to(tl.int64)[:, None] * columns + cols[None, :]
        deviation, value = _through_activation(
            x, gradient, y, place, valid, center, inverse, factor, shift, RESIDUAL, ACTIVATION
        )
        total += value
        product += tl.where(valid, value * deviation, 0.0)
    tl.store(parts + split * columns + cols, tl.sum(total, axis=0), mask=inside)
    place = (tl.num_programs(1) + split) * columns + cols
    tl.store(parts + place, tl.sum(product, axis=0) * inverse, mask=inside)


@triton.jit(do_not_specialize=["count", "channels"])
def combine_gradients(
    parts,
    gradients,
    count,
    channels,
    BLOCK_PARTS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Gradients of bias and weight: the sums of the parts.

    Args:
        parts: of :func:`collect_gradients`, seen as (2, count, channels).
        gradients: (2, channels), fp32, of bias and weight; written.
    """
    cols = tl.program_id(0) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
    lane = tl.arange(0, BLOCK_PARTS)
    total = tl.zeros([BLOCK_PARTS, BLOCK_CHANNELS], dtype=tl.float32)
    product = tl.zeros([BLOCK_PARTS, BLOCK_CHANNELS], dtype=tl.float32)
    for start in range(0, count, BLOCK_PARTS):
        part = start + lane
        valid = (part < count)[:, None] & (cols < channels)[None, :]
        place = part[:, None] * channels + cols[None, :]
        total += tl.load(parts + place, mask=valid, other=0.0)
        product += tl.load(parts + count * channels + place, mask=valid, other=0.0)
    tl.store(gradients + cols, tl.sum(total, axis=0), mask=cols < channels)
    tl.store(gradients + channels + cols, tl.sum(product, axis=0), mask=cols < channels)


@triton.jit(do_not_specialize=_SIZES)
def propagate(
    x,
    gradient,
    y,
    x_gradient,
    residual_gradient,
    mean,
    spread,
    weight,
    bias,
    gradients,
    eps,
    rows,
    columns,
    channels,
    positions,
    BATCH_STATISTICS: tl.constexpr,
    AFFINE: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Gradients of the input and of the residual.

    Args:
        x, gradient, y: (rows, columns).
        x_gradient, residual_gradient: likewise; written, the second where there was a residual.
        mean, spread, weight, bias: (channels,). ``spread`` is 1 / std of the mini-batch, or the running variance.
        gradients: (2, channels): of :func:`combine_gradients`; read with batch statistics.
        positions: over which the statistics were taken, as fp32.
    """
    cols = tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    inside = cols < columns
    channel = cols % channels
    center, inverse, factor, shift = _parameters(
        mean, spread, weight, bias, eps, channel, inside, not BATCH_STATISTICS, AFFINE
    )
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    valid = (row < rows)[:, None] & inside[None, :]
    place = row.to(tl.int64)[:, None] * columns + cols[None, :]
    deviation, value = _through_activation(
        x, gradient, y, place, valid, center, inverse, factor, shift, RESIDUAL, ACTIVATION
    )
    if RESIDUAL:
        tl.store(residual_gradient + place, value.to(residual_gradient.dtype.element_ty), mask=valid)
    if BATCH_STATISTICS:
        average = tl.load(gradients + channel, mask=inside, other=0.0) / positions
        slope = tl.load(gradients + channels + channel, mask=inside, other=0.0) / positions * inverse
        value = value - average[None, :] - deviation * slope[None, :]
    value = value * (inverse * factor)[None, :]
    tl.store(x_gradient + place, value.to(x_gradient.dtype.element_ty), mask=valid)
