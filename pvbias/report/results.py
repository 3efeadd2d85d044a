"""A run's results on disk: ``results.json``, one CSV for each table, the images, and the predictions.

``results.json`` is one object::

    {"format": "pvbias-results/1",
     "run":     {every field of RunResults but "results" and those of single videos},
     "results": {evaluator: {"figures":        [{every field of Figure}, ...],
                             "tables":         {table: [{column: value}, ...]},
                             "images":         {image: path relative to results.json},
                             "not_applicable": "" or why there is nothing to report}}}

It is strict JSON in UTF-8. A number that is not finite is written as null: a figure's note then says what it was, and
an interval's null end is infinite (-infinity for the lower, infinity for the upper one). Beside it lie ``images/``,
``tables/<evaluator>_<table>.csv`` and ``tables/figures.csv`` (all figures; null is an empty cell). A change that an
older reader would misread gets a new format number.

``predictions.npz``, where accuracy was measured, has the arrays of :class:`pvbias.evaluation.Predictions` under their
names, those of its ``variants`` as ``variants/shuffle`` and the like; ``numpy.load`` reads it without pickle.
``per_video.npz`` has what the figures are means of (:mod:`.per_video`).
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..data.attributes import Attribute
from ..errors import DataError
from ..evaluation.results import Figure, Predictions, Result
from ..files import Content
from . import npz, per_video
from .folder import PAGE, RESULTS, write_files

FORMAT = "pvbias-results/1"
FILE_NAME = RESULTS
PREDICTIONS = "predictions.npz"
_VARIANT = "variants/"
#: Fields of RunResults that are not among what describes a run.
_ELSEWHERE = frozenset({"results", "videos", "attributes", "predictions"})


@dataclass(kw_only=True, repr=False)
class RunResults:
    """The results of a run with its description: model, weights, data, sampling, settings.

    Attributes:
        name: what readers call the run.
        model: name in the MODEL registry.
        weights: where the weights came from (path, URL, ``zoo://...``, "trained in this run", "random").
        load_summary: what the load report says in a line.
        cautions: what a reader has to know before any figure, a sentence or two each.
        training: the objective that this run trained with, and what it says of itself, or that the weights which it
            measured were trained with, where they say so; empty: not known, or none.
        num_classes: classes the model tells apart, >= 1.
        class_names: their names in label order; empty when they have none.
        num_videos: videos that were measured (bad ones not counted).
        bad_videos: those left out: dicts with ``name``, ``cause``, ``detail``.
        data: what was measured, e.g. the annotation's path.
        data_fingerprint: tells one set of videos from another, whatever their labels are.
        label_fingerprints: tell what they are labelled as from other labels: by number, and by class name (empty:
            classes have no names). Labels are the same where either is. Empty: not known.
        sampling: the frames of a clip, in words.
        clip_seconds: video time from a clip's first frame to the end of its last.
        views: the views of a video, in words.
        precision: number format of the forward passes, e.g. ``fp32``.
        settings: machine settings (memory format, threads, device, ...), plain values.
        seed: ``RNG_SEED``.
        config: the resolved configuration, YAML.
        versions: version by package name; ``python`` among them.
        date: when the run began, ISO 8601 with its time zone.
        duration_seconds: how long it took.
        command: the command line.
        results: by evaluator name.
        videos: what tells the measured videos from one another (:func:`pvbias.data.video_key`), in annotation order,
            and whether they have labels. On disk they are with the figures' values (:mod:`.per_video`).
        attributes: of these videos that BIAS.BREAK_DOWN_BY asks for, by name; None: a video has none. On disk with the
            videos.
        predictions: of each video, where they were read from the run's folder (:func:`read_predictions`) for its page.
    """

    name: str
    model: str
    num_classes: int
    num_videos: int
    data_fingerprint: str
    weights: str = ""
    load_summary: str = ""
    cautions: list[str] = field(default_factory=list)
    training: str = ""
    class_names: list[str] = field(default_factory=list)
    label_fingerprints: list[str] = field(default_factory=list)
    bad_videos: list[dict[str, Any]] = field(default_factory=list)
    data: str = ""
    sampling: str = ""
    clip_seconds: float | None = None
    views: str = ""
    precision: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    config: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    duration_seconds: float = 0.0
    command: str = ""
    results: dict[str, Result] = field(default_factory=dict)
    videos: dict[str, bool] = field(default_factory=dict, compare=False)
    attributes: dict[str, list[Attribute | None]] = field(default_factory=dict, compare=False)
    predictions: Predictions | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """A summary in a line, and one for each result."""
        lines = [f"<RunResults of {self.name!r}: {self.model} on {self.num_videos:,} videos>"]
        return "\n".join(lines + [f"  {evaluator}: {result!r}" for evaluator, result in self.results.items()])


def write_results(run_dir: str | Path, run: RunResults) -> Path:
    """Write ``results.json``, ``tables/``, ``images/``, ``predictions.npz`` and ``per_video.npz`` below ``run_dir``,
    which is made when missing.

    They take the place of results that are there, see :func:`.folder.write_files`.

    Returns:
        The path of ``results.json``.
    """
    document: dict[str, Any] = {"format": FORMAT, "run": _metadata(run), "results": {}}
    files: dict[str, Content] = {}
    for evaluator, result in run.results.items():
        images = {name: f"images/{_file_name(evaluator, name)}" for name in result.images}
        files |= {path: result.images[name] for name, path in images.items()}
        document["results"][evaluator] = {
            "figures": [_figure_to_dict(figure) for figure in result.figures],
            "tables": _plain(result.tables),
            "images": images,
            "not_applicable": result.not_applicable,
        }
    files |= {f"tables/{file}": _csv(rows) for file, rows in _tables(run).items()}
    # Several evaluators of accuracy have the same ones, and one of them those on modulated clips, too.
    found = [result.predictions for result in run.results.values() if result.predictions is not None]
    if found:
        predictions = max(found, key=lambda each: len(each.variants))
        files[PREDICTIONS] = partial(_write_predictions, predictions)
    values = per_video.pack(run.videos, run.results, run.attributes)
    if values is not None:
        files[per_video.FILE_NAME] = values
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    # A lone surrogate (a file name in no encoding) cannot be UTF-8: JSON's own escape of it can.
    files[FILE_NAME] = re.sub("[\ud800-\udfff]", _escape, text).encode()
    write_files(run_dir, files, later=[PAGE])
    return Path(run_dir) / FILE_NAME


def joined_tables(runs: Sequence[RunResults]) -> dict[str, bytes]:
    """Join the tables of several runs into one CSV file each, with a first column ``run``, by path below a folder."""
    joined: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for file, rows in _tables(run).items():
            joined.setdefault(file, []).extend({"run": run.name, **row} for row in rows)
    return {f"tables/{file}": _csv(rows) for file, rows in joined.items()}


def read_results(path: str | Path) -> RunResults:
    """Read the results of a run, from its folder or its ``results.json``; without predictions and values of each video,
    which :func:`read_predictions` and :func:`read_videos` read.

    Raises:
        DataError: there is none, or it is not one that this version reads.
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"No results in {path}: {file} does not exist. Give the folder of a finished pvbias run."
        ) from None
    except (ValueError, OSError) as error:
        raise DataError(f"Cannot read the results in {file}: {error}") from error
    _check_format(document, file)
    try:
        results = {name: _result_from_dict(entry, file.parent) for name, entry in document["results"].items()}
        return RunResults(**document["run"], results=results)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} says it is {FORMAT} but is not complete ({error!r}). Measure again.") from error


