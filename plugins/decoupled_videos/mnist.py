"""Handwritten digits, as images and as trajectories: MNIST's IDX files, or the digits that come with scikit-learn."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from pvbias.errors import ConfigError, DataError

from .plan import SPLITS

#: Images at the end of MNIST's training file that are the validation split.
MNIST_VAL_IMAGES = 5000
#: Of each class of scikit-learn's digits, the shares of "train" and "val"; the rest is "test".
SKLEARN_SHARES = (0.60, 0.15)

_IMAGE_MAGIC, _LABEL_MAGIC = 2051, 2049
_SIDE, _INNER_SIDE = 28, 20


@dataclass(frozen=True, eq=False)
class Digits:
    """Images of handwritten digits.

    Attributes:
        images: uint8 ``(N, 28, 28)``, white on black.
        labels: int64 ``(N,)``, 0 .. 9.
        of_class: for each digit 0 .. 9 the int64 indices of its images, ascending; none is empty.
    """

    images: np.ndarray
    labels: np.ndarray
    of_class: tuple[np.ndarray, ...]


@lru_cache(maxsize=8)
def load_digits(folder: str, split: str) -> Digits:
    """The digits of a split; read once per process. The arrays are read-only, as all callers share them.

    Args:
        folder: with MNIST's four IDX files, gzipped or not, in it or in its ``MNIST/raw`` (where torchvision puts
            them). "test" is the t10k file, "val" the last 5,000 images of the train file, "train" the others.
            Empty: scikit-learn's 1,797 digits (8x8, enlarged to MNIST's 20x20 in 28x28). Of each class the first
            60 % are "train", the next 15 % "val", the rest "test"; they are in the order of their writers, so the
            splits are of different people (but for those at a border).
        split: "train", "val" or "test"; no image is in two of them.

    Raises:
        ConfigError: no such folder, file or split.
        DataError: a file that is not what its name says, or a class without images.
    """
    if split not in SPLITS:
        raise ConfigError(f"There is no split {split!r} of the digits: train, val and test are the splits.")
    images, labels = _idx_digits(Path(folder), split) if folder else _sklearn_digits(split)
    of_class = tuple(np.flatnonzero(labels == digit) for digit in range(10))
    missing = [digit for digit, indices in enumerate(of_class) if not len(indices)]
    if missing:
        raise DataError(f"DECOUPLED.MNIST_DIR {folder!r}: no image of {missing} in the split {split!r}.")
    for array in (images, labels, *of_class):
        array.setflags(write=False)
    return Digits(images, labels, of_class)


def _idx_digits(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    stem = "t10k" if split == "test" else "train"
    image_file, label_file = _find(folder, f"{stem}-images-idx3-ubyte"), _find(folder, f"{stem}-labels-idx1-ubyte")
    images, labels = _read_idx(image_file, _IMAGE_MAGIC), _read_idx(label_file, _LABEL_MAGIC).astype(np.int64)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"{image_file}: images of {images.shape[1]}x{images.shape[2]}, MNIST's are 28x28.")
    if len(images) != len(labels):
        raise DataError(f"{image_file} has {len(images)} images, but {label_file} has {len(labels)} labels.")
    if labels.size and labels.max() > 9:
        raise DataError(f"{label_file}: label {labels.max()}; digits are 0 .. 9.")
    if split == "test":
        return images, labels
    border = len(images) - MNIST_VAL_IMAGES
    if border < 1:
        raise DataError(
            f"{image_file}: {len(images)} images are too few, the last {MNIST_VAL_IMAGES} are the validation split."
        )
    part = slice(None, border) if split == "train" else slice(border, None)
    return images[part], labels[part]


def _find(folder: Path, name: str) -> Path:
    """The IDX file of this name, gzipped or not."""
    if not folder.is_dir():
        raise ConfigError(f"DECOUPLED.MNIST_DIR {str(folder)!r}: no such folder. Leave it empty for built-in digits.")
    for place in (folder, folder / "MNIST" / "raw"):
        for file in (place / name, place / f"{name}.gz"):
            if file.is_file():
                return file
    raise ConfigError(
        f"DECOUPLED.MNIST_DIR {str(folder)!r}: neither {name} nor {name}.gz in it or in its MNIST/raw. "
        "Put MNIST's four IDX files there, or leave the key empty for built-in digits."
    )


def _read_idx(file: Path, magic: int) -> np.ndarray:
    """The array in an IDX file of unsigned bytes: magic number, one big-endian size per dimension, the bytes."""
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: cannot be read ({error}).") from error
    dimensions = magic & 0xFF
    header = 4 * (1 + dimensions)
    if len(data) < header or struct.unpack(">I", data[:4])[0] != magic:
        raise DataError(f"{file}: not an IDX file of this kind (it does not begin with {magic}).")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    array = np.frombuffer(data, np.uint8, offset=header)
    if array.size != np.prod(shape):
        raise DataError(f"{file}: {array.size} bytes of data where its header, {shape}, says {np.prod(shape)}.")
    return array.reshape(shape).copy()


def _sklearn_digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits as load_sklearn_digits  # a second's import that few processes need

    bunch = load_sklearn_digits()
    labels = bunch.target.astype(np.int64)
    chosen = []
    for digit in range(10):
        indices = np.flatnonzero(labels == digit)
        first, second = (round(len(indices) * share) for share in (SKLEARN_SHARES[0], sum(SKLEARN_SHARES)))
        chosen.append({"train": indices[:first], "val": indices[first:second], "test": indices[second:]}[split])
    order = np.sort(np.concatenate(chosen))
    images = np.zeros((len(order), _SIDE, _SIDE), np.uint8)
    margin = (_SIDE - _INNER_SIDE) // 2
    inner = slice(margin, margin + _INNER_SIDE)
    for image, small in zip(images, bunch.images[order], strict=True):
        grey = Image.fromarray((small * (255 / 16)).round().astype(np.uint8))
        image[inner, inner] = np.asarray(grey.resize((_INNER_SIDE, _INNER_SIDE), Image.Resampling.BICUBIC))
    return images, labels[order]
