"""Near-duplicates among videos, within a list or across splits, from features; at a stated rate of false alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..clips import ORIGINAL
from ..errors import DataError
from .comparing import check_same_network
from .folder import Features
from .logistic import mean_and_scale, standardized

#: Entries of the matrix of distances that are in memory at a time.
_AT_ONCE = 1 << 24

#: Standard deviations that features are cut to: one that few videos have would make those that have it look alike.
_CUT = 2.0

#: Squared distance up to which features are the same: what differs is the rounding of float32.
_ROUNDING = 1e-6

#: Share of the reference videos among themselves, from the nearest, that the p-values are fitted to: their tail counts.
_TAIL = 0.05


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A video that is suspiciously near to another one.

    Attributes:
        video, other: names; the other is of the reference list.
        modulation: of the other's clips, to which the video is nearest.
        distance: of their features, in [0, 2].
        p_value: how often a video without a copy is as near to its nearest one.
    """

    video: str
    other: str
    modulation: str
    distance: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """The outcome of a search.

    Attributes:
        pairs: those with a p-value below ``rate``, the smallest first.
        rate: of false alarms, of each video without a copy.
        videos: how many were looked at.
        reference: the videos of the reference list that are flagged in the same way among their own, and how many there
            are: as many false alarms as ``rate`` says, and copies within the list.
        dimension: of the features around a video, which the p-values follow from.
    """

    pairs: list[Pair]
    rate: float
    videos: int
    reference: tuple[int, int]
    dimension: float

    def __str__(self) -> str:
        flagged, total = self.reference
        return (
            f"{len(self.pairs)} of {self.videos} videos are near-duplicates at a rate of {self.rate:g} false alarms a "
            f"video ({self.rate * self.videos:.1f} expected); of the {total} reference videos among themselves "
            f"{flagged} are."
        )


def find_duplicates(
    reference: Features,
    videos: Features | None = None,
    *,
    layer: str = "embedding",
    rate: float = 1e-3,
    neighbours: int = 5,
    group_by: str = "",
) -> NearDuplicates:
    """Find videos that are nearer to one of the reference list than neighbours of neighbours tell.

    ::

        features (means over views) -> by their standard deviation, cut to 2 of them, length 1
          -> distance to the nearest video, d_1, and to the k-th nearest, d_k -> p = 1 - (1 - (d_1 / d_k)^m)^(k - 1)

    Where videos lie around one evenly, in m dimensions, the ratio of the two distances to the power of m is the
    smallest of k - 1 numbers drawn evenly from [0, 1], whatever the density (for k = 2: Facco et al., *Estimating the
    intrinsic dimension of datasets by a minimal neighborhood information*, 2017). m is such that of the reference
    videos among themselves, obvious copies left out, 5 % have p below 0.05. A re-encoded, trimmed or, where
    the reference has features on "mirror" clips, mirrored copy is much nearer than that.

    The rate is as right as that picture of the features: the search among the reference videos themselves, of the same
    rate, says how right it is. Up to k - 2 further copies in the reference do not hide one; of exact copies (the same
    features) any number do not.

    Args:
        reference: the list that may have been copied from (the training videos), with features on original clips and
            possibly on others, of which each video's nearest counts.
        videos: those that may be copies (the test videos); None: the reference's own, each against the others.
        layer: whose features.
        rate: of false alarms for each video, in (0, 1).
        neighbours: k, at least 2.
        group_by: attribute of the reference; videos of one group (clips of one source) are not compared with each
            other, so that they neither count as copies within the list nor hide what distance is usual.

    Raises:
        DataError: features are of different networks; there are fewer than 2 k reference videos, most of them have a
            copy, or none has the attribute.
    """
    if not 0 < rate < 1 or neighbours < 2:
        raise DataError(f"rate = {rate} and neighbours = {neighbours}: give a rate in (0, 1), and two or more.")
    if videos is not None:
        check_same_network(reference, videos)
    if len(reference) < 2 * neighbours:
        raise DataError(
            f"{reference.folder} has {len(reference)} videos: to tell a copy from a neighbour takes {2 * neighbours}."
        )
    kinds = [ORIGINAL, *(name for name in reference.modulations if name == "mirror")]
    originals = reference.videos(layer)
    mean, scale = mean_and_scale(originals)
    known = [_directions(reference.videos(layer, kind), mean, scale) for kind in kinds]
    groups = reference.groups(group_by)
    own = _nearest(known[0], known, neighbours, groups)
    ratio = own.ratio
    dimension = _fitted_dimension(ratio, 0.5, neighbours)
    if dimension is not None:
        # Copies in the list would make everything else look far away.
        obvious = _p_values(ratio, dimension, neighbours) < 0.01 / len(ratio)
        dimension = _fitted_dimension(ratio[~obvious], _TAIL, neighbours)
    if dimension is None:
        raise DataError(
            f"{reference.folder}: half of the videos or more have a copy in the list, or all are alike, or of a group."
        )
    within = _p_values(ratio, dimension, neighbours)
    found, names, p_values = own, reference.names, within
    if videos is not None:
        found = _nearest(_directions(videos.videos(layer), mean, scale), known, neighbours, None)
        names, p_values = videos.names, _p_values(found.ratio, dimension, neighbours)
    pairs = [
        Pair(
            video=names[number],
            other=reference.names[int(found.other[number])],
            modulation=kinds[int(found.kind[number])],
            distance=float(found.nearest[number]),
            p_value=float(p_values[number]),
        )
        for number in np.argsort(p_values, kind="stable").tolist()
        if p_values[number] < rate
    ]
    flagged = (int((within < rate).sum()), len(reference))
    return NearDuplicates(pairs=pairs, rate=rate, videos=len(names), reference=flagged, dimension=dimension)


