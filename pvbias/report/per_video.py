"""The values of figures video by video, on disk: ``per_video.npz`` beside ``results.json``.

``videos`` ``(n,)`` is what tells the videos from one another (:func:`pvbias.data.video_key`), in annotation order, and
``labelled`` ``(n,)`` says which of them have a label. Each figure that is a mean over all of them, or over those with a
label, has an array of as many values, float64 (shares in [0, 1] where its unit is "%"), that is called
``EVALUATOR/FIGURE/LEVEL/VARIANT``: ``accuracy/top1/video/original``. The attributes that BIAS.BREAK_DOWN_BY asks for
are called ``attributes/NAME``: numbers, float64, NaN where a video has none, or texts, empty where it has none.
``numpy.load`` needs no pickle.

Two runs on the same videos are compared by it (:mod:`.differences`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import IO, Any

import numpy as np

from ..data.attributes import Attribute
from ..errors import DataError
from ..evaluation.results import Figure, Result
from ..files import Content

FILE_NAME = "per_video.npz"
_VIDEOS, _LABELLED, _ATTRIBUTES = "videos", "labelled", "attributes/"


def pack(
    videos: Mapping[str, bool], results: Mapping[str, Result], attributes: Mapping[str, Sequence[Attribute | None]]
) -> Content | None:
    """What writes the file; None where the videos are not known.

    Args:
        videos: keys of those that were measured, and whether they have labels.
        results: by evaluator.
        attributes: of the videos, by name; None: a video has none.
    """
    if not videos:
        return None

    def write(file: IO[bytes]) -> None:
        arrays: dict[str, Any] = {
            _key(evaluator, figure): figure.values
            for evaluator, result in results.items()
            for figure in result.figures
            if figure.values is not None
        }
        arrays[_VIDEOS] = np.array([_text(key) for key in videos], dtype=np.str_)
        arrays[_LABELLED] = np.array(list(videos.values()), dtype=np.bool_)
        arrays |= {_text(f"{_ATTRIBUTES}{name}"): _column(values) for name, values in attributes.items()}
        np.savez_compressed(file, **arrays)

    return write


def unpack(
    folder: str | Path, results: Mapping[str, Result]
) -> tuple[dict[str, bool], dict[str, Result], dict[str, list[Attribute | None]]]:
    """Read the videos of a run, its results with the values of their figures (float64 ``(n,)``, NaN where a video has
    none), and its attributes. Nothing is added where the run has kept nothing.

    Raises:
        DataError: the file is there and cannot be read.
    """
    file = Path(folder) / FILE_NAME
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        videos, labelled = found[_VIDEOS].tolist(), found[_LABELLED].astype(bool)
    except FileNotFoundError:
        return {}, dict(results), {}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"Cannot read what {file} has of each video: {error}. Measure again.") from error
    with_values = {
        evaluator: replace(
            result,
            figures=[replace(f, values=spread(found.get(_key(evaluator, f)), labelled)) for f in result.figures],
        )
        for evaluator, result in results.items()
    }
    attributes = {
        name.removeprefix(_ATTRIBUTES): [
            None if value in ("", None) or value != value else value for value in column.tolist()
        ]
        for name, column in found.items()
        if name.startswith(_ATTRIBUTES)
    }
    return dict(zip(videos, labelled.tolist(), strict=True)), with_values, attributes


def spread(values: np.ndarray | None, labelled: np.ndarray) -> np.ndarray | None:
    """The values of a figure for all n videos, float64 ``(n,)``, NaN where a video has none; None where they are not
    known for all of them or all that have a label.

    Args:
        values: :attr:`pvbias.evaluation.Figure.values`.
        labelled: which of the videos have a label, bool ``(n,)``.
    """
    if values is None or len(values) == len(labelled):
        return values
    if len(values) != labelled.sum():
        return None
    of_all = np.full(len(labelled), np.nan)
    of_all[labelled] = values
    return of_all


def _column(values: Sequence[Attribute | None]) -> np.ndarray:
    if all(isinstance(value, (int, float, NoneType)) and not isinstance(value, bool) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.array(["" if value is None else _text(str(value)) for value in values], dtype=np.str_)


def _key(evaluator: str, figure: Figure) -> str:
    return _text("/".join((evaluator, figure.name, figure.level, figure.variant)))


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
