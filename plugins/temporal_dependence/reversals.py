"""Pairs of classes that are each other's reversal, and the accuracy within them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL, Reverse
from pvbias.data.annotations.names import ClassNumbers
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, scores_by_level
from pvbias.evaluation.statistics import wilson_interval
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .rearrangements import Cut

_LISTS = Path(__file__).with_name("maps")
_COLUMNS = ("class", "reversed")

#: Variance over videos up to which they all count the same: that of rounding.
_ALIKE = 1e-12


@dataclass(frozen=True)
class ReversedPair:
    """Two classes, by number, each of which looks like the other when it is played backwards; ``quality``: how much
    (exact, near, or what a list says)."""

    first: int
    second: int
    quality: str = ""


def known_lists() -> list[Path]:
    """The lists of pairs that come with the plugin: Something-Something, Kinetics, Jester, NTU RGB+D, HMDB51."""
    return sorted(_LISTS.glob("*.csv"))


def read_pairs(path: str | Path) -> list[tuple[str, str, str]]:
    """Read a list of pairs: (class, reversed class, quality) of each.

    Args:
        path: CSV file with the columns ``class`` and ``reversed``, and ``quality`` where it says; lines that begin with
            ``#`` are comments.

    Raises:
        ConfigError: it cannot be read, lacks a column, or a class is empty, or in two pairs.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"BIAS.REVERSED_PAIRS: {path} cannot be read: {error}") from error
    reader = csv.DictReader(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not set(_COLUMNS) <= set(reader.fieldnames or ()):
        raise ConfigError(f"BIAS.REVERSED_PAIRS: {path} needs a first line `class,reversed`.")
    pairs: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    for row in reader:
        first, second = (str(row[column] or "").strip() for column in _COLUMNS)
        for name in (first, second):
            if not name or name in seen:
                why = "is in two pairs" if name else "is empty"
                raise ConfigError(f"BIAS.REVERSED_PAIRS: {path}: {name!r} {why} (pair {len(pairs) + 1}).")
            seen.add(name)
        pairs.append((first, second, str(row.get("quality") or "").strip()))
    return pairs


def find_pairs(class_names: Sequence[str], path: str | Path = "") -> list[ReversedPair]:
    """The pairs of which a network has both classes, in the order of their list.

    Args:
        class_names: of the network, in label order; spelling does not matter.
        path: of a list; empty: those that come with the plugin.

    Raises:
        ConfigError: as :func:`read_pairs`; a list of one's own names a class that the network does not have, or one
            class in two spellings.
    """
    numbers = ClassNumbers(class_names)
    found: list[ReversedPair] = []
    taken: set[int] = set()
    for own in [path] if path else known_lists():
        for *names, quality in read_pairs(own):
            first, second = map(numbers.find, names)
            if first is None or second is None:
                if path:
                    missing = names[first is not None]
                    raise ConfigError(f"BIAS.REVERSED_PAIRS: {path}: the network has no class {missing!r}.")
            elif path and (first == second or {first, second} & taken):
                raise ConfigError(f"BIAS.REVERSED_PAIRS: {path}: a class of {names[0]!r}, {names[1]!r} is there twice.")
            elif not {first, second} & taken:
                taken |= {first, second}
                found.append(ReversedPair(first, second, quality))
    return found


@EVALUATOR.register(name="reversed_pairs")
class ReversedPairs(Evaluator):
    """Accuracy within pairs of classes that are each other's reversal (opening and closing something), of which single
    frames, and frames without their order, say the same: chance is 50 %.

    Of each labelled video of a pair: whether the score of its class is above that of the other one (a tie counts a
    half). The two classes of a pair count the same, however many videos they have, and a pair as much as its videos: a
    network that always says the commoner class has 50 %. A pair with videos of one of its classes alone is left out.
    On the original clips, on clips played backwards, of which a network that sees the direction says the other class
    (below 50 %), and on shuffled ones. ``BIAS.REVERSED_PAIRS`` is a list of one's own.

    Tables: ``pairs``, a row a pair: shares in percent at video level, with Wilson's 95 % interval on original clips.
    Its trials are the effective number of equally weighted videos.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        # A run looks at what evaluators need before it knows the names of the classes.
        self.pairs = find_pairs(class_names, cfg.BIAS.REVERSED_PAIRS) if class_names else []
        self.other = {pair.first: pair.second for pair in self.pairs} | {pair.second: pair.first for pair in self.pairs}
        timed = self.pairs and cfg.DATA.NUM_FRAMES > 1
        self.specs = (ORIGINAL, Reverse().spec, Cut().spec) if timed else ()
        self.columns = [(spec, level) for spec in self.specs for level in LEVELS]
        self.needs = Needs(modulations=self.specs)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the label and the credit for each column, of videos of a pair."""
        label = -1 if video.label is None else video.label
        if label not in self.other:
            self.rows[video.index] = None
            return
        scores = {spec: scores_by_level(outputs[spec].logits) for spec in self.specs}
        credits = [float(_credit(scores[spec][level], label, self.other[label])) for spec, level in self.columns]
        self.rows[video.index] = (label, tuple(credits))

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        if not self.specs:
            return Result(not_applicable=self._why_not())
        rows = [row for row in self.rows.values() if row is not None]
        if not rows:
            return Result(not_applicable="No labelled video is of a class that has a reversal.")
        labels, credits = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        weights = self._weights(labels)
        kept = weights > 0
        if not kept.any():
            return Result(not_applicable="Of each pair only one of the two classes has labelled videos.")
        note = "" if kept.all() else f"{(~kept).sum()} videos are left out: their pair has none of the other class"
        labels, credits, weights = labels[kept], credits[kept], weights[kept]
        figures = [
            replace(
                _share(credits[:, place], weights),
                level=level,
                variant=spec,
                note=note,
                values=credits[:, place] if (weights == 1).all() else None,
            )
            for place, (spec, level) in enumerate(self.columns)
        ]
        table = [row for pair in self.pairs if (row := self._pair(pair, labels, credits, weights))]
        return Result(figures=figures, tables={"pairs": table})

    def _why_not(self) -> str:
        if self.pairs:
            return "Clips of one frame have no direction."
        if not self.class_names:
            return "Pairs of classes that are each other's reversal are found by name, and the classes have no names."
        return (
            "None of the classes are each other's reversal, as far as the lists that come with pvbias know: name "
            "pairs in a file, BIAS.REVERSED_PAIRS."
        )

    def _weights(self, labels: np.ndarray) -> np.ndarray:
        """Weights of videos ``(n,)`` by which both classes of a pair count the same: half of the pair's videos over
        those of the own class; 0 where the other class has none."""
        counts = {label: int((labels == label).sum()) for label in self.other}
        return np.array(
            [
                (own + counts[self.other[label]]) / (2 * own) if counts[self.other[label]] else 0.0
                for label in labels.tolist()
                for own in [counts[label]]
            ]
        )

    def _pair(
        self, pair: ReversedPair, labels: np.ndarray, credits: np.ndarray, weights: np.ndarray
    ) -> dict[str, object]:
        own = np.isin(labels, (pair.first, pair.second))
        if not own.any():
            return {}
        share = {spec: _share(credits[own, self.columns.index((spec, "video"))], weights[own]) for spec in self.specs}
        low, high = share[ORIGINAL].interval or (None, None)
        return {
            "class": self.class_name(pair.first),
            "reversed": self.class_name(pair.second),
            "quality": pair.quality,
            "videos": int(own.sum()),
            "within": share[ORIGINAL].value,
            "within_low": low,
            "within_high": high,
            "played_backwards": share[Reverse().spec].value,
            "shuffled": share[Cut().spec].value,
        }


def _share(credits: np.ndarray, weights: np.ndarray) -> Figure:
    """The weighted mean of credits ``(n,)``, n >= 2, in percent, with Wilson's 95 % interval: its trials are as many
    videos of equal weight as the weights come to (Kish), or more where videos count in part
    (:func:`pvbias.evaluation.statistics.proportion_interval`)."""
    value = float((weights * credits).sum() / weights.sum())
    trials = float(weights.sum() ** 2 / (weights**2).sum())
    variance = float((weights * (credits - value) ** 2).sum() / weights.sum())
    if variance > _ALIKE:
        trials *= max(1.0, value * (1 - value) / variance)
    low, high = wilson_interval(value, trials)
    interval = (100 * low, 100 * high)
    return Figure(name="within_pairs", value=100 * value, unit="%", level="", interval=interval, count=len(credits))


def _credit(scores: Tensor, label: int, other: int) -> Tensor:
    """The share of views whose own class is above the other one, ``(V, K) -> ()``."""
    own, against = scores[:, label], scores[:, other]
    return ((own > against).double() + (own == against).double() / 2).mean()
