"""Folders of features: what is in them, reading and writing.

::

    F/features.json                      arrays, class names, fingerprint; written last: without it there is nothing
    F/videos.jsonl                       name, label, attributes of each video, a line each, in the order of the list
    F/views.npy                          number of views of each video, where it differs
    F/embedding/original/00000.npy       (n, V, D) of the first n videos, float16 or float32
    F/embedding/original/00001.npy       of the next ones
    F/logits/shuffle/00000.npy
"""

from __future__ import annotations

import itertools
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np

from ..data.attributes import Attribute
from ..errors import DataError, did_you_mean
from ..files import write_atomically
from ..versions import versions as pvbias_versions
from .array import FeatureArray
from .labels import Label, label_array, label_list

#: Name of the layer whose features are the logits.
LOGITS = "logits"

MANIFEST, VIDEOS, VIEWS = "features.json", "videos.jsonl", "views.npy"

_FORMAT = 1

#: This version of pvbias.
_OWN = pvbias_versions(["pvbias"])["pvbias"]

#: Bytes of a shard at most, but for one of a single video.
SHARD_BYTES = 1 << 30

#: A layer and a modulation, which an array is of.
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What features are of; equal where they are the same.

    Attributes:
        model: name of the architecture.
        weights: where they are from, in words.
        weights_digest: of the network and its weights; empty where they are not known (features of other programs).
        videos: the list, in words.
        videos_digest: of the list: names, parts, sizes, order; not of the labels.
        settings: of clips and computation: sampling, views, precision, ...
    """

    model: str = ""
    weights: str = ""
    weights_digest: str = ""
    videos: str = ""
    videos_digest: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def network(self) -> tuple[str, str]:
        """What tells networks apart."""
        return self.model, self.weights_digest or self.weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of N videos in a folder.

    Attributes:
        folder: that they are in.
        names: of the videos, as their list writes them, in its order; those that could not be used are left out.
        labels: int64 ``(N,)``, -1: none; or, where videos may have several, bool ``(N, K)``.
        attributes: of the videos, by name; None where a video has none.
        class_names: in label order; empty: they have none.
        logit_names: names of the classes that the logits are of, in order; empty: they are not known.
        numbers: of the videos in their list, ascending, int64 ``(N,)``.
        fingerprint: what the features are of.
        arrays: ``(N, V, D)`` by layer and modulation: ``arrays["embedding", "original"]``. Of a layer whose positions
            are kept ``(N, V, ..., D)``, channels last whatever the layer gives.
        versions: of pvbias that each array was written with; empty: one that did not say.
    """

    folder: Path
    names: list[str]
    labels: np.ndarray
    attributes: Mapping[str, list[Attribute | None]]
    class_names: list[str]
    logit_names: list[str]
    numbers: np.ndarray
    fingerprint: Fingerprint
    arrays: Mapping[Key, FeatureArray]
    versions: Mapping[Key, str]

    def __len__(self) -> int:
        """The number of videos N."""
        return len(self.names)

    @property
    def layers(self) -> list[str]:
        """Names of the layers, the logits among them."""
        return list(dict.fromkeys(layer for layer, _ in self.arrays))

    @property
    def modulations(self) -> list[str]:
        """Names of the modulations of clips."""
        return list(dict.fromkeys(modulation for _, modulation in self.arrays))

    def array(self, layer: str, modulation: str = "original") -> FeatureArray:
        """The array of a layer and a modulation.

        Raises:
            DataError: there is none.
        """
        if (layer, modulation) not in self.arrays:
            known = ", ".join(f"{each} on {clips} clips" for each, clips in self.arrays)
            raise DataError(
                f"{self.folder} has no features {layer!r} on {modulation!r} clips: it has {known}. The same `pvbias "
                "features` command with them named adds what is missing."
            )
        return self.arrays[layer, modulation]

    def logits(self, modulation: str = "original") -> FeatureArray:
        """The logits ``(N, V, K)``."""
        return self.array(LOGITS, modulation)

    def videos(self, layer: str = "embedding", modulation: str = "original") -> np.ndarray:
        """The mean over each video's views, float32 ``(N, D)``, in memory; ``(N, ...)`` where positions are kept."""
        return self.array(layer, modulation).means()

    def groups(self, attribute: str) -> np.ndarray:
        """Numbers of the videos' groups, int64 ``(N,)``: the same where the attribute's value is (clips of one source,
        say); a video without a value is in a group of its own, and so is each where the attribute is "".

        Raises:
            DataError: no video has the attribute.
        """
        if not attribute:
            return np.arange(len(self))
        if attribute not in self.attributes:
            hint = did_you_mean(attribute, self.attributes)
            raise DataError(f"{self.folder}: videos have no attribute {attribute!r}. {hint}".rstrip())
        values = self.attributes[attribute]
        known = np.array([value is not None for value in values], bool)
        numbers = np.empty(len(self), np.int64)
        numbers[known] = np.unique([str(value) for value in values if value is not None], return_inverse=True)[1]
        numbers[~known] = len(self) + np.arange((~known).sum())
        return numbers

    def __repr__(self) -> str:
        return f"<Features of {len(self)} videos in {self.folder}: {', '.join(map(' on '.join, self.arrays))}>"


