"""Measures of one layer over the pairs of all videos, some channels at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pvbias.evaluation.rows import row_blocks

from .correlations import (
    KINDS,
    constant_channels,
    correlation,
    information,
    kinds,
    mispaired_correlations,
    null_quantile,
    resampled_correlations,
)

#: The two factors, in the order of the arrays' first axis.
FACTORS = ("dynamic", "static")

#: Mispairings of the null, of which its quantile of 95 % is the 190th.
_MISPAIRINGS = 199

#: Values of all videos that are in memory at a time, and channels.
_VALUES, _CHANNELS = 1 << 21, 64


@dataclass(frozen=True)
class LayerMeasures:
    """Measures of a layer of C channels; the first axis is that of :data:`FACTORS`.

    Attributes:
        correlations: over true pairs, ``(2, C)``.
        least: that a unit's correlation has to exceed so as not to be one by chance, ``(2, C)``.
        constant: channels that are the same in all videos, bool ``(C,)``.
        kinds: of each unit, places in :data:`.correlations.KINDS`, ``(C,)``.
        information: mean over channels, nats, ``(2,)``.
        resampled, mispaired: of it, over B resamples of the videos, ``(2, B)``, and over M mispairings, ``(2, M)``.
        resampled_kinds: how many units are of each kind in each resample, ``(4, B)``.
    """

    correlations: np.ndarray
    least: np.ndarray
    constant: np.ndarray
    kinds: np.ndarray
    information: np.ndarray
    resampled: np.ndarray
    mispaired: np.ndarray
    resampled_kinds: np.ndarray

    @property
    def channels(self) -> int:
        """C."""
        return len(self.kinds)


def measure_layer(
    values: np.ndarray,
    channels: tuple[int, int],
    pairs: Mapping[str, tuple[int, int]],
    *,
    threshold: float,
    samples: int,
    seed: int,
) -> LayerMeasures:
    """Measure a layer, some of its channels at a time, so that memory grows neither with videos nor with channels.

    Args:
        values: features of n videos on M kinds of clips, float32 ``(n, M, D)``, which may be a map of a file.
        channels: the layer's first channel among the D, and that after its last.
        pairs: the two kinds of clips of a pair, by factor.
        threshold: that a unit's correlation has to exceed, too.
        samples, seed: as for :func:`pvbias.evaluation.statistics.resampled_means`.
    """
    parts = []
    for columns in _columns(values, *channels):
        first, second = (
            [columns[:, pairs[factor][which]].astype(np.float64) for factor in FACTORS] for which in (0, 1)
        )
        both = list(zip(first, second, strict=True))
        rho = np.stack([correlation(*pair) for pair in both])
        mispaired = np.stack([mispaired_correlations(*pair, count=_MISPAIRINGS, seed=seed) for pair in both])
        drawn = np.stack([resampled_correlations(*pair, samples=samples, seed=seed) for pair in both])
        least = np.stack([null_quantile(of_factor) for of_factor in mispaired])
        limits = np.maximum(least, threshold)
        of_draws = kinds(drawn[0], drawn[1], *limits)
        parts.append(
            LayerMeasures(
                correlations=rho,
                least=least,
                constant=np.any([constant_channels(*pair) for pair in both], 0),
                kinds=kinds(rho[0], rho[1], *limits),
                information=information(rho).sum(1),
                resampled=information(drawn).sum(2),
                mispaired=information(mispaired).sum(2),
                resampled_kinds=np.stack([(of_draws == number).sum(1) for number in range(len(KINDS))]),
            )
        )
    return _joined(parts)


def _columns(values: np.ndarray, start: int, stop: int) -> Iterator[np.ndarray]:
    """Some channels of all videos after others, ``(n, M, c)``."""
    videos, clips, _ = values.shape
    step = max(1, min(_CHANNELS, _VALUES // (videos * clips)))
    for first in range(start, stop, step):
        last = min(first + step, stop)
        yield np.concatenate([block[:, :, first:last] for block in row_blocks(values)])


def _joined(parts: list[LayerMeasures]) -> LayerMeasures:
    """Measures of all channels of those of some; sums over channels become means."""
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in ("correlations", "least", "constant", "kinds")
    }
    sums = {name: sum(getattr(part, name) for part in parts) for name in ("information", "resampled", "mispaired")}
    return LayerMeasures(
        **joined,
        **{name: total / len(joined["kinds"]) for name, total in sums.items()},
        resampled_kinds=np.sum([part.resampled_kinds for part in parts], axis=0),
    )
