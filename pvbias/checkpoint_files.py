"""The files of a training's checkpoints: their names, and which there are."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"checkpoint_epoch_(\d+)(?:_step_(\d+))?\.pyth")


def checkpoint_path(output_dir: str, epoch: int, step: int = 0) -> Path:
    """The path of the checkpoint after ``epoch`` finished epochs and ``step`` steps of the next one."""
    inside = f"_step_{step:05d}" if step else ""
    return checkpoint_folder(output_dir) / f"checkpoint_epoch_{epoch:05d}{inside}.pyth"


def checkpoint_folder(output_dir: str) -> Path:
    """The folder of all of them."""
    return Path(output_dir) / "checkpoints"


def find_checkpoints(output_dir: str) -> list[tuple[tuple[int, int], Path]]:
    """All checkpoints of a folder as ((finished epochs, steps of the next one), path), the latest first."""
    matches = [(_NAME.fullmatch(path.name), path) for path in checkpoint_folder(output_dir).glob("checkpoint_epoch_*")]
    return sorted((((int(match[1]), int(match[2] or 0)), path) for match, path in matches if match), reverse=True)
