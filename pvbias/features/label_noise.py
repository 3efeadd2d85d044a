"""Labels that are likely to be wrong, from features, with the rates at which planted wrong labels are found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from ..errors import DataError
from ..evaluation.statistics import wilson_interval
from .folder import Features
from .logistic import PENALTIES, fit_logistic, fit_penalized

#: Part of the labels that is changed to see how many of those are found, and how often that is done.
_PLANTED, _TIMES = 0.05, 3


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A video whose label is likely to be wrong.

    Attributes:
        video: its name.
        label, other: the class that it is given, and the one that it looks like.
        probability, of_other: of the two, by classifiers that have not seen the video.
    """

    video: str
    label: str
    other: str
    probability: float
    of_other: float


@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """The outcome of a search.

    Attributes:
        suspects: the surest first.
        videos: how many were looked at.
        left_out: of classes with a single video (or none but one group's, or one fold's), or without a label.
        accuracy: of the classifiers, on videos that they have not seen, as the labels are.
        recall: the share of planted wrong labels that are found, and its 95 % interval.
        false_alarms: the share of the other videos that are flagged beside planted ones, and its interval: an upper
            bound of false alarms, since their own wrong labels are among them.
    """

    suspects: list[Suspect]
    videos: int
    left_out: int
    accuracy: float
    recall: tuple[float, tuple[float, float]]
    false_alarms: tuple[float, tuple[float, float]]

    def __str__(self) -> str:
        def percent(rate: tuple[float, tuple[float, float]]) -> str:
            return f"{100 * rate[0]:.1f} % [{100 * rate[1][0]:.1f}, {100 * rate[1][1]:.1f}]"

        return (
            f"{len(self.suspects)} of {self.videos} labels are suspects (classifiers of other videos are right about "
            f"{100 * self.accuracy:.1f} %). Of labels changed at random {percent(self.recall)} were found in the same "
            f"way; of the others {percent(self.false_alarms)} were flagged beside them."
        )


