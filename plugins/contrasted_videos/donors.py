"""Donors: the videos whose backgrounds others are shown over, drawn by class and name."""

from __future__ import annotations

import csv
import hashlib
import logging
import pickle
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from fvcore.common.config import CfgNode

from pvbias.data import VideoRecord, VideoSource, fingerprint
from pvbias.data.annotations.files import is_video
from pvbias.data.masks import MaskTrack
from pvbias.data.tracks import read_clip
from pvbias.errors import ConfigError, DataError
from pvbias.video import BadVideoError

logger = logging.getLogger(__name__)

#: Kinds of donors, and what they are.
KINDS = {
    "same": "another video of its class",
    "random": "a video of another class",
    "close": "a video of one of the five classes whose backgrounds look most like its own",
    "far": "a video of that half of the classes whose backgrounds look least like its own",
    "pairs": "the video that CONTRASTED.PAIRS names",
}

#: Classes that are close, at most; never more than half of the others.
_CLOSE = 5

#: Draws of a donor, the next one where it was the video itself: of two videos the other one is found in one of them.
_DRAWS = 64

#: Videos that a class is judged by; side of the picture that is made of the background of each, in cells and in pixels.
_VIDEOS, _CELLS, _PIXELS = 4, 8, 32

#: Distances of classes that this process knows.
_known: dict[tuple, np.ndarray] = {}


class Donors:
    """The donor of each video of a source: a function of RNG_SEED, the kind, the video's name and the source.

    Args:
        cfg: completed configuration.
        source: of the videos, whose labels are known.
        kind: one of :data:`KINDS`.

    Raises:
        ConfigError: there is no such kind, or no file of pairs.
        DataError: the file of pairs cannot be read.
    """

    def __init__(self, cfg: CfgNode, source: VideoSource, kind: str) -> None:
        if kind not in KINDS:
            raise ConfigError(f"CONTRASTED.SWAPS has {kind!r}. Known: {', '.join(KINDS)}.")
        self.kind = kind
        self._seed = cfg.RNG_SEED
        self._records = source.records
        labels = [-1 if record.label is None else record.label for record in source.records]
        self._labels = np.array(labels, np.int64)
        self._order = np.argsort(self._labels, kind="stable")  # of one class after another
        self._first = np.searchsorted(self._labels[self._order], np.arange(self._labels.max(initial=-1) + 2))
        self._pairs = self._numbers_of(read_pairs(cfg.CONTRASTED.PAIRS)) if kind == "pairs" else {}
        self._classes = _neighbours(cfg, source, self, nearest=kind == "close") if kind in ("close", "far") else {}

    def of(self, record: VideoRecord, attempt: int = 0) -> VideoRecord | None:
        """The donor of a video; None where it has none: no label, nothing else in its class, no line in the file.

        Args:
            attempt: how many before it could not be read.
        """
        if self.kind == "pairs":
            number = None if attempt else self._pairs.get(_stem(record.name))
            return None if number is None else self._records[number]
        if record.label is None or not 0 <= record.label < len(self._first) - 1:
            return None
        if self.kind == "random":
            return self._drawn(record, self._elsewhere(record.label), attempt)
        classes = [record.label] if self.kind == "same" else self._classes.get(record.label, [])
        return self._drawn(record, np.concatenate([self._order[:0], *map(self.members, classes)]), attempt)

    @property
    def mislead(self) -> bool:
        """Whether there are donors of another class than the video that they give their background to."""
        if self.kind != "pairs":
            return self.kind != "same"
        donors = ((record.label, self.of(record)) for record in self._records)
        return any(
            donor is not None and None not in (label, donor.label) and donor.label != label for label, donor in donors
        )

    def members(self, label: int) -> np.ndarray:
        """Numbers of the videos of a class, int64, ascending."""
        return self._order[self._first[label] : self._first[label + 1]]

    @property
    def labels(self) -> list[int]:
        """The classes that have videos, ascending."""
        return [label for label in range(len(self._first) - 1) if self._first[label] < self._first[label + 1]]

    def _elsewhere(self, label: int) -> np.ndarray:
        """Numbers of the labelled videos of the other classes."""
        return np.concatenate([self._order[self._first[0] : self._first[label]], self._order[self._first[label + 1] :]])

    def _drawn(self, record: VideoRecord, numbers: np.ndarray, attempt: int) -> VideoRecord | None:
        """One of the videos, any but the given one, all equally likely; after some attempts those after it."""
        text = f"{self.kind}{self._seed}/{record.name}".encode(errors="surrogatepass")
        for draw in range(_DRAWS if len(numbers) else 0):
            digest = hashlib.sha256(text + bytes(draw)).digest()
            start = int.from_bytes(digest[:8], "big") % len(numbers)
            if _is_another(self._records[int(numbers[start])], record):
                following = (self._records[int(number)] for number in np.roll(numbers, -start))
                others = (found for found in following if _is_another(found, record))
                return next(islice(others, attempt, None), None)
        return None

    def _numbers_of(self, pairs: dict[str, str]) -> dict[str, int]:
        wanted = set(pairs.values())
        numbers: dict[str, int] = {}
        for number, stem in enumerate(_stem(record.name) for record in self._records):
            if stem in wanted and numbers.setdefault(stem, number) != number:
                raise DataError(f"CONTRASTED.PAIRS names {stem!r} as a donor, and several videos are called that.")
        found = {name: numbers[donor] for name, donor in pairs.items() if donor in numbers}
        if not found:
            raise DataError(
                f"CONTRASTED.PAIRS names none of the {len(self._records)} videos as a donor: names are those of the "
                f"list, such as {self._records[0].name!r}."
            )
        return found


