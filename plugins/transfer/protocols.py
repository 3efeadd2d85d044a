"""Protocols: what a network's features of training and test videos are worth, as results with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from scipy import stats

from pvbias.clips import ORIGINAL
from pvbias.errors import ConfigError, DataError, did_you_mean
from pvbias.evaluation import Figure, Predictions, Result
from pvbias.evaluation.statistics import mean_figures
from pvbias.features import Features, check_same_classes, check_same_network

from .embedding import Tsne
from .few_shot import CLASSIFIERS, episode_accuracies, episode_interval, episodes
from .generalization import DomainGeneralization
from .measured import Measured
from .probes import PROBES, FittedProbe, Probe
from .scores import BOOTSTRAP, evaluate_scores, mean_credits
from .settings import make


class TransferProtocol(Protocol):
    """A way to judge features."""

    #: What it looks at: "train", "test".
    needs: tuple[str, ...]

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """The result on the test videos.

        Args:
            train, test: features of training and test videos of one network; None where there is no need for them.

        Raises:
            DataError: the features lack what the protocol needs.
        """


@dataclass(frozen=True, kw_only=True)
class ProbeAccuracy:
    """The accuracy of a probe on test videos, on the clips as they are and on modulated ones.

    Of each modulation two sets of figures: of a probe that was fitted to clips so modulated (what is there to be
    learnt), and of the one of the original clips (``..._fitted_to_original``: what it makes of them). Features are
    means over views.

    Attributes:
        probe: a name in :data:`.probes.PROBES`.
        settings: of the probe.
        layer: whose features.
        modulations: of the clips.
        seeds: one fit each; figures are means over them, and ``..._over_seeds`` has their interval.
        group_by: attribute of the training videos, such as the group of UCF101, of which each is held out as a whole;
            empty: videos are held out one by one.
    """

    needs = ("train", "test")

    probe: str = "lbfgs"
    settings: Mapping[str, Any] = field(default_factory=dict)
    layer: str = "embedding"
    modulations: Sequence[str] = (ORIGINAL,)
    seeds: Sequence[int] = (0,)
    group_by: str = ""

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """See :class:`TransferProtocol`."""
        assert train is not None
        assert test is not None
        check_same_network(train, test)
        num_classes = _shared_classes(train, test)
        probe = make(PROBES, self.probe, self.settings, "probe")
        groups = _groups(train, self.group_by)
        overlap = _overlap(train, test)
        result = Result(tables={"fits": []})
        own: list[FittedProbe] = []
        for modulation in dict.fromkeys([ORIGINAL, *self.modulations]):
            fitted = self._fit(probe, train, modulation, num_classes, groups)
            own = own or fitted
            if modulation not in self.modulations:
                continue
            self._add(result, fitted, test, modulation, overlap)
            if modulation != ORIGINAL:
                self._add(result, own, test, modulation, overlap, suffix="_fitted_to_original")
        return result

    def _fit(
        self, probe: Probe, train: Features, modulation: str, num_classes: int, groups: np.ndarray | None
    ) -> list[FittedProbe]:
        chosen = _labelled(train)
        features, labels = self._features(train, modulation)[chosen], train.labels[chosen]
        _check_two_classes(labels, train)
        groups = None if groups is None else groups[chosen]
        return [probe.fit(features, labels, num_classes, seed=seed, groups=groups) for seed in self.seeds]

    def _features(self, features: Features, modulation: str) -> np.ndarray:
        if self.probe == "attentive":
            return tokens(features, self.layer, modulation)
        found = features.videos(self.layer, modulation)
        if found.ndim != 2:
            raise DataError(
                f"{features.folder}: {self.layer!r} has features {found.shape[1:]} of each video, whose positions were "
                "kept: that is for an attentive probe; others take pooled ones."
            )
        return found

    def _add(
        self,
        result: Result,
        fitted: Sequence[FittedProbe],
        test: Features,
        modulation: str,
        overlap: str,
        suffix: str = "",
    ) -> None:
        chosen = _labelled(test)
        labels = test.labels[chosen]
        features = self._features(test, modulation)[chosen]
        scores = np.stack([each.scores(features) for each in fitted])
        note = "; ".join(dict.fromkeys(each.description for each in fitted)) + overlap
        figures = evaluate_scores(scores, labels, variant=modulation, note=note, **BOOTSTRAP)
        singles = [evaluate_scores(each, labels, variant=modulation, samples=1, seed=0) for each in scores]
        rows = result.tables["fits"]
        for seed, each, of_one in zip(self.seeds, fitted, singles, strict=True):
            values = {figure.name: figure.value for figure in of_one}
            fit = {"seed": seed, "clips": modulation, "fitted_to": ORIGINAL if suffix else modulation}
            rows.append(fit | values | {"fit": each.description})
        if len(fitted) > 1:
            figures += [_over_seeds(found, values) for found, *values in zip(figures, *singles, strict=True)]
        result.figures += [replace(figure, name=figure.name + suffix) for figure in figures]
        if modulation == ORIGINAL and labels.ndim == 1:
            shares = np.mean([_softmax(each) for each in scores], axis=0)
            result.predictions = Predictions(
                names=[name for name, known in zip(test.names, chosen, strict=True) if known],
                labels=labels,
                probabilities=shares.astype(np.float32),
                class_names=list(test.class_names),
            )


@dataclass(frozen=True, kw_only=True)
class ArrowOfTime:
    """The arrow of time: how well a probe tells clips from their reversed ones (Wei et al. 2018), whatever their class.

    Each test video counts with both; 50 % is chance.

    Attributes:
        probe, settings, layer, seeds, group_by: as of :class:`ProbeAccuracy`. A video's clips are held out together.
        reverse: the modulation.
    """

    needs = ("train", "test")

    probe: str = "lbfgs"
    settings: Mapping[str, Any] = field(default_factory=dict)
    layer: str = "embedding"
    reverse: str = "reverse"
    seeds: Sequence[int] = (0,)
    group_by: str = ""

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """See :class:`TransferProtocol`."""
        assert train is not None
        assert test is not None
        check_same_network(train, test)
        probe = make(PROBES, self.probe, self.settings, "probe")
        groups = _groups(train, self.group_by)
        groups = np.arange(len(train)) if groups is None else groups
        features, labels = self._both(train)
        fitted = [probe.fit(features, labels, 2, seed=seed, groups=np.tile(groups, 2)) for seed in self.seeds]
        tested, truth = self._both(test)
        credits = mean_credits(np.stack([each.scores(tested) for each in fitted]), truth, 1)
        note = "forward against backward clips; " + "; ".join(dict.fromkeys(each.description for each in fitted))
        figure = Figure(name="top1", value=None, unit="%", level="video", note=note + _overlap(train, test))
        by_video = credits.reshape(2, -1).mean(0)
        return Result(figures=mean_figures([figure], by_video[:, None], **BOOTSTRAP))

    def _both(self, features: Features) -> tuple[np.ndarray, np.ndarray]:
        found = [features.videos(self.layer, modulation) for modulation in (ORIGINAL, self.reverse)]
        return np.concatenate(found), np.repeat(np.arange(2), len(features))


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Few-shot classification: mean accuracy over N-way K-shot episodes of the test videos, with its interval over
    episodes (:func:`.few_shot.episode_interval`).

    Attributes:
        classifier: a name in :data:`.few_shot.CLASSIFIERS`.
        ways, shots, queries: N, K and Q of an episode; one figure for each of the shots.
        episodes: how many.
        layer: whose features, means over views.
        modulation: of the clips.
        normalize: whether features are divided by their length; None: as the classifier's paper does.
        seed: of the episodes.
    """

    needs = ("test",)

    classifier: str = "baseline"
    ways: int = 5
    shots: Sequence[int] = (1, 5)
    queries: int = 15
    episodes: int = 600
    layer: str = "embedding"
    modulation: str = ORIGINAL
    normalize: bool | None = None
    seed: int = 0

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """See :class:`TransferProtocol`."""
        assert test is not None
        if self.classifier not in CLASSIFIERS:
            raise ConfigError(
                f"No few-shot classifier {self.classifier!r}. {did_you_mean(self.classifier, CLASSIFIERS)}"
            )
        if test.labels.ndim == 2:
            raise DataError(f"{test.folder}: videos have several labels, and few-shot episodes take one of each.")
        features = test.videos(self.layer, self.modulation)
        figures = []
        for shots in self.shots:
            drawn = list(
                episodes(
                    test.labels,
                    ways=self.ways,
                    shots=shots,
                    queries=self.queries,
                    count=self.episodes,
                    seed=self.seed,
                    names=test.names,
                )
            )
            found = episode_accuracies(features, drawn, classifier=self.classifier, normalize=self.normalize)
            interval = episode_interval(found)
            figures.append(
                Figure(
                    name=f"{self.ways}way_{shots}shot",
                    value=100 * float(found.mean()),
                    unit="%",
                    level="video",
                    variant=self.modulation,
                    interval=None if interval is None else (100 * interval[0], 100 * interval[1]),
                    count=len(found),
                    note=f"{self.classifier}; interval over {len(found)} episodes, all of these {len(test)} videos",
                    values=found,
                )
            )
        return Result(figures=figures)


