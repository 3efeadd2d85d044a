"""The state of the installation, and a cache of what follows from it, between processes.

It is in files of the user's cache folder (``$XDG_CACHE_HOME/pvbias`` or ``~/.cache/pvbias``) and counts for as long as
nothing has changed that it comes from: no source file of pvbias or of the packages of announced plugins, and no version
of an installed package.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from . import __version__
from .files import write_atomically
from .plugin_loading import ENTRY_POINT_GROUP

logger = logging.getLogger(__name__)

#: Files of one kind that are kept, of as many installations.
_MOST = 8


class Kept:
    """A value of JSON that is kept for as long as the installation does not change.

    Args:
        kind: what it is, the beginning of the file's name.
        further: what it also depends on.
    """

    def __init__(self, kind: str, further: object = "") -> None:
        self._kind = kind
        self._further = further

    def read(self) -> Any:
        """Read the kept value; None: none is kept."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self._file.read_bytes())
        return None

    def write(self, value: Any) -> None:
        """Keep a value; in a home that cannot be written to nothing happens. Those of older installations go."""
        folder = self._file.parent
        try:
            write_atomically(self._file, json.dumps(value).encode())
            for other in sorted(folder.glob(f"{self._kind}-*.json"), key=lambda path: -path.stat().st_mtime)[_MOST:]:
                other.unlink(missing_ok=True)
        except OSError as error:
            logger.debug("Nothing is kept in %s: %s", folder, error)

    @cached_property
    def _file(self) -> Path:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvbias"
        digest = hashlib.sha256(f"{state()}{self._further!r}".encode(errors="surrogateescape")).hexdigest()[:24]
        return folder / f"{self._kind}-{digest}.json"


def state() -> str:
    """A fingerprint of the installation."""
    digest = hashlib.sha256(repr((__version__, sys.version, sys.prefix)).encode())
    for point in entry_points():
        digest.update(repr((point.name, point.value)).encode())
    digest.update(repr(sorted(_installed())).encode(errors="surrogateescape"))
    for path, status in _sources():
        digest.update(repr((path, status.st_mtime_ns, status.st_size)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def entry_points() -> list[importlib.metadata.EntryPoint]:
    """The plugins that installed packages announce, sorted by name."""
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def _installed() -> Iterator[str]:
    """The folders whose times tell which packages are installed, in which versions."""
    for place in sys.path:
        with contextlib.suppress(OSError):
            yield from (name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info")))


def _sources() -> Iterator[tuple[str, os.stat_result]]:
    """The source files of pvbias and of the packages that announced plugins are in."""
    folders = set()
    for module in ("pvbias", *(point.module for point in entry_points())):
        name = module if module.startswith("pvbias.") else module.partition(".")[0]
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or []) if spec else []:
            folders.add(place)
        if spec is not None and spec.origin and not spec.submodule_search_locations:
            yield spec.origin, os.stat(spec.origin)
    for folder in sorted(folders):
        for root, _, files in os.walk(folder):
            for name in sorted(files):
                if name.endswith(".py"):
                    path = os.path.join(root, name)
                    yield path, os.stat(path)
