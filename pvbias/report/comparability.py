"""Checks whether figures of several runs can be compared, and cautions for readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import words
from .differences import labels_differ
from .results import RunResults


@dataclass(frozen=True)
class _Condition:
    """A property that has to be equal for figures of several runs to be compared.

    Attributes:
        warning: what the page says where it is not.
        why: the same as a part of a sentence; empty where figures can be compared nevertheless, with care.
        value: what a run did.
    """

    warning: str
    why: str
    value: Callable[[RunResults], str]


_CONDITIONS = (
    _Condition(
        "The videos are not the same: figures differ because of the data as well as the model.",
        "the videos are not the same",
        lambda run: f"{words.counted(run.num_videos, 'video')}, fingerprint {run.data_fingerprint[:12]}",
    ),
    _Condition(
        "Clips were sampled differently, and how much moves in one grows with the time that it covers: do not compare "
        "scores.",
        "clips were sampled differently",
        lambda run: run.sampling + (f" ({run.clip_seconds:.2f} s)" if run.clip_seconds else ""),
    ),
    _Condition(
        "Videos were seen in different views: do not compare video-level figures.",
        "videos were seen in different views",
        lambda run: run.views,
    ),
    _Condition(
        "The models tell different numbers of classes apart: accuracies and scores are not on the same scale.",
        "the models tell different numbers of classes apart",
        lambda run: words.counted(run.num_classes, "class"),
    ),
    _Condition(
        "Number formats differ: small differences between scores may come from rounding.",
        "",
        lambda run: run.precision,
    ),
)


def _conditions(runs: Sequence[RunResults]) -> list[_Condition]:
    """The conditions that the runs do not meet."""
    conditions = list(_CONDITIONS)
    if len({run.data_fingerprint for run in runs}) == 1 and labels_differ(runs):
        by_name = all(run.label_fingerprints[1] for run in runs)
        labels = _Condition(
            "The videos are labelled differently: accuracies differ because of that as well as the model.",
            "the videos are labelled differently",
            lambda run: f"labels with the fingerprint {run.label_fingerprints[by_name][:12]}",
        )
        conditions.insert(1, labels)
    return [condition for condition in conditions if len({condition.value(run) for run in runs}) > 1]


def cautions(runs: Sequence[RunResults]) -> list[tuple[int, str]]:
    """Cautions about single runs: (column of the run, sentence)."""
    return [(column, caution) for column, run in enumerate(runs) for caution in run.cautions]


def warnings(runs: Sequence[RunResults]) -> list[tuple[str, list[str]]]:
    """Warnings about differences that keep runs from being compared: (warning, what each run did)."""
    return [(condition.warning, [condition.value(run) or "unknown" for run in runs]) for condition in _conditions(runs)]


def unlike(runs: Sequence[RunResults]) -> list[str]:
    """Reasons why these runs cannot be ranked, as parts of a sentence; empty where they can."""
    return [condition.why for condition in _conditions(runs) if condition.why]