def read_features(path: str | Path) -> Features:
    """Read a folder of features; of the arrays nothing is read before it is asked for.

    Args:
        path: the folder.

    Raises:
        DataError: there are none, or not all of them; they are of a newer version of pvbias.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    numbers = array("q")
    names: list[str] = []
    labels: list[Label] = []
    rows: list[Mapping[str, Attribute]] = []
    for line in _lines(folder):
        numbers.append(line["number"])
        names.append(line["name"])
        labels.append(line.get("label"))
        rows.append(line.get("attributes", {}))
    named = dict.fromkeys(name for row in rows for name in row)
    views = np.load(folder / VIEWS) if manifest["uneven"] else None
    arrays = {
        (each["layer"], each["modulation"]): FeatureArray(
            [_mapped(folder / directory_of((each["layer"], each["modulation"])) / shard) for shard in each["shards"]],
            views,
        )
        for each in manifest["arrays"]
    }
    for key, found in arrays.items():
        if len(found) != len(names):
            raise DataError(f"{folder}: {len(found)} videos' features {key}, and {len(names)} videos in {VIDEOS}.")
    return Features(
        folder=folder,
        names=names,
        labels=label_array(labels, manifest["num_classes"]),
        attributes={name: [row.get(name) for row in rows] for name in named},
        class_names=manifest["class_names"],
        logit_names=manifest["logit_names"],
        numbers=np.array(numbers, np.int64),
        fingerprint=Fingerprint(**{each.name: manifest["fingerprint"][each.name] for each in fields(Fingerprint)}),
        arrays=arrays,
        versions={(each["layer"], each["modulation"]): each.get("pvbias", "") for each in manifest["arrays"]},
    )


def write_features(
    path: str | Path,
    arrays: Mapping[Key, np.ndarray],
    names: Sequence[str],
    *,
    labels: Sequence[Label] | np.ndarray | None = None,
    attributes: Mapping[str, Sequence[Attribute | None]] | None = None,
    class_names: Sequence[str] = (),
    logit_names: Sequence[str] = (),
    fingerprint: Fingerprint | None = None,
) -> Features:
    """Write features that are in memory, such as another program's.

    Args:
        path: the folder, which is made; what it has of the same name is replaced.
        arrays: float16 or float32 ``(N, V, D)``, or ``(N, D)`` of one view, by layer and modulation
            (``("embedding", "original")``; the logits are the layer ``"logits"``).
        names: of the N videos.
        labels: class index of each, -1 or None: none; where they may have several, bool ``(N, K)``, or all class
            indices of each and ``class_names``.
        attributes: by name, one value a video.
        class_names: in label order.
        logit_names: names of the classes that the logits are of.
        fingerprint: what they are of.

    Returns:
        The features as :func:`read_features` gives them.

    Raises:
        DataError: numbers of videos differ, values are not finite, or a label is none.
    """
    folder = Path(path)
    columns = {} if attributes is None else dict(attributes)
    given, num_classes = label_list([None] * len(names) if labels is None else labels, class_names)
    for what, column in (
        {"labels": given} | columns | {f"features {key}": each for key, each in arrays.items()}
    ).items():
        if len(column) != len(names) or not names:
            raise DataError(f"{len(names)} names of videos, and {len(column)} of {what}.")
    for key, each in arrays.items():
        if each.dtype not in (np.float16, np.float32):
            raise DataError(f"Features {key} are {each.dtype}: give float16 or float32.")
        if not all(np.isfinite(video).all() for video in each):
            raise DataError(f"Features {key} are not all finite.")
    (folder / MANIFEST).unlink(missing_ok=True)
    shards = {key: write_shards(folder, key, each[:, None] if each.ndim == 2 else each) for key, each in arrays.items()}
    numbers = range(len(names))
    write_videos(folder, zip(numbers, names, given, map(_present(columns), numbers), strict=True))
    write_manifest(
        folder,
        shards,
        num_classes=num_classes,
        class_names=class_names,
        logit_names=logit_names,
        fingerprint=fingerprint or Fingerprint(),
    )
    return read_features(folder)


def _present(columns: Mapping[str, Sequence[Attribute | None]]) -> Callable[[int], dict[str, Attribute]]:
    """A function that gives the attributes of the video with a number, of columns of all."""

    def row(number: int) -> dict[str, Attribute]:
        values = ((name, column[number]) for name, column in columns.items())
        return {name: value for name, value in values if value is not None}

    return row


def directory_of(key: Key) -> Path:
    """The folder of an array, inside that of the features."""
    layer, modulation = (quote(name, safe=" ()[]=,+").replace(".", "%2E", name.startswith(".")) for name in key)
    return Path(layer, modulation)


def write_shards(folder: Path, key: Key, videos: Iterable[np.ndarray], *, uneven: bool = False) -> list[str]:
    """Write an array as shards, each whole or not there.

    Args:
        folder: of the features.
        key: of the array.
        videos: ``(V, ...)`` of each, in order.
        uneven: they have different numbers of views, which then lie one after another.

    Returns:
        The names of the files.
    """
    directory = folder / directory_of(key)
    waiting = iter(videos)
    first = next(waiting, None)
    names: list[str] = []
    while first is not None:
        name = f"{len(names):05d}.npy"
        left: list[np.ndarray] = []  # what is for the next one
        write_atomically(directory / name, partial(_write_shard, itertools.chain([first], waiting), left, uneven))
        names.append(name)
        first = left[0] if left else None
    return names


def _write_shard(videos: Iterator[np.ndarray], left: list[np.ndarray], uneven: bool, file: IO[bytes]) -> None:
    """Write videos until a shard is full; the first one that it has no room for goes to ``left``."""
    first = next(videos)
    row = first.shape[1:] if uneven else first.shape

    def header(rows: int) -> None:  # has room for any number of rows
        described = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, described | {"shape": (rows, *row)})

    header(0)
    rows, size = 0, 0
    for video in itertools.chain([first], videos):
        if size and size + video.nbytes > SHARD_BYTES:
            left.append(video)
            break
        if (video.shape[1:] if uneven else video.shape) != row or video.dtype != first.dtype:
            raise DataError(f"Features of one layer have the shapes {first.shape} and {video.shape}.")
        file.write(np.ascontiguousarray(video).tobytes())
        rows, size = rows + (len(video) if uneven else 1), size + video.nbytes
    header(rows)
    file.flush()
    os.fsync(file.fileno())  # what it is made of is removed next


def write_videos(folder: Path, videos: Iterable[tuple[int, str, Label, Mapping[str, Attribute]]]) -> None:
    """Write number in the list, name, label and attributes of each video."""

    def write(file: Any) -> None:
        for number, name, label, attributes in videos:
            line: dict[str, Any] = {"number": number, "name": name}
            if label is not None:
                line["label"] = label
            if attributes:
                line["attributes"] = dict(attributes)
            file.write(json.dumps(line).encode() + b"\n")

    write_atomically(folder / VIDEOS, write)


def write_views(folder: Path, views: np.ndarray) -> None:
    """Write the number of views of each video, int64 ``(N,)``."""
    write_atomically(folder / VIEWS, partial(np.save, arr=views))


def write_manifest(
    folder: Path,
    shards: Mapping[Key, Sequence[str]],
    *,
    num_classes: int,
    class_names: Sequence[str],
    logit_names: Sequence[str],
    fingerprint: Fingerprint,
    uneven: bool = False,
    versions: Mapping[Key, str] | None = None,
) -> None:
    """Write what is in a folder; with this it is whole.

    Args:
        folder: of the features.
        shards: names of the files of each array.
        num_classes: K where videos may have several labels, else 0.
        class_names: in label order.
        logit_names: names of the classes that the logits are of.
        fingerprint: of the features.
        uneven: videos have different numbers of views.
        versions: of pvbias, of those arrays that were there; the others are this one's.
    """
    content = {
        "format": _FORMAT,
        "arrays": [
            {"layer": key[0], "modulation": key[1], "shards": list(names), "pvbias": (versions or {}).get(key, _OWN)}
            for key, names in shards.items()
        ],
        "num_classes": num_classes,
        "class_names": list(class_names),
        "logit_names": list(logit_names),
        "uneven": uneven,
        "fingerprint": asdict(fingerprint),
    }
    write_atomically(folder / MANIFEST, json.dumps(content, indent=1).encode())


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = found["format"]
    except FileNotFoundError:
        raise DataError(
            f"There are no features in {folder}: it has no {MANIFEST}. `pvbias features` makes it, and an extraction "
            "that was interrupted goes on with the same command."
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / MANIFEST} cannot be read: {error}.") from None
    if known != _FORMAT:
        raise DataError(f"{folder / MANIFEST} has the format {known!r}, and this pvbias reads {_FORMAT}.")
    return found


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(folder / VIDEOS, encoding="utf-8") as file:
            yield from map(json.loads, file)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / VIDEOS} cannot be read: {error}.") from None


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from None
