"""Triton kernels of LayerNorm over the last dimension of a matrix, in fp32 inside."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def normalize(
    x,
    y,
    statistics,
    weight,
    bias,
    eps,
    rows,
    COLUMNS: tl.constexpr,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, of each row.

    Args:
        x, y: (rows, COLUMNS).
        statistics: (2, rows), fp32: mean and 1 / sqrt(variance + eps); written.
        weight, bias: (COLUMNS,); read with WEIGHT, with BIAS.
    """
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.arange(0, BLOCK_COLUMNS)
    inside = column < COLUMNS
    valid = (row < rows)[:, None] & inside[None, :]
    place = row.to(tl.int64)[:, None] * COLUMNS + column[None, :]
    value = tl.load(x + place, mask=valid, other=0.0).to(tl.float32)
    mean = tl.sum(value, axis=1) / COLUMNS
    value = tl.where(valid, value - mean[:, None], 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(value * value, axis=1) / COLUMNS + eps)
    value = value * inverse[:, None]
    if WEIGHT:
        value *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)[None, :]
    if BIAS:
        value += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)[None, :]
    tl.store(y + place, value.to(y.dtype.element_ty), mask=valid)
    tl.store(statistics + row, mean, mask=row < rows)
    tl.store(statistics + rows + row, inverse, mask=row < rows)


@triton.jit(do_not_specialize=["rows", "split_rows"])
def propagate(
    x,
    gradient,
    x_gradient,
    statistics,
    weight,
    parts,
    rows,
    split_rows,
    COLUMNS: tl.constexpr,
    WEIGHT: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Gradient of the input, and, over a part of the rows, those of weight and bias.

    Args:
        x, gradient: (rows, COLUMNS).
        x_gradient: likewise; written.
        statistics: of :func:`normalize`.
        weight: (COLUMNS,); read with WEIGHT.
        parts: (2, splits, COLUMNS), fp32; written. Its sums over the splits are the gradients of weight and bias.
        split_rows: of a split; the last one has what is left.
    """
    column = tl.arange(0, BLOCK_COLUMNS)
    inside = column < COLUMNS
    split = tl.program_id(0)
    begin = split * split_rows
    end = tl.minimum(begin + split_rows, rows)
    weights = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    biases = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], dtype=tl.float32)
    if WEIGHT:
        factor = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    else:
        factor = tl.full([BLOCK_COLUMNS], 1.0, dtype=tl.float32)
    for start in range(begin, end, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        valid = (row < end)[:, None] & inside[None, :]
        place = row.to(tl.int64)[:, None] * COLUMNS + column[None, :]
        mean = tl.load(statistics + row, mask=row < end, other=0.0)
        inverse = tl.load(statistics + rows + row, mask=row < end, other=0.0)
        value = tl.load(x + place, mask=valid, other=0.0).to(tl.float32)
        normal = tl.where(valid, (value - mean[:, None]) * inverse[:, None], 0.0)
        change = tl.load(gradient + place, mask=valid, other=0.0).to(tl.float32)
        weights += change * normal
        biases += change
        change = change * factor[None, :]
        average = tl.sum(change, axis=1) / COLUMNS
        slope = tl.sum(change * normal, axis=1) / COLUMNS
        change = (change - average[:, None] - normal * slope[:, None]) * inverse[:, None]
        tl.store(x_gradient + place, change.to(x_gradient.dtype.element_ty), mask=valid)
    place = split * COLUMNS + column
    tl.store(parts + place, tl.sum(weights, axis=0), mask=inside)
    tl.store(parts + tl.num_programs(0) * COLUMNS + place, tl.sum(biases, axis=0), mask=inside)
