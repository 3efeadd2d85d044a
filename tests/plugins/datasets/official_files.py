"""Small made files in the layouts of official ones, and folders of videos named after them."""

import os
from pathlib import Path

import pytest

ANNOTATIONS = Path(os.environ.get("PVBIAS_REAL_DATA", "")) / "annotations"
needs_official_files = pytest.mark.skipif(
    "PVBIAS_REAL_DATA" not in os.environ or not ANNOTATIONS.is_dir(), reason="PVBIAS_REAL_DATA names no annotations"
)


def write(folder, files):
    """Write text files by their names."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def touch(folder, *names):
    """Empty files: what is listed is found by its name alone."""
    return write(folder, dict.fromkeys(names, ""))