def _is_another(found: VideoRecord, record: VideoRecord) -> bool:
    return (found.name, found.start, found.end) != (record.name, record.start, record.end)


def read_pairs(path: str) -> dict[str, str]:
    """Read which video gives its background to which, both by name without suffix.

    Either lines ``name,donor``, or one of HAT's pickles: a dictionary of ``name: [donor, its frames, its class]``, of
    which nothing but texts, numbers and lists is read.

    Raises:
        ConfigError: there is no such file.
        DataError: it is something else.
    """
    file = Path(path).expanduser()
    if not path or not file.is_file():
        raise ConfigError(f"CONTRASTED.PAIRS = {path!r} is no file, and CONTRASTED.SWAPS has 'pairs'.")
    try:
        if file.suffix in (".pickle", ".pkl"):
            with open(file, "rb") as opened:
                pairs = {name: entry[0] for name, entry in _PlainUnpickler(opened).load().items()}
        else:
            with open(file, newline="", encoding="utf-8") as opened:
                lines = [(_stem(name), donor) for name, donor in csv.reader(opened)]
                pairs = dict(lines)
                twice = next((name for name, donor in lines if pairs[name] != donor), None)
                if twice is not None:
                    raise ValueError(f"{twice!r} has several donors")
        return {_stem(name): _stem(donor) for name, donor in pairs.items()}
    except (pickle.UnpicklingError, ValueError, AttributeError, TypeError, LookupError, EOFError) as error:
        raise DataError(
            f"CONTRASTED.PAIRS = {path!r} has neither lines `name,donor` nor a pickled dictionary of name: [donor, "
            f"frames, class]: {error}"
        ) from error


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, texts and numbers, and runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")


def _stem(name: str) -> str:
    """A name without the suffix of a video file, with single slashes."""
    path = Path(name)
    return str(path.with_suffix("") if is_video(name) else path)


def _neighbours(cfg: CfgNode, source: VideoSource, donors: Donors, *, nearest: bool) -> dict[int, list[int]]:
    """For each class the others whose backgrounds look most, or least, like its own."""
    labels = donors.labels
    if len(labels) < 2:
        return {}
    key = (fingerprint(source), cfg.DATA.MASK_DIR)
    if key not in _known:
        logger.info("Backgrounds of %d classes are compared, by %d videos of each", len(labels), _VIDEOS)
        _known[key] = np.array([_background(cfg, source, donors.members(label)[:_VIDEOS]) for label in labels])
    found = {}
    for label, picture in zip(labels, _known[key], strict=True):
        distances = np.square(_known[key] - picture).sum(1)
        others = [n for n in np.argsort(distances, kind="stable") if labels[n] != label and not np.isnan(distances[n])]
        half = max(len(others) // 2, 1)
        found[label] = [labels[n] for n in (others[: min(_CLOSE, half)] if nearest else others[-half:])]
    return found


def _background(cfg: CfgNode, source: VideoSource, numbers: np.ndarray) -> np.ndarray:
    """The mean background of some videos, of the frame in the middle of each: float64 ``(cells * cells * 3,)``, NaN
    where none can be had."""
    track = MaskTrack(cfg, source)
    total, weight = np.zeros((_CELLS, _CELLS, 3)), np.zeros((_CELLS, _CELLS, 1))
    for number in numbers:
        record = source.records[int(number)]
        with suppress(BadVideoError), closing(source.open(record)) as video:
            end = video.duration if record.end is None else record.end
            time = ((record.start or 0.0) + end) / 2
            frames, tracks = read_clip(video, record, [time], lambda *_: (_PIXELS, _PIXELS), {"mask": track})
            seen = (tracks["mask"][0] == 0).astype(np.float64)
            total += _cells(frames[0] * seen)
            weight += _cells(seen)
    overall = total.sum((0, 1)) / weight.sum() if weight.any() else np.full(3, np.nan)
    return np.where(weight > 0, total / np.maximum(weight, 1), overall).ravel()


def _cells(values: np.ndarray) -> np.ndarray:
    """Sums over cells: ``(pixels, pixels, C) -> (cells, cells, C)``."""
    side = _PIXELS // _CELLS
    return values.reshape(_CELLS, side, _CELLS, side, -1).sum((1, 3))
