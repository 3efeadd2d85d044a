"""Writing of checkpoints: atomically, and in the zoo's own form."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from ..errors import WeightsError
from ..models import Recognizer


def model_state(recognizer: Recognizer) -> dict[str, Tensor]:
    """The zoo module's weights, on the CPU and contiguous, as the bare zoo model loads them with ``strict=True``."""
    return {name: value.detach().cpu().contiguous() for name, value in recognizer.module.state_dict().items()}


def extra_heads_state(recognizer: Recognizer) -> dict[str, Any]:
    """What a training checkpoint has of the heads beside the zoo module: ``extra_heads``, their weights, and
    ``head_classes``, what the outputs of any head stand for."""
    weights = {name: value.detach().cpu().contiguous() for name, value in recognizer.extra_heads.state_dict().items()}
    return {
        "extra_heads": weights,
        "head_classes": {name: list(values) for name, values in recognizer.head_classes.items()},
    }


def load_extra_heads(recognizer: Recognizer, checkpoint: Mapping[str, Any], source: str) -> None:
    """Give a recognizer's extra heads the weights that a training checkpoint has of them.

    Args:
        recognizer: as built.
        checkpoint: as read.
        source: of it, for messages.

    Raises:
        WeightsError: it has no such heads, or of another size; nothing is changed.
    """
    weights, own = checkpoint.get("extra_heads") or {}, recognizer.extra_heads.state_dict()
    for name, classes in recognizer.extra_heads.num_classes.items():
        key = f"{name}_head.weight"
        if key not in weights or weights[key].shape != own[key].shape:
            found = f"one of shape {tuple(weights[key].shape)}" if key in weights else "none of that name"
            raise WeightsError(
                f"MODEL.EXTRA_HEADS has {name}={classes}, a head of shape {tuple(own[key].shape)}, and {source!r} has "
                f"{found}: its outputs would be those of random weights. Give a checkpoint of a training that had the "
                "head, or leave it out of MODEL.EXTRA_HEADS."
            )
    recognizer.extra_heads.load_state_dict({name: weights[name] for name in own})
    recognizer.head_classes = {name: tuple(values) for name, values in (checkpoint.get("head_classes") or {}).items()}


def save_weights(recognizer: Recognizer, path: str | Path, *, cfg: CfgNode | None = None) -> Path:
    """Save a recognizer's weights as the zoo publishes them: ``{"model_state": ...}``.

    ::

        bare = pytorchvideo.models.hub.x3d_s(model_num_class=num_classes)
        bare.load_state_dict(torch.load(path)["model_state"], strict=True)

    Heads that were added beside the zoo module (:attr:`.Recognizer.extra_heads`) are no part of that, and left out.

    Args:
        recognizer: the model (not wrapped for distributed training).
        path: file to write; its folder is made.
        cfg: configuration to write along, as YAML text under ``cfg``.

    Raises:
        WeightsError: it cannot be written; an earlier file of that name is left as it was.
    """
    checkpoint: dict[str, Any] = {"model_state": model_state(recognizer)}
    if cfg is not None:
        checkpoint["cfg"] = cfg.dump()
    return atomic_save(checkpoint, path)


def save_safetensors(weights: Mapping[str, Tensor], path: str | Path) -> Path:
    """Write a state dict (on the CPU, contiguous) in the safetensors format, which other frameworks read, too.

    Raises:
        WeightsError: it cannot be written; an earlier file of that name is left as it was.
    """
    content = safetensors.torch.save(dict(weights), metadata={"format": "pt"})
    return _write(path, lambda file: file.write(content))


def atomic_save(checkpoint: Any, path: str | Path) -> Path:
    """``torch.save`` that never leaves half a file under ``path``, whatever happens while it writes.

    It is written to a temporary name beside ``path`` and renamed when it is whole and on the disk.

    Raises:
        WeightsError: it cannot be written; an earlier file of that name is left as it was.
    """
    return _write(path, lambda file: torch.save(checkpoint, file))


def _write(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    # torch reports a write that failed (a full disk, say) as a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"Cannot write {str(path)!r}: {_cause(error)}. {_free_space(path.parent)}") from error
    return path


def _sync(folder: Path) -> None:
    """Flush the new name to the disk, too. Not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cause(error: BaseException) -> str:
    """The operating system's own words, which torch's error hides in its context."""
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, OSError):
            return str(step)
        step = step.__cause__ or step.__context__
    return str(error).splitlines()[0]


def _free_space(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return f"{free / 2**20:,.0f} MiB are free without the unfinished file; an earlier one of that name is unchanged."
