"""The evaluator that writes features as they come, and puts them in order at the end."""

from __future__ import annotations

import hashlib
import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from fvcore.common.config import CfgNode

from ..errors import DataError
from ..evaluation import Evaluator, Result, VideoViews
from ..models import Outputs
from ..models.pooling import pool
from ..models.recognizer import Recognizer
from ..needs import Needs
from .folder import LOGITS, Key, write_shards

_DIGEST_SIZE = 16


@dataclass(frozen=True)
class FeatureRow:
    """Where the features of a video are.

    Attributes:
        file: its name.
        place: of their first byte.
        shapes: ``(V, ...)`` of each array; they lie one after another.
        digest: BLAKE2b of their bytes.
    """

    file: str
    place: int
    shapes: tuple[tuple[int, ...], ...]
    digest: bytes


class FeatureWriter(Evaluator):
    """Writes features of layers on modulated clips as they come, and at the end as shards in the order of the videos.

    ::

        process  -> <parts>/<a name>.features: of each process one file, the arrays of a video one after another
                 -> the video's row: where they are
        evaluate -> <out>/<layer>/<modulation>/00000.npy, ...

    Rows are small, however large features are; they are kept, merged and taken up again as those of all evaluators.

    Attributes:
        keys: layer and modulation of each array.
        shards: after :meth:`evaluate`, names of the files of each array.
        videos: likewise, numbers of the videos in the list, ascending, int64 ``(N,)``.
        views: likewise, the number of views of each, int64 ``(N,)``.

    Args:
        cfg, recognizer: as for every evaluator; FEATURES.POOL and FEATURES.DTYPE of the configuration.
        keys: the arrays to write.
        parts: folder for what comes.
        out: that of the features.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, keys: Sequence[Key], parts: Path, out: Path) -> None:
        super().__init__(cfg, recognizer, ())
        self.keys = tuple(keys)
        self.needs = Needs(
            modulations=tuple(dict.fromkeys(modulation for _, modulation in keys)),
            features=tuple(dict.fromkeys(layer for layer, _ in keys if layer != LOGITS)),
        )
        self.pooling: str = cfg.FEATURES.POOL
        self.dtype = np.dtype(cfg.FEATURES.DTYPE)
        self.shards: dict[Key, list[str]] = {}
        self.videos = self.views = np.empty(0, np.int64)
        self._parts, self._out = parts, out
        self._file: IO[bytes] | None = None
        self._path = Path()

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`.

        Raises:
            DataError: values are not finite, or too large for float16.
        """
        arrays = [self._array(outputs[modulation], layer, modulation, video) for layer, modulation in self.keys]
        digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
        contents = [values.tobytes() for values in arrays]
        for content in contents:
            digest.update(content)
        file = self._opened()
        place = file.tell()
        try:
            for content in contents:
                file.write(content)
            file.flush()
        except OSError as error:
            raise DataError(f"Features cannot be written to {self._path}: {error}.") from error
        shapes = tuple(values.shape for values in arrays)
        self.rows[video.index] = FeatureRow(self._path.name, place, shapes, digest.digest())

    def _array(self, outputs: Outputs, layer: str, modulation: str, video: VideoViews) -> np.ndarray:
        if layer == LOGITS:
            found = outputs.logits
        else:
            found = pool(
                outputs.features[layer], self.pooling, num_frames=self.recognizer.clip_spec.num_frames, layer=layer
            )
        values = np.ascontiguousarray(found.numpy())
        with np.errstate(over="ignore"):
            converted = values.astype(self.dtype)
        if not np.isfinite(converted).all():
            beyond = np.isfinite(values).all()
            raise DataError(
                f"Features {layer!r} of video {video.name!r} ({modulation} clips) are "
                + (
                    f"up to {np.abs(values).max():.4g}, more than float16 holds: set FEATURES.DTYPE float32."
                    if beyond
                    else "not finite. Check the weights, and PRECISION if it is fp16."
                )
            )
        return converted

    def _opened(self) -> IO[bytes]:
        """This process's file, made with the first video."""
        if self._file is None:
            self._parts.mkdir(parents=True, exist_ok=True)
            self._path = self._parts / f"{uuid.uuid4().hex}.features"
            self._file = open(self._path, "xb")  # noqa: SIM115 (closed with its owner)
        return self._file

    def is_there(self, row: FeatureRow) -> bool:
        """Whether the features are there as they were written: a machine that went down may have taken them with it."""
        try:
            with open(self._parts / row.file, "rb") as file:
                file.seek(row.place)
                content = file.read(sum(map(self._nbytes, row.shapes)))
        except OSError:
            return False
        return hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest() == row.digest

    def evaluate(self) -> Result:
        """Write the features of all videos as shards."""
        numbers, views = array("q"), array("q")
        row: FeatureRow
        for number, row in self.rows.items():
            numbers.append(number)
            views.append(row.shapes[0][0])
        self.videos, self.views = np.array(numbers, np.int64), np.array(views, np.int64)
        uneven = len(np.unique(self.views)) > 1
        for which, key in enumerate(self.keys):
            self.shards[key] = write_shards(self._out, key, self._read(which), uneven=uneven)
        return Result()

    def _read(self, which: int) -> Iterator[np.ndarray]:
        """One array of each video, in order."""
        opened = cache(lambda name: open(self._parts / name, "rb"))  # noqa: SIM115 (closed below)
        names = set()
        try:
            row: FeatureRow
            for row in self.rows.values():
                names.add(row.file)
                file, shape = opened(row.file), row.shapes[which]
                file.seek(row.place + sum(map(self._nbytes, row.shapes[:which])))
                yield np.frombuffer(file.read(self._nbytes(shape)), self.dtype).reshape(shape)
        finally:
            for name in names:
                opened(name).close()

    def _nbytes(self, shape: Sequence[int]) -> int:
        return int(np.prod(shape)) * self.dtype.itemsize
