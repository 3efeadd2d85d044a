"""Files that are whole at any time."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

#: What a file has in it, or (large files) what writes it there.
Content = bytes | Callable[[IO[bytes]], object]


def write_atomically(path: Path, content: Content) -> Path:
    """Write a file atomically; the folder is made when missing.

    What other processes, also on other machines, write at the same time does not get mixed up: the last one stays.

    Args:
        content: of the file, or a function that writes it into the open file.

    Returns:
        ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
