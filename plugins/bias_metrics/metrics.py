"""The measures without evaluators, configuration or videos: functions of log-probabilities and labels, and metrics that
are updated batch by batch (as torchmetrics' are, without depending on it).

>>> import torch
>>> log_p = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log()  # predictions on two clips
>>> log_q = torch.tensor([[0.6, 0.4], [0.5, 0.5]]).log()  # on the same clips with their frames shuffled
>>> round(float(dynamic_score(log_p, log_q)), 4)  # (0.9 ln(0.9 / 0.6) + 0.1 ln(0.1 / 0.4)) / 2
0.1131

The measures of weights are functions, too: :func:`.kernel_measures.asdt`, :func:`.kernel_measures.self_convolution`.
"""

from __future__ import annotations

import abc
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pvbias.evaluation import statistics
from pvbias.evaluation.accuracy import LEVELS, top_k_credit
from pvbias.evaluation.divergence import divergence
from pvbias.evaluation.statistics import Estimate

#: How far the logarithm of a row's sum may be from 0: half precision is not nearer.
_ROUNDING = 0.05


def dynamic_score(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Mean ``KL(p || q) = sum_i p_i ln(p_i / q_i)`` over clips, nats, >= 0 (Li and Vasconcelos, eq. 3 and 4).

    Args:
        log_p: log-probabilities ``(N, K)`` on the clips as they are.
        log_q: on the same clips modulated, or those of a spatial student.

    Returns:
        float64 ``()``; infinite where q is 0 and p is not. With gradients on both sides.

    Raises:
        ValueError: the rows are not log-probabilities of the same shape, or there are none.
    """
    return _mean(_scores(log_p, log_q))


def agreement(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Share of clips whose most probable class is the same in both, float64 ``()`` in [0, 1].

    Args and errors as of :func:`dynamic_score`.

    >>> float(agreement(torch.tensor([[0.9, 0.1], [0.3, 0.7]]).log(), torch.tensor([[0.6, 0.4], [0.8, 0.2]]).log()))
    0.5
    """
    return _mean(_agreements(log_p, log_q))


def log_ratio(log_p: Tensor, log_q: Tensor, labels: Tensor) -> float:
    """``ln(A / A~)`` of the top-1 accuracies on clips as they are and modulated (Hara, Ishikawa and Kataoka, eq. 1).

    Where the label's score is tied with others, accuracy gives the credit that breaking the tie at random would.

    Args:
        log_p, log_q: as of :func:`dynamic_score`.
        labels: int64 ``(N,)`` in [0, K).

    Returns:
        Infinite where one of the accuracies is 0, NaN where both are.

    >>> labels = torch.tensor([0, 1, 1, 0])
    >>> right = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]).log()
    >>> half = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]).log()
    >>> round(log_ratio(right, half, labels), 4)  # ln 2
    0.6931
    """
    credit = _mean(_credits(log_p, log_q, labels))
    return statistics.log_of_ratio(float(credit[0]), float(credit[1]))


def dataset_bias(log_q: Tensor, labels: Tensor) -> Tensor:
    """Mean ``-ln q_y`` over clips, nats, >= 0: how far a spatial student stays behind the labels (Li and Vasconcelos,
    eq. 5).

    Args:
        log_q: the student's log-probabilities ``(N, K)``.
        labels: int64 ``(N,)`` in [0, K).

    >>> round(float(dataset_bias(torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log(), torch.tensor([0, 0]))), 4)
    1.0397
    """
    return _mean(_surprisals(log_q, labels))


@dataclass
class _Seen:
    """The accumulated clips of a video: the sum of their scores ``(m,)``, or the logarithm of the sum of their
    probabilities ``(inputs, K)``; how many clips; the label."""

    total: Tensor
    clips: int
    label: int | None


class VideoMetric(abc.ABC):
    """Base of metrics over videos: ``update`` with batches of clips, :meth:`compute` the value and its 95 %
    interval, as the evaluators give them.

    Videos are the sample, not their clips: name the video of each clip where it has several.

    Args:
        level: "video": of the class probabilities averaged over a video's clips; "clip": of each clip by itself,
            averaged over a video's clips and then over videos.
        samples: resamples of the bootstrap.
        seed: of the resamples.
    """

    def __init__(self, *, level: str = "video", samples: int = 2000, seed: int = 0) -> None:
        if level not in LEVELS:
            raise ValueError(f"level = {level!r} must be one of {', '.join(LEVELS)}")
        if samples < 1:
            raise ValueError(f"samples = {samples} must be at least 1")
        self.level = level
        self.samples = samples
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget all clips."""
        self._seen: dict[Hashable, _Seen] = {}
        self._named: bool | None = None
        self._classes: int | None = None

    def compute(self) -> Estimate:
        """The value over all videos, its interval over them, and how many there are.

        Named videos give the same, in whatever order and batches they came and were merged.

        Raises:
            ValueError: there are none yet.
        """
        if not self._seen:
            raise ValueError(f"{type(self).__name__}.compute: there are no clips yet, call update first.")
        rows = [self._row(self._seen[video]) for video in _in_order(self._seen)]
        return self._estimate(torch.stack(rows).numpy())

    def merge(self, other: VideoMetric) -> None:
        """Add what another metric has seen, in another process for example; clips of one video may be in both.

        Raises:
            ValueError: it is another metric or this one itself, of another level, or of other classes or labels.
        """
        if other is self:
            raise ValueError(f"{type(self).__name__}.merge: it has seen its own clips already.")
        if type(other) is not type(self) or other.level != self.level:
            raise ValueError(
                f"{type(self).__name__} of level {self.level!r} cannot take over what {type(other).__name__} of level "
                f"{other.level!r} has seen."
            )
        if other._named is None or other._classes is None:
            return
        first = 0 if other._named else len(self._seen)
        named = ((video if other._named else first + video, seen) for video, seen in other._seen.items())  # type: ignore[operator]
        self._add(named, named=other._named, classes=other._classes)

    def _update(
        self, predictions: Sequence[Tensor], labels: Tensor | None, videos: Sequence[Hashable] | Tensor | None
    ) -> None:
        labels = None if labels is None else labels.cpu()
        scores = self._score([each.detach().cpu() for each in predictions], labels)  # which checks all of them
        logs = torch.stack([each.detach().double().cpu() for each in predictions])  # (inputs, N, K)
        _, count, classes = logs.shape
        if videos is not None and len(videos) != count:
            raise ValueError(f"There are {count} clips, and videos are named for {len(videos)}.")
        names = range(len(self._seen), len(self._seen) + count) if videos is None else map(_key, videos)
        known = labels.tolist() if labels is not None else [None] * count
        totals = scores if self.level == "clip" else logs.transpose(0, 1)
        seen = ((name, _Seen(*each)) for name, *each in zip(names, totals, [1] * count, known, strict=True))
        self._add(seen, named=videos is not None, classes=classes)

    def _add(self, new: Iterable[tuple[Hashable, _Seen]], *, named: bool, classes: int) -> None:
        """Add clips by video: all of them, or, where they do not fit those that were seen, none."""
        if self._named not in (None, named):
            raise ValueError("Name the videos of all clips or of none: what has no name would be a video of its own.")
        if self._classes not in (None, classes):
            raise ValueError(f"These predictions are of {classes} classes, those before of {self._classes}.")
        join = torch.add if self.level == "clip" else torch.logaddexp
        changed: dict[Hashable, _Seen] = {}
        for video, seen in new:
            known = changed.get(video) or self._seen.get(video)
            if known is None:
                changed[video] = seen
            elif known.label != seen.label:
                raise ValueError(f"Video {video!r} has the labels {known.label} and {seen.label}.")
            else:
                changed[video] = _Seen(join(known.total, seen.total), known.clips + seen.clips, known.label)
        self._seen |= changed
        self._named, self._classes = named, classes

    def _row(self, seen: _Seen) -> Tensor:
        """A video's scores, ``(m,)``."""
        if self.level == "clip":
            return seen.total / seen.clips
        labels = None if seen.label is None else torch.tensor([seen.label])
        return self._score(list(seen.total[:, None].log_softmax(2)), labels)[0]

    @abc.abstractmethod
    def _score(self, predictions: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Scores ``(N, m)`` of clips, or of videos by their mean probabilities."""

    @abc.abstractmethod
    def _estimate(self, rows: np.ndarray) -> Estimate:
        """Estimate the value and interval from the scores ``(videos, m)``."""

    def _mean(self, rows: np.ndarray) -> Estimate:
        (interval,) = statistics.mean_intervals(rows, samples=self.samples, seed=self.seed)
        return Estimate(float(rows.mean()), interval, len(rows))


class DynamicScoreMetric(VideoMetric):
    """:func:`dynamic_score` over videos, nats, with the bootstrap's interval.

    >>> metric = DynamicScoreMetric()
    >>> p, q = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.6, 0.4]]).log()
    >>> metric.update(p, q, videos=["a.mp4"])
    >>> metric.update(torch.cat([p, p]), torch.cat([p, q]), videos=["b.mp4", "a.mp4"])  # a second clip of a.mp4
    >>> score = metric.compute()  # of a.mp4 0.2263, of b.mp4 0
    >>> round(score.value, 4), score.count
    (0.1131, 2)
    >>> elsewhere = DynamicScoreMetric()
    >>> elsewhere.update(p, p, videos=["c.mp4"])
    >>> metric.merge(elsewhere)
    >>> metric.compute().count
    3
    """

    def update(self, log_p: Tensor, log_q: Tensor, videos: Sequence[Hashable] | Tensor | None = None) -> None:
        """Add a batch of clips.

        Args:
            log_p, log_q: log-probabilities ``(N, K)``, see :func:`dynamic_score`.
            videos: the name or number of each clip's video; None: each is of its own.
        """
        self._update([log_p, log_q], None, videos)

    def _score(self, predictions: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        return _scores(*predictions)[:, None]

    def _estimate(self, rows: np.ndarray) -> Estimate:
        return self._mean(rows)


class AgreementMetric(DynamicScoreMetric):
    """:func:`agreement` over videos, a share in [0, 1], with Wilson's interval; updated as :class:`DynamicScoreMetric`.

    >>> metric = AgreementMetric()
    >>> metric.update(torch.tensor([[0.9, 0.1], [0.3, 0.7]]).log(), torch.tensor([[0.6, 0.4], [0.8, 0.2]]).log())
    >>> metric.compute().value
    0.5
    """

    def _score(self, predictions: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        return _agreements(*predictions)[:, None]

    def _estimate(self, rows: np.ndarray) -> Estimate:
        return Estimate(float(rows.mean()), statistics.proportion_interval(rows[:, 0]), len(rows))


class LogRatioMetric(VideoMetric):
    """:func:`log_ratio` over videos, with the bootstrap's interval; where an accuracy is 0 it has no value, but a note.

    >>> metric = LogRatioMetric()
    >>> right, wrong = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.2, 0.8]]).log()
    >>> for shuffled in (right, wrong):
    ...     metric.update(right, shuffled, torch.tensor([0]))
    >>> round(metric.compute().value, 4)  # ln(100 % / 50 %)
    0.6931
    """

    def update(
        self, log_p: Tensor, log_q: Tensor, labels: Tensor, videos: Sequence[Hashable] | Tensor | None = None
    ) -> None:
        """Add a batch of clips: see :func:`log_ratio`, and :meth:`DynamicScoreMetric.update` for the videos."""
        self._update([log_p, log_q], labels, videos)

    def _score(self, predictions: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        assert labels is not None
        log_p, log_q = predictions
        return _credits(log_p, log_q, labels)

    def _estimate(self, rows: np.ndarray) -> Estimate:
        return statistics.log_ratio(rows[:, 0], rows[:, 1], samples=self.samples, seed=self.seed)


class DatasetBiasMetric(VideoMetric):
    """:func:`dataset_bias` over videos, nats, with the bootstrap's interval.

    >>> metric = DatasetBiasMetric()
    >>> metric.update(torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log(), torch.tensor([0, 0]))
    >>> round(metric.compute().value, 4)
    1.0397
    """

    def update(self, log_q: Tensor, labels: Tensor, videos: Sequence[Hashable] | Tensor | None = None) -> None:
        """Add a batch of clips: see :func:`dataset_bias`, and :meth:`DynamicScoreMetric.update` for the videos."""
        self._update([log_q], labels, videos)

    def _score(self, predictions: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        assert labels is not None
        (log_q,) = predictions
        return _surprisals(log_q, labels)[:, None]

    def _estimate(self, rows: np.ndarray) -> Estimate:
        return self._mean(rows)


def _scores(log_p: Tensor, log_q: Tensor) -> Tensor:
    log_p, log_q = _checked(log_p, log_q)
    impossible = log_p.isneginf()  # 0 ln(0 / q) is 0, whatever q is
    if impossible.any():
        log_p = log_p.masked_fill(impossible, torch.finfo(log_p.dtype).min)
        log_q = log_q.masked_fill(impossible, 0.0)
    # Rounding below 0 is cut off.
    return divergence(log_p, log_q).clamp_min(0)


def _agreements(log_p: Tensor, log_q: Tensor) -> Tensor:
    log_p, log_q = _checked(log_p, log_q)
    return (log_p.argmax(1) == log_q.argmax(1)).double()


def _credits(log_p: Tensor, log_q: Tensor, labels: Tensor) -> Tensor:
    log_p, log_q = _checked(log_p, log_q)
    labels = _class_numbers(labels, log_p)
    return torch.stack([top_k_credit(log_p, labels, 1), top_k_credit(log_q, labels, 1)], dim=1)


def _surprisals(log_q: Tensor, labels: Tensor) -> Tensor:
    (log_q,) = _checked(log_q)
    labels = _class_numbers(labels, log_q)
    return -log_q.gather(1, labels[:, None])[:, 0]


def _checked(*predictions: Tensor) -> list[Tensor]:
    """Check log-probabilities, and convert them to float64: logits or probabilities in their place would give figures,
    too."""
    shape = predictions[0].shape
    if len(shape) != 2 or any(each.shape != shape for each in predictions):
        shapes = " and ".join(str(tuple(each.shape)) for each in predictions)
        raise ValueError(f"Log-probabilities are (N, K), of the same clips and classes, not {shapes}.")
    doubles = [each.double() for each in predictions]
    for each in doubles:
        total = each.detach().logsumexp(1)
        if total.isnan().any():
            raise ValueError("There is a NaN among the log-probabilities.")
        if not (total.abs() < _ROUNDING).all():
            furthest = total[total.abs().argmax()]
            raise ValueError(
                f"The probabilities of a row add up to {float(furthest.exp()):.3g} and not to 1: these are no "
                "log-probabilities. Of logits, take log_softmax(1); of probabilities, log()."
            )
    return doubles


def _class_numbers(labels: Tensor, log_p: Tensor) -> Tensor:
    """Check labels ``(N,)`` of predictions ``(N, K)``, and convert them to int64."""
    shape = tuple(log_p.shape)
    # Numbers of one byte would be taken for a mask where tensors are indexed.
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not whole or labels.shape != shape[:1] or not ((labels >= 0) & (labels < shape[1])).all():
        raise ValueError(f"Labels are (N,) = ({shape[0]},) class numbers from 0 to {shape[1] - 1}, not {labels}.")
    return labels.long()


def _mean(values: Tensor) -> Tensor:
    """The mean over clips ``(N, ...)``."""
    if not len(values):
        raise ValueError("There are no clips, and no mean over them.")
    return values.mean(0)


def _key(video: Any) -> Hashable:
    """The key of a video's name: two tensors of one number would be two keys."""
    if isinstance(video, (Tensor, np.ndarray, np.generic)):
        number = video.tolist()
        return tuple(number) if isinstance(number, list) else number
    return video


def _in_order(videos: Iterable[Hashable]) -> list[Hashable]:
    try:
        return sorted(videos)  # type: ignore[type-var]
    except TypeError:  # numbers and texts, for example
        return sorted(videos, key=lambda video: (type(video).__name__, repr(video)))
