"""What the figures of a run are means of, video by video, on disk: ``per_video.npz`` beside ``results.json``.

``videos`` ``(n,)`` is what tells the videos from one another (:func:`pvbias.data.video_key`), in annotation order, and
``labelled`` ``(n,)`` says which of them have a label. Each figure that is a mean over all of them, or over those with a
label, has an array of as many values, float64 (shares in [0, 1] where its unit is "%"), that is called
``EVALUATOR/FIGURE/LEVEL/VARIANT``: ``accuracy/top1/video/original``. ``numpy.load`` needs no pickle.

Two runs on the same videos are compared by it (:mod:`.differences`).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..evaluation.results import Figure, Result

FILE_NAME = "per_video.npz"
_VIDEOS, _LABELLED = "videos", "labelled"


def pack(videos: Mapping[str, bool], results: Mapping[str, Result]) -> bytes | None:
    """The file's content; None where nobody says which videos were measured.

    Args:
        videos: keys of those that were measured, and whether they have labels.
        results: by evaluator.
    """
    if not videos:
        return None
    arrays: dict[str, Any] = {
        _key(evaluator, figure): figure.values
        for evaluator, result in results.items()
        for figure in result.figures
        if figure.values is not None
    }
    arrays[_VIDEOS] = np.array([_text(key) for key in videos], dtype=np.str_)
    arrays[_LABELLED] = np.array(list(videos.values()), dtype=np.bool_)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def unpack(folder: str | Path, results: Mapping[str, Result]) -> tuple[dict[str, bool], dict[str, Result]]:
    """The videos of a run, and its results with the values of their figures: float64 ``(n,)``, NaN where a video has
    none. Nothing is added where the run has kept nothing.

    Raises:
        DataError: the file is there and cannot be read.
    """
    file = Path(folder) / FILE_NAME
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        videos, labelled = found[_VIDEOS].tolist(), found[_LABELLED].astype(bool)
    except FileNotFoundError:
        return {}, dict(results)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"Cannot read what {file} has of each video: {error}. Measure again.") from error
    with_values = {
        evaluator: replace(
            result,
            figures=[replace(f, values=_spread(found.get(_key(evaluator, f)), labelled)) for f in result.figures],
        )
        for evaluator, result in results.items()
    }
    return dict(zip(videos, labelled.tolist(), strict=True)), with_values


def _spread(values: np.ndarray | None, labelled: np.ndarray) -> np.ndarray | None:
    """Values of all videos, where they are those of all or of the ones with a label."""
    if values is None or len(values) == len(labelled):
        return values
    if len(values) != labelled.sum():
        return None
    spread = np.full(len(labelled), np.nan)
    spread[labelled] = values
    return spread


def _key(evaluator: str, figure: Figure) -> str:
    return _text("/".join((evaluator, figure.name, figure.level, figure.variant)))


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