def read_videos(run_dir: str | Path) -> RunResults:
    """:func:`read_results`, with the values of each video: the videos, their attributes, and the values of the figures.

    Raises:
        DataError: there are no results, or they cannot be read.
    """
    run = read_results(run_dir)
    videos, results, attributes = per_video.unpack(folder_of(run_dir), run.results)
    return dataclasses.replace(run, videos=videos, results=results, attributes=attributes)


def folder_of(run_dir: str | Path) -> Path:
    """The folder of a run, given that or its ``results.json``."""
    return Path(run_dir) if Path(run_dir).is_dir() else Path(run_dir).parent


def read_predictions(run_dir: str | Path) -> Predictions:
    """Read a run's predictions for each video, from the run's folder. Its arrays are maps of the file, which take no
    memory before they are looked at.

    Raises:
        DataError: the run has no predictions, or they cannot be read.
    """
    file = Path(run_dir) / PREDICTIONS
    try:
        arrays = npz.mapped(file)
        found = Predictions(
            names=arrays["names"].tolist(),
            labels=arrays["labels"],
            probabilities=arrays["probabilities"],
            class_names=arrays["class_names"].tolist(),
            variants={name.removeprefix(_VARIANT): arrays[name] for name in arrays if name.startswith(_VARIANT)},
        )
    except FileNotFoundError:
        raise DataError(
            f"No predictions in {run_dir}: {file} does not exist. A run writes it when it measures accuracy "
            "(TEST.ENABLE); one of an older pvbias has to be measured again."
        ) from None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"Cannot read the predictions in {file}: {error}. Measure again.") from error
    if found.probabilities.ndim != 2 or not len(found.names) == len(found.labels) == len(found.probabilities):
        raise DataError(f"{file} does not have one row of probabilities and one label for each video. Measure again.")
    if any(values.shape != found.probabilities.shape for values in found.variants.values()):
        raise DataError(f"{file} has not as many predictions on modulated clips as on the others. Measure again.")
    return found