def find_label_noise(
    features: Features, *, layer: str = "embedding", folds: int = 5, group_by: str = "", seed: int = 0
) -> LabelNoise:
    """Find labels that classifiers of the other videos do not believe (confident learning).

    Each video's class probabilities come from a logistic regression on the other folds' features. A class's threshold
    is the mean probability that its own videos are given; the videos that reach one are counted by their label and the
    class that they reach, and scaled to all videos of the label. So many of each pair of classes, those whose
    probability of the other class is the furthest above that of their own, are the suspects (Northcutt, Jiang and
    Chuang, *Confident Learning: Estimating Uncertainty in Dataset Labels*, 2021: pruning by noise rate).

    How far that is to be believed, with these features, is measured: 5 % of the labels are changed at random, three
    times, and the same search tells how many of them it finds and how many others it flags.

    Args:
        features: with one label a video.
        layer: whose features, means over views.
        folds: at least 2.
        group_by: attribute; videos of one group (clips of one source) are in one fold.
        seed: of the folds and of the planted labels.

    Raises:
        DataError: videos have several labels, none has one, or fewer than two classes have videos enough.
    """
    labels = features.labels
    if labels.ndim == 2:
        raise DataError(f"{features.folder}: videos have several labels each, of which none is the one.")
    groups = features.groups(group_by)
    several = [label for label in np.unique(labels[labels >= 0]) if len(np.unique(groups[labels == label])) > 1]
    used = np.flatnonzero(np.isin(labels, several))
    if len(several) < 2:
        raise DataError(f"{features.folder}: fewer than two classes have two videos (or groups) or more.")
    values = features.videos(layer)[used]
    classes, given = np.unique(labels[used], return_inverse=True)
    _, c = fit_penalized(values, given, len(classes), penalties=PENALTIES, seed=seed, groups=groups[used])
    generator = np.random.default_rng(seed)
    folds_of = _folds(groups[used], given, folds, generator)

    def search(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        judged = _judged(labels, folds_of)
        probabilities = _held_out_probabilities(values, labels, len(classes), c, folds_of)
        return (*_confident(probabilities, labels, judged), probabilities, judged)

    flagged, likely, probabilities, judged = search(given)
    margin = probabilities.max(1) - probabilities[np.arange(len(given)), given]
    class_names = dict(enumerate(features.class_names))
    suspects = [
        Suspect(
            video=features.names[used[number]],
            label=class_names.get(int(classes[given[number]]), str(classes[given[number]])),
            other=class_names.get(int(classes[likely[number]]), str(classes[likely[number]])),
            probability=float(probabilities[number, given[number]]),
            of_other=float(probabilities[number, likely[number]]),
        )
        for number in np.argsort(-margin, kind="stable")
        if flagged[number]
    ]
    found = planted = others = alarms = 0
    for _ in range(_TIMES):
        chosen = generator.permutation(len(given))[: max(round(_PLANTED * len(given)), 1)]
        changed = given.copy()
        changed[chosen] = (given[chosen] + generator.integers(1, len(classes), size=len(chosen))) % len(classes)
        again = search(changed)[0]
        rest = np.setdiff1d(np.arange(len(given)), chosen)
        found, planted = found + int(again[chosen].sum()), planted + len(chosen)
        alarms, others = alarms + int(again[rest].sum()), others + len(rest)
    return LabelNoise(
        suspects=suspects,
        videos=int(judged.sum()),
        left_out=len(labels) - int(judged.sum()),
        accuracy=float((probabilities.argmax(1) == given)[judged].mean()),
        recall=(found / planted, wilson_interval(found / planted, planted)),
        false_alarms=(alarms / others, wilson_interval(alarms / others, others)),
    )


def _folds(groups: np.ndarray, labels: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """The fold of each video, int64 ``(n,)``; a group is in one, and groups of a class are in different ones."""
    names, first, of_group = np.unique(groups, return_index=True, return_inverse=True)
    drawn = generator.permutation(len(names))
    dealt = drawn[np.argsort(labels[first][drawn], kind="stable")]  # class by class
    fold = np.empty(len(names), np.int64)
    fold[dealt] = np.arange(len(names)) % folds
    return fold[of_group]


def _judged(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Whether a video's class is in other folds than its own, too, bool ``(n,)``: a classifier that has not seen the
    class says nothing of the label."""
    pairs = np.unique(np.stack([labels, folds]), axis=1)
    return np.bincount(pairs[0])[labels] > 1


def _held_out_probabilities(
    values: np.ndarray, labels: np.ndarray, num_classes: int, c: float, folds: np.ndarray
) -> np.ndarray:
    """Class probabilities ``(n, K)`` of each video by a classifier of the other folds."""
    found = np.empty((len(labels), num_classes))
    for fold in np.unique(folds):
        held_out = folds == fold
        classifier = fit_logistic(values[~held_out], labels[~held_out], num_classes, c)
        found[held_out] = softmax(classifier.scores(values[held_out]), axis=1)
    return found


def _confident(probabilities: np.ndarray, labels: np.ndarray, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels are not believed, bool ``(n,)``, and the class that each video is taken for, int64 ``(n,)``; those
    that are not judged are believed."""
    count = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    thresholds = np.array(
        [own[chosen].mean() if chosen.any() else np.inf for chosen in (judged & (labels == k) for k in range(count))]
    )
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    sure = judged & (confident.max(1) >= 0)
    joint = np.zeros((count, count))
    np.add.at(joint, (labels[sure], confident[sure].argmax(1)), 1)
    # Of a class's videos that reach no threshold as many are taken to be wrong as of those that do.
    joint *= (np.bincount(labels[judged], minlength=count) / np.maximum(joint.sum(1), 1))[:, None]
    flagged, likely = np.zeros(len(labels), bool), labels.copy()
    for given, other in zip(*np.nonzero(joint), strict=True):
        if given != other:
            members = np.flatnonzero(judged & (labels == given))
            margin = probabilities[members, other] - own[members]
            worst = members[np.argsort(-margin, kind="stable")[: round(joint[given, other])]]
            # Above its own class, and above another one that it is a suspect of already.
            worst = worst[probabilities[worst, other] > probabilities[worst, likely[worst]]]
            flagged[worst], likely[worst] = True, other
    return flagged, likely