def tokens(features: Features, layer: str, modulation: str) -> np.ndarray:
    """The tokens of each video, float32 ``(N, tokens, D)``: views where positions were pooled, else those of all views.

    Channels are last, of maps ``(N, V, T, H, W, D)`` as of sequences ``(N, V, L, D)``.

    Raises:
        DataError: videos have different numbers of views.
    """
    array = features.array(layer, modulation)
    if array.views is not None:
        raise DataError(
            f"{features.folder}: videos have {array.views.min()} to {array.views.max()} views, and an attentive probe "
            "takes as many of each."
        )
    found = np.asarray(array, dtype=np.float32)
    return np.ascontiguousarray(found.reshape(len(found), -1, found.shape[-1]))


def _over_seeds(figure: Figure, fits: Sequence[Figure]) -> Figure:
    """A figure's mean over seeds, with Student's 95 % interval."""
    values = np.array([each.value for each in fits])
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    mean = float(values.mean())
    note = f"interval over {len(values)} seeds, on the same videos"
    return replace(
        figure,
        name=f"{figure.name}_over_seeds",
        value=mean,
        interval=(mean - half, mean + half),
        note=note,
        values=None,
        count=len(values),
    )


def _labelled(features: Features) -> np.ndarray:
    """Which videos have a label, bool ``(N,)``."""
    if features.labels.ndim == 2:
        return np.ones(len(features), np.bool_)
    chosen = features.labels >= 0
    if not chosen.any():
        raise DataError(f"{features.folder}: none of the {len(features)} videos has a label.")
    return chosen


