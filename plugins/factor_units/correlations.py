"""Correlation of channels over pairs of clips, and what follows from it: information, shares of factors, kinds of
units.

Arrays are float64; C channels of a layer, n videos, a pair of clips of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pvbias.evaluation.statistics import resampled_means

#: Kinds of units, in the order in which :func:`kinds` numbers them.
KINDS = ("dynamic", "static", "joint", "neither")

#: 1 - rho^2 is taken as this at least: a channel that is exactly the same in both clips of each pair has a rho of 1,
#: and would otherwise have infinite information (and its layer, whatever its other channels are).
_LEAST_UNEXPLAINED = 1e-3

#: Standard deviation over videos, in units of the root mean square, up to which a channel is constant: what differs is
#: the rounding of float32.
_CONSTANT = 1e-5


def constant_channels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether channels are the same in all videos, bool ``(C,)``, in either clip of the pairs ``(n, C)``."""
    return np.any([values.std(0) <= _CONSTANT * np.sqrt(np.square(values).mean(0)) for values in (first, second)], 0)


def standardised(values: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Channels ``(n, C)`` with mean 0 and standard deviation 1 over videos; constant ones are 0."""
    scaled = (values - values.mean(0)) / np.where(constant, 1.0, values.std(0))
    return np.where(constant, 0.0, scaled)


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson correlation over pairs of each channel, ``(n, C), (n, C) -> (C,)``; 0 for a constant channel."""
    constant = constant_channels(first, second)
    return (standardised(first, constant) * standardised(second, constant)).mean(0)


def information(correlations: np.ndarray) -> np.ndarray:
    """Mutual information of two jointly normal variables of these correlations, ``-1/2 ln(1 - rho^2)``, nats, at most
    3.45."""
    return -0.5 * np.log(np.maximum(1 - np.square(correlations), _LEAST_UNEXPLAINED))


def dynamic_share(dynamic: np.ndarray, static: np.ndarray) -> np.ndarray:
    """Softmax over the two factors: the share of the dynamic one, ``exp(d) / (exp(d) + exp(s))``, in (0, 1), of the
    mean information of a layer's channels; elementwise."""
    return 1 / (1 + np.exp(static - dynamic))


def kinds(dynamic: np.ndarray, static: np.ndarray, least_dynamic: np.ndarray, least_static: np.ndarray) -> np.ndarray:
    """Kinds of units, as places in :data:`KINDS`: a unit encodes a factor where its correlation over that factor's
    pairs is larger than the threshold; elementwise."""
    is_dynamic, is_static = dynamic > least_dynamic, static > least_static
    return np.where(is_dynamic, np.where(is_static, 2, 0), np.where(is_static, 1, 3))


def mispairings(videos: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Random permutations of the videos, int64 ``(n,)``: whose second clip goes with each first one.

    Uniform over all permutations, so one of the n videos keeps its own clip on average. Without those the null would be
    too narrow: of two channels that one video each moves, that is the same video by chance once in n times.
    """
    generator = np.random.default_rng(seed)
    return (generator.permutation(videos) for _ in range(count))


def mispaired_correlations(first: np.ndarray, second: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """Correlations over pairs of clips of different videos, ``(count, C)``: what there is by chance where a channel
    says the same of no two clips. The mispairings are the same for all channels of n videos."""
    constant = constant_channels(first, second)
    first, second = (standardised(values, constant) for values in (first, second))
    return np.stack([(first * second[order]).mean(0) for order in mispairings(len(first), count, seed)])


def null_quantile(mispaired: np.ndarray) -> np.ndarray:
    """The value that a channel's correlation over true pairs exceeds with a chance of 5 % where they share nothing, of
    M mispaired ones ``(M, C) -> (C,)``: the k-th smallest, k = 0.95 (M + 1), so M = 19, 39, ..., 199."""
    place = round(0.95 * (len(mispaired) + 1)) - 1
    return np.partition(mispaired, place, axis=0)[place]


def resampled_correlations(first: np.ndarray, second: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """Correlations over resampled pairs ``(samples, C)``: whole videos are drawn, the same ones for all channels."""
    constant = constant_channels(first, second)
    a, b = (standardised(values, constant) for values in (first, second))
    columns = np.concatenate([a, b, a * a, b * b, a * b], axis=1)
    a1, b1, aa, bb, ab = np.split(resampled_means(columns, samples=samples, seed=seed), 5, axis=1)
    variances = np.maximum(aa - a1 * a1, 0) * np.maximum(bb - b1 * b1, 0)
    # A channel may be constant in a resample, as one that only one of the videos moves.
    defined = variances > 1e-20
    return np.where(defined, (ab - a1 * b1) / np.sqrt(np.where(defined, variances, 1.0)), 0.0)
