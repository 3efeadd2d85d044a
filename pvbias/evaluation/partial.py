"""Partial results of an evaluation on disk, from which a killed one resumes.

Each process appends to a file of its own in ``<folder>/<split>-<fingerprint>/``, one record for each chunk of videos
(:func:`pvbias.data.sharding.split_into_chunks`) that is through::

    length of the content (8 bytes, little-endian) | its BLAKE2b (16 bytes) | content: a pickled ChunkResult

A record counts as a whole or not at all, and what follows a broken one in its file is not read. The next attempt reads
all files, whatever number of processes has written them, and writes new ones.

Pickles can run code. These are read by an unpickler that makes numbers, text, containers, NumPy arrays, named tuples
and dataclasses of modules that are loaded already, and refuses everything else: a run's folder that comes from somebody
else is as safe as its checkpoints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import operator
import os
import pickle
import re
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import av
import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..clips import modulation
from ..config.effects import effects, flat
from ..config.keys import Effect
from ..data import BadVideo, VideoSource, attributes_fingerprint, fingerprint
from ..models.recognizer import Recognizer
from ..needs import union
from ..registries import TRACK
from .evaluator import Evaluator

if TYPE_CHECKING:
    from ..runtime import Settings

logger = logging.getLogger(__name__)

#: A machine that goes down takes at most the records of so many seconds with it, a process that dies none.
_SYNC_SECONDS = 15.0

_DIGEST_SIZE = 16
_HEADER_SIZE = 8 + _DIGEST_SIZE

#: Attributes of an evaluator that do not come from it.
_OF_THE_RUN = frozenset({"cfg", "recognizer", "class_names", "rows"})

#: What NumPy's arrays and scalars are pickled as.
_NUMPY = (np.ndarray, np.dtype, np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0])


@dataclass(kw_only=True)
class ChunkResult:
    """The outcome of a chunk of the videos.

    Attributes:
        first: index of its first video.
        good: how many could be used.
        bad: the others.
        rows: of its videos, by evaluator name and video index.
    """

    first: int
    good: int = 0
    bad: list[BadVideo] = field(default_factory=list)
    rows: dict[str, dict[int, Any]] = field(default_factory=dict)


class ChunkWriter:
    """Appends parts to a new file in ``folder``, which is made with the first one; a context manager.

    That they cannot be kept (a full disk, rows that cannot be pickled) is a warning: the measurement goes on without.

    Args:
        folder: None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, part: ChunkResult) -> None:
        """Append a part, which is then safe from a kill of the process."""
        if self._folder is None:
            return
        try:
            content = pickle.dumps(part, protocol=4)
            due = time.monotonic() - self._synced > _SYNC_SECONDS
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = open(self._folder / f"{uuid.uuid4().hex}.parts", "xb")  # noqa: SIM115 (closed on exit)
            self._file.write(len(content).to_bytes(8, "little") + _digest(content) + content)
            self._file.flush()
            if due:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        # The last two are pickle's words for most things that it cannot take.
        except (OSError, pickle.PicklingError, AttributeError, TypeError) as error:
            logger.warning("What is measured cannot be kept in %s: %s. Killed, it starts anew.", self._folder, error)
            self._folder = None


def read_chunks(folder: Path) -> Iterator[ChunkResult]:
    """The parts in a folder's files, each once."""
    seen = set()
    for path in sorted(folder.glob("*.parts")):
        with open(path, "rb") as file:
            for content in _contents(file):
                try:
                    part = _Unpickler(io.BytesIO(content)).load()
                except pickle.UnpicklingError as error:
                    logger.warning("Part of %s is not used, its videos are measured again: %s", path, error)
                    continue
                # A process that was thought dead may have finished a chunk that another one had taken over.
                if part.first not in seen:
                    seen.add(part.first)
                    yield part


def _contents(file: IO[bytes]) -> Iterator[bytes]:
    """The contents of a file's records up to the first broken one."""
    remaining = os.fstat(file.fileno()).st_size
    while remaining >= _HEADER_SIZE:
        header = file.read(_HEADER_SIZE)
        length = int.from_bytes(header[:8], "little")
        remaining -= _HEADER_SIZE + length
        content = file.read(length) if remaining >= 0 else b""
        if _digest(content) != header[8:]:
            return
        yield content


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest()


