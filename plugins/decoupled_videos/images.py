"""Images of places and faces, from folders or procedurally drawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from pvbias.errors import ConfigError, DataError
from pvbias.video import BadVideoError
from pvbias.video.frame_folder import is_image, natural_order

from .procedural import face_image, place_image

#: Of the pictures (or persons) that come without a split: up to where they are "train", and up to where "val".
_BORDERS = (0.7, 0.8)
#: Of the pictures in a ``train`` folder, up to where they are "train"; the rest is "val".
_TRAIN_BORDER = 0.875
#: Pictures from files that a process keeps; 75 MB at 224 x 224 pixels.
_KEPT_IMAGES = 512


class Pictures(Protocol):
    """Base of sources of images by class.

    Attributes:
        names: of the classes.
        identity: differs where the pictures do.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def identity(self) -> str: ...

    def draw(self, number: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """Draw an image of class ``number``, uint8 RGB ``(side, side, 3)``.

        Raises:
            BadVideoError: ``unreadable``, naming the file.
        """
        ...


class MadeUpPlaces:
    """Procedural places (:mod:`.procedural`), each image new.

    Args:
        count: classes, >= 1.
    """

    identity = ""

    def __init__(self, count: int) -> None:
        self.names = tuple(f"place {number}" for number in range(count))

    def draw(self, number: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Pictures`."""
        return place_image(number, side, rng)


class MadeUpFaces:
    """Procedural faces (:mod:`.procedural`), each image new."""

    names = ("face",)
    identity = ""

    def draw(self, number: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Pictures`."""
        return face_image(side, rng)


class PictureFiles:
    """Images in files, drawn with equal probability from those of a class.

    Args:
        folder: that the paths are relative to.
        names: of the classes.
        files: the paths of each class.
        identity: differs where the pictures do.
    """

    def __init__(self, folder: Path, names: Sequence[str], files: Sequence[Sequence[str]], *, identity: str) -> None:
        self._folder = folder
        self._files = files
        self.names = names
        self.identity = identity

    def draw(self, number: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Pictures`."""
        files = self._files[number]
        return _square(str(self._folder / files[int(rng.integers(len(files)))]), side)


def places(folder: str, split: str, *, count: int) -> Pictures:
    """The pictures of ``count`` classes of places.

    Args:
        folder: DECOUPLED.PLACES_DIR: one subfolder a class, the first ``count`` in natural order of their names are
            taken. With subfolders ``train`` and ``test`` that hold the classes, those are the splits, and the last
            eighth of each training class is "val"; otherwise the first 70 % of each class are "train", the next 10 %
            "val", the rest "test". Empty: procedural ones.
        split: "train", "val" or "test"; no file is in two of them.
        count: DECOUPLED.PLACES.

    Raises:
        ConfigError: no such folder, or it has fewer classes.
        DataError: a class without images, or with too few for all splits.
    """
    if count < 1:
        raise ConfigError(f"DECOUPLED.PLACES = {count} must be at least 1.")
    if not folder:
        return MadeUpPlaces(count)
    root = _existing(folder, "PLACES_DIR")
    split_folders = (root / "train").is_dir() and (root / "test").is_dir()
    training = root / "train" if split_folders else root
    names = sorted((entry.name for entry in os.scandir(training) if _is_folder(entry)), key=natural_order)
    if len(names) < count:
        raise ConfigError(
            f"DECOUPLED.PLACES = {count}, but {training} (DECOUPLED.PLACES_DIR) has {len(names)} folders of classes: "
            "take fewer places, or add folders."
        )
    names = names[:count]
    root = root / "test" if split_folders and split == "test" else training
    files: list[Sequence[str]] = []
    identity = hashlib.sha256()
    for name in names:
        found = _images_below(root, name) if (root / name).is_dir() else []
        if not found:
            raise DataError(f"{root / name} (a class of DECOUPLED.PLACES_DIR) holds no image: put some there.")
        for path, size in found:
            identity.update(f"{path}\n{size}\n".encode(errors="surrogateescape"))
        paths = [path for path, _ in found]
        if not split_folders:
            paths = _share(paths, split, f"images in {root / name} (a class of DECOUPLED.PLACES_DIR)")
        elif split != "test":
            border = min(round(_TRAIN_BORDER * len(paths)), len(paths) - 1)
            if border < 1:
                raise DataError(f"{root / name} holds 1 image: training and validation need one each.")
            paths = paths[:border] if split == "train" else paths[border:]
        files.append(paths)
    return PictureFiles(root, names, files, identity=identity.hexdigest())


def faces(folder: str, split: str) -> Pictures:
    """The pictures of faces, as one class.

    Args:
        folder: DECOUPLED.FACES_DIR, searched to any depth. With at least three folders that hold images, each is a
            person, and the first 70 % of the persons are "train", the next 10 % "val", the rest "test"; otherwise the
            files are shared like that. Empty: procedural ones.
        split: "train", "val" or "test"; no file is in two of them.

    Raises:
        ConfigError: no such folder.
        DataError: it holds too few images for all splits.
    """
    if not folder:
        return MadeUpFaces()
    root = _existing(folder, "FACES_DIR")
    found = _images_below(root, "")
    identity = hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()
    paths = [path for path, _ in found]
    persons = sorted({os.path.dirname(path) for path in paths}, key=natural_order)
    if len(persons) >= 3:
        mine = set(_share(persons, split, "persons"))
        paths = [path for path in paths if os.path.dirname(path) in mine]
    else:
        paths = _share(paths, split, f"images in {root} (DECOUPLED.FACES_DIR)")
    return PictureFiles(root, ["face"], [paths], identity=identity)


def _existing(folder: str, key: str) -> Path:
    path = Path(os.path.expanduser(folder))
    if not path.is_dir():
        raise ConfigError(f"DECOUPLED.{key} = {folder!r} is no folder. Leave it empty for procedural ones.")
    return path


def _is_folder(entry: os.DirEntry) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _images_below(root: Path, folder: str) -> list[tuple[str, int]]:
    """(path relative to ``root``, bytes) of all images in a folder and the folders below it, in natural order."""

    def walk(inner: str) -> Iterator[tuple[str, int]]:
        for entry in os.scandir(root / inner):
            path = f"{inner}/{entry.name}".lstrip("/")
            if _is_folder(entry):
                yield from walk(path)
            elif is_image(entry.name):
                yield path, entry.stat().st_size

    return sorted(walk(folder), key=lambda item: natural_order(item[0]))


def _share(items: Sequence[str], split: str, what: str) -> list[str]:
    """The items of a split: neighbours stay together, none is in two splits, each split has one at least."""
    if len(items) < 3:
        raise DataError(f"There are {len(items)} {what}: training, validation and test need one each.")
    first = min(round(_BORDERS[0] * len(items)), len(items) - 2)
    second = min(max(round(_BORDERS[1] * len(items)), first + 1), len(items) - 1)
    return list({"train": items[:first], "val": items[first:second], "test": items[second:]}[split])


@lru_cache(maxsize=_KEPT_IMAGES)
def _square(path: str, side: int) -> np.ndarray:
    """The upright image in a file, its centre cut out and scaled: uint8 RGB ``(side, side, 3)``, read-only."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (side, side))  # JPEG files are decoded at the size that is needed
            picture = ImageOps.fit(
                ImageOps.exif_transpose(image).convert("RGB"), (side, side), Image.Resampling.BICUBIC
            )
    # What Pillow raises for broken files: OSError mostly, but other errors too, by format.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadVideoError("unreadable", f"image {path}: {error}") from error
    pixels = np.array(picture)
    pixels.setflags(write=False)
    return pixels