def _check_format(document: Any, file: Path) -> None:
    found = document.get("format") if isinstance(document, dict) else None
    if found == FORMAT:
        return
    number = re.fullmatch(r"pvbias-results/(\d+)", str(found))
    if number:
        raise DataError(f"{file} has the format {found}, this pvbias reads {FORMAT}. Read it with a newer pvbias.")
    raise DataError(f"{file} was not written by pvbias: its format is {found!r}, not {FORMAT!r}.")


def _metadata(run: RunResults) -> dict[str, Any]:
    names = [f.name for f in dataclasses.fields(run) if f.name not in _ELSEWHERE]
    return {name: _plain(getattr(run, name)) for name in names}


def _figure_to_dict(figure: Figure) -> dict[str, Any]:
    entry = _plain({f.name: getattr(figure, f.name) for f in dataclasses.fields(figure) if f.name != "values"})
    if figure.value is not None and entry["value"] is None:
        entry["note"] = "; ".join(filter(None, [figure.note, f"not finite: {figure.value}"]))
    return entry


def _interval(ends: Sequence[float | None] | None) -> tuple[float, float] | None:
    if not ends:
        return None
    low, high = ends
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _result_from_dict(entry: Mapping[str, Any], folder: Path) -> Result:
    figures = [Figure(**{**f, "interval": _interval(f["interval"])}) for f in entry["figures"]]
    images = {name: _read_image(folder, path) for name, path in entry["images"].items()}
    return Result(figures=figures, tables=entry["tables"], images=images, not_applicable=entry["not_applicable"])


def _read_image(folder: Path, path: str) -> bytes:
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise DataError(f"{folder / FILE_NAME} names an image outside its own folder: {path}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{folder / FILE_NAME} names an image that cannot be read: {error}") from error


def _tables(run: RunResults) -> dict[str, list[dict[str, Any]]]:
    """Rows of plain values by CSV file name."""
    tables = {"figures.csv": [row for name, result in run.results.items() for row in _figure_rows(name, result)]}
    for evaluator, result in run.results.items():
        for name, rows in result.tables.items():
            tables[_file_name(evaluator, f"{name}.csv")] = _plain(rows)
    return tables


def _figure_rows(evaluator: str, result: Result) -> Iterator[dict[str, Any]]:
    for figure in result.figures:
        row = {"evaluator": evaluator, **_figure_to_dict(figure)}
        row["interval_low"], row["interval_high"] = row.pop("interval") or (None, None)
        yield row


def _write_predictions(predictions: Predictions, file: IO[bytes]) -> None:
    arrays: dict[str, np.ndarray | npz.Texts] = {
        "names": npz.Texts(predictions.names),
        "labels": predictions.labels,
        "probabilities": predictions.probabilities,
        "class_names": npz.Texts(predictions.class_names),
        **{f"{_VARIANT}{name}": values for name, values in predictions.variants.items()},
    }
    npz.write(file, arrays)


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    if rows:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def _plain(value: Any) -> Any:
    """Convert to JSON types: NumPy and torch scalars to Python ones, what is not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, Iterable):
        return [_plain(inner) for inner in value]
    return str(value)


def _file_name(evaluator: str, name: str) -> str:
    """A file name for a table of an evaluator, safe everywhere; one that had to change carries a digest, so that two
    stay two."""
    wanted = f"{evaluator}_{name}"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", wanted).lstrip(".")[-100:]
    if safe == wanted:
        return safe
    return f"{hashlib.sha256(wanted.encode(errors='surrogatepass')).hexdigest()[:8]}_{safe}"


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
