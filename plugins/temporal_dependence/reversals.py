"""Pairs of classes that are each other's reversal, and the accuracy within them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL, Reverse
from pvbias.data.annotations.names import ClassNumbers
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import LEVELS, scores_by_level
from pvbias.evaluation.statistics import mean_figures, proportion_interval
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .rearrangements import Cut

_LISTS = Path(__file__).with_name("maps")
_COLUMNS = ("class", "reversed")


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
        ConfigError: as :func:`read_pairs`; a list of one's own names a class that the network does not have.
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
            elif not {first, second} & taken:
                taken |= {first, second}
                found.append(ReversedPair(first, second, quality))
    return found


@EVALUATOR.register(name="reversed_pairs")
class ReversedPairs(Evaluator):
    """Accuracy within pairs of classes that are each other's reversal (opening and closing something), of which single
    frames, and frames without their order, say the same: chance is 50 %.

    Of each labelled video of a pair: whether the score of its class is above that of the other one (a tie counts a
    half). On the original clips, on clips played backwards, of which a network that sees the direction says the other
    class (below 50 %), and on shuffled ones. ``BIAS.REVERSED_PAIRS`` is a list of one's own.

    Tables: ``pairs``, a row a pair: shares in percent at video level, with Wilson's 95 % interval on original clips.
    """

    of_predictions = False

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
        templates = [
            Figure(name="within_pairs", value=None, unit="%", level=level, variant=spec) for spec, level in self.columns
        ]
        table = [row for pair in self.pairs if (row := self._pair(pair, labels, credits))]
        return Result(figures=mean_figures(templates, credits, **self.bootstrap), tables={"pairs": table})

    def _why_not(self) -> str:
        if self.pairs:
            return "Clips of one frame have no direction."
        if not self.class_names:
            return "Pairs of classes that are each other's reversal are found by name, and the classes have no names."
        return (
            "None of the classes are each other's reversal, as far as the lists that come with pvbias know: name "
            "pairs in a file, BIAS.REVERSED_PAIRS."
        )

    def _pair(self, pair: ReversedPair, labels: np.ndarray, credits: np.ndarray) -> dict[str, object]:
        own = credits[np.isin(labels, (pair.first, pair.second))]
        if not len(own):
            return {}
        share = {spec: own[:, self.columns.index((spec, "video"))] for spec in self.specs}
        low, high = proportion_interval(share[ORIGINAL]) or (None, None)
        return {
            "class": self.class_name(pair.first),
            "reversed": self.class_name(pair.second),
            "quality": pair.quality,
            "videos": len(own),
            "within": 100 * float(share[ORIGINAL].mean()),
            "within_low": None if low is None else 100 * low,
            "within_high": None if high is None else 100 * high,
            "played_backwards": 100 * float(share[Reverse().spec].mean()),
            "shuffled": 100 * float(share[Cut().spec].mean()),
        }


def _credit(scores: Tensor, label: int, other: int) -> Tensor:
    """The share of views whose own class is above the other one, ``(V, K) -> ()``."""
    own, against = scores[:, label], scores[:, other]
    return ((own > against).double() + (own == against).double() / 2).mean()