class _Unpickler(pickle.Unpickler):
    """See the module's docstring."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            found = operator.attrgetter(name)(sys.modules[module])  # nothing is imported
        except (KeyError, AttributeError):
            found = None
        if any(found is known for known in _NUMPY) or (isinstance(found, type) and _is_plain(found)):
            return found
        raise pickle.UnpicklingError(
            f"rows with {module}.{name} cannot be read back. Rows are made of numbers, text, containers, NumPy arrays, "
            "named tuples and dataclasses."
        )


def _is_plain(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def weights_fingerprint(module: nn.Module) -> str:
    """Fingerprint of a network's weights, their names and shapes, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for content in _weights(module):
        digest.update(content)
    return digest.hexdigest()[:16]


def measurement_fingerprint(
    cfg: CfgNode,
    recognizer: Recognizer,
    source: VideoSource,
    evaluators: Mapping[str, Evaluator],
    settings: Settings,
) -> str:
    """Fingerprint of an evaluation, 16 hexadecimal digits, that differs where its rows may: of the configuration, the
    network and its weights, the videos and their attributes, the evaluators with what they hold (needs, options, arrays
    and networks that they have prepared), the number format, and the code of all these, so that an evaluator that was
    repaired is not given rows of its former self.

    Not by the machine or the number of threads, which change last digits only.
    """
    needs = union(evaluator.needs for evaluator in evaluators.values())
    digest = hashlib.sha256()
    for part in (
        _effective(cfg),
        # Without the addresses of functions, which are others in each process.
        re.sub(r" at 0x[0-9a-f]+", "", repr((recognizer.module, recognizer.clip_spec, recognizer.head_classes))),
        (fingerprint(source), attributes_fingerprint(source)),
        [(name, type(evaluator).__qualname__, evaluator.needs) for name, evaluator in sorted(evaluators.items())],
        (settings.precision, settings.memory_format),
        (sys.version, torch.__version__, np.__version__, av.__version__),
    ):
        digest.update(repr(part).encode(errors="surrogatepass"))
    for content in (*_weights(recognizer), *_held(recognizer, evaluators)):
        digest.update(content)
    wrapped = [each for each in getattr(source, "__dict__", {}).values() if hasattr(each, "open")]
    things = [*recognizer.modules(), source, *wrapped, *evaluators.values()]
    things += [modulation(spec).registered for spec in needs.modulations]
    things += [TRACK.get(name) for evaluator in evaluators.values() for name in evaluator.tracks()]
    for name, code in _code({kind.__module__ for thing in things for kind in (thing, *type(thing).__mro__)}):
        digest.update(name.encode() + code)
    return digest.hexdigest()[:16]


def _weights(module: nn.Module) -> Iterator[bytes]:
    for name, value in sorted(module.state_dict().items()):
        yield from _tensor(name, value)


def _tensor(name: str, value: Tensor) -> Iterator[bytes]:
    yield repr((name, value.dtype, tuple(value.shape))).encode()
    yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _held(recognizer: Recognizer, evaluators: Mapping[str, Evaluator]) -> Iterator[bytes]:
    """What evaluators hold as their attributes: numbers, texts and containers of these; arrays; networks."""
    seen: set[int] = {id(recognizer)}
    for owner, evaluator in sorted(evaluators.items()):
        own = {name: value for name, value in vars(evaluator).items() if name not in _OF_THE_RUN}
        for name, value in sorted(own.items()):
            key = f"{owner}.{name}"
            if isinstance(value, nn.Module) and id(value) not in seen:
                seen.add(id(value))
                yield from (key.encode(), *_weights(value))
            elif isinstance(value, Tensor):
                yield from _tensor(key, value)
            elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
                yield from (repr((key, value.dtype, value.shape)).encode(), value.tobytes())
            elif _says_itself(value):
                yield repr((key, value)).encode(errors="surrogatepass")


def _says_itself(value: Any) -> bool:
    """Whether equal values have the same ``repr`` in every process."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return all(map(_says_itself, value))
    return value is None or isinstance(value, (str, bytes, int, float, np.generic))


def _effective(cfg: CfgNode) -> list[tuple[str, Any]]:
    """The keys that a row may depend on."""
    declared = effects(cfg)
    without = (Effect.NOTHING, Effect.FIGURES)
    return [(key, value) for key, value in flat(cfg) if declared.get(key, Effect.EVERYTHING) not in without]


def _code(modules: set[str]) -> list[tuple[str, bytes]]:
    """Names and contents of this package's source files and of all that lie beside some modules; whether they are
    imported or not: a process that was started for the job has imported less than the one that has read the command
    line."""
    files = set(Path(__file__).parents[1].rglob("*.py"))
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and name.partition(".")[0] not in {"torch", *sys.stdlib_module_names}:  # their versions say it all
            files |= set(Path(file).parent.glob("*.py"))
    return sorted((file.name, file.read_bytes()) for file in files)