@dataclass(frozen=True, eq=False)
class _Nearest:
    """Neighbours of n videos in the reference, ``(n,)`` each: distances to the nearest and to the k-th nearest one, the
    number of the nearest one, and on which kind of clips it is."""

    nearest: np.ndarray
    furthest: np.ndarray
    other: np.ndarray
    kind: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Ratio of the two distances, ``(n,)``; 0 for an exact copy, however many there are of it."""
        return np.divide(self.nearest, self.furthest, out=np.zeros_like(self.nearest), where=self.nearest > 0)


def _directions(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardised features, cut, of length 1: ``(n, D)``."""
    found = standardized(features.reshape(len(features), -1), mean.ravel(), scale.ravel()).clip(-_CUT, _CUT)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def _nearest(videos: np.ndarray, known: list[np.ndarray], neighbours: int, groups: np.ndarray | None) -> _Nearest:
    """Nearest reference videos; with ``groups`` the videos are the reference's own, and none of their group counts."""
    parts = []
    for start, block in _blocks(videos, len(known[0])):
        squares = np.stack([2 - 2 * block @ each.T for each in known])
        distances = np.sqrt(np.where(squares > _ROUNDING, squares, 0))
        kinds = distances.argmin(0)
        least = distances.min(0)
        if groups is not None:
            least[groups[start : start + len(block), None] == groups[None]] = np.inf
        other = least.argmin(1)
        places = np.arange(len(block))
        furthest = np.partition(least, neighbours - 1, axis=1)[:, neighbours - 1]
        parts.append(
            (least[places, other], np.where(np.isfinite(furthest), furthest, 2.0), other, kinds[places, other])
        )
    return _Nearest(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _blocks(videos: np.ndarray, others: int) -> Iterator[tuple[int, np.ndarray]]:
    step = max(_AT_ONCE // others, 1)
    return ((start, videos[start : start + step]) for start in range(0, len(videos), step))


def _fitted_dimension(ratio: np.ndarray, part: float, neighbours: int) -> float | None:
    """The dimension by which a part of the videos has p-values up to that part; None: no dimension does."""
    at = float(np.quantile(ratio, part))
    return float(np.log(-np.expm1(np.log1p(-part) / (neighbours - 1))) / np.log(at)) if 0 < at < 1 else None


def _p_values(ratio: np.ndarray, dimension: float, neighbours: int) -> np.ndarray:
    powers = np.clip(ratio, 0, 1).astype(np.float64) ** dimension
    with np.errstate(divide="ignore"):
        return -np.expm1((neighbours - 1) * np.log1p(-powers))
