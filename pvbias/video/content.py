"""Fingerprints of videos by content, independent of their names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..storage import StoreError, is_address
from ..storage.files import beginning
from ..storage.local_cache import current_cache

#: Bytes read from the beginning of a file: the pictures of a short video, headers and first seconds of any.
_READ = 1 << 20


def content_fingerprint(path: str) -> str | None:
    """Fingerprint of a video's content, wherever it lies: 16 hexadecimal digits of SHA-256 over a file's size and first
    MiB; of a folder of frame images, over the names and sizes of its files and the first MiB of the first one.

    None where there is nothing to read at ``path``: the video is generated, or the file has gone.
    """
    extent: object
    try:
        if is_address(path):
            extent, start = beginning(path, _READ, current_cache())
        elif os.path.isdir(path):
            with os.scandir(path) as entries:
                files = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
            start = _beginning(Path(path) / files[0][0]) if files else b""
            extent = files
        else:
            extent, start = os.stat(path).st_size, _beginning(path)
    except (OSError, StoreError):
        return None
    digest = hashlib.sha256(repr(extent).encode(errors="surrogateescape"))
    digest.update(start)
    return digest.hexdigest()[:16]


def _beginning(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_READ)