def _check_two_classes(labels: np.ndarray, features: Features) -> None:
    occurring = labels.any(axis=0).sum() if labels.ndim == 2 else len(np.unique(labels))
    if occurring < 2:
        raise DataError(f"{features.folder}: the videos are all of one class, and a probe needs two.")


def _shared_classes(train: Features, test: Features) -> int:
    """The number of classes that training and test videos share.

    Raises:
        DataError: their labels are not the same classes.
    """
    check_same_classes(train, test)
    if train.labels.ndim == 2:
        return int(train.labels.shape[1])
    return max(len(train.class_names), len(test.class_names), int(max(train.labels.max(), test.labels.max())) + 1)


def _overlap(train: Features, test: Features) -> str:
    """What is to be said of test videos that are training videos, too; empty: nothing."""
    known = set(train.names)
    count = sum(name in known for name in test.names)
    return f"; {count} of {len(test)} test videos have names of training videos" if count else ""


def _groups(features: Features, attribute: str) -> np.ndarray | None:
    return features.groups(attribute) if attribute else None


def _softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


#: By the name under which configurations have them.
PROTOCOLS: dict[str, type] = {
    "probe": ProbeAccuracy,
    "arrow_of_time": ArrowOfTime,
    "few_shot": FewShot,
    "generalization": DomainGeneralization,
    "measured": Measured,
    "tsne": Tsne,
}
