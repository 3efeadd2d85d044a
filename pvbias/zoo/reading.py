"""Checkpoint files: what is in them, without ever running code from them."""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError
from .checked_file import ZIP_START, CheckedFile

#: Where checkpoints keep the model's weights, and who writes them so.
STATE_KEYS = {
    "model_state": "PyTorchVideo, SlowFast",
    "state_dict": "Lightning, 3D-ResNets, TSM and many others",
    "model": "torchvision's reference scripts, VMZ",
    "model_state_dict": "many training scripts",
}

#: How a file that ``torch.save`` has written in its old format begins: with a pickled number.
_OLD_FORMAT = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

_SHOWN = 10


def read_checkpoint(path: str) -> dict[str, Any]:
    """The dict in a checkpoint file, on the CPU; nothing but tensors and plain values is ever unpickled.

    It is read once. The checksums in PyTorch's files are compared meanwhile, so that damage is noticed that leaves the
    file as long as it was. PyTorch's old format (before 1.6) and safetensors have none: what ``fetch`` and
    ``TRAIN.CHECKPOINT_SHA256`` compare is all there is to tell.

    Args:
        path: a PyTorch file, or one in the safetensors format, whatever its name.

    Raises:
        WeightsError: the file is no checkpoint, is cut off or damaged, or would have to run code.
    """
    return _read(path, values=True)


def peek_checkpoint(path: str) -> dict[str, Any]:
    """:func:`read_checkpoint` without the values of the tensors of PyTorch's files, which come from the disk only where
    they are used, unchecked: for names, shapes and all that is not a tensor, in no time.

    Raises:
        WeightsError: as for :func:`read_checkpoint`, but for damage that only the values show.
    """
    return _read(path, values=False)


def _read(path: str, *, values: bool) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path!r} cannot be read: {error}.") from error
    safetensors = is_safetensors(path, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of odd files is for its developers
            if safetensors:
                checkpoint = load_file(path)
            elif not start.startswith(ZIP_START):
                checkpoint = _unpickled(path)
            elif values:
                checkpoint = _checked(path)
            else:
                checkpoint = _unpickled(path, mmap=True)
    # What torch raises for a file that is none of its own, or only half of one, is not settled.
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        struct.error,
        BadZipFile,
    ) as error:
        raise WeightsError(f"{path!r} {_why_unreadable(path, start, safetensors, error)}") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path!r} holds a {type(checkpoint).__name__}, not a dict with weights.")
    return checkpoint


def _unpickled(file: str | CheckedFile, **options: Any) -> Any:
    return torch.load(file, map_location="cpu", weights_only=True, **options)


def _checked(path: str) -> Any:
    with CheckedFile(path) as file:
        try:
            checkpoint = _unpickled(file)
            file.check_rest()
        except Exception:  # whatever torch makes of a damaged record
            if not file.damaged:
                raise
        if file.damaged:
            named = ", ".join(file.damaged[:_SHOWN]) + (" is" if len(file.damaged) == 1 else " are")
            raise WeightsError(
                f"{path!r} is damaged: {named} not what was written (by the checksum, CRC-32). Fetch it again, or use "
                "another; of a training's checkpoints, delete this one to go on from the one before."
            )
    return checkpoint


def is_safetensors(path: str, start: bytes) -> bool:
    """A file of the safetensors format: by its name, or by its beginning (a length in 8 bytes, then a JSON object)."""
    return Path(path).suffix == ".safetensors" or (start[6:8] == b"\0\0" and start[8:9] == b"{")


def model_weights(checkpoint: Mapping[str, Any], path: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint: under one of :data:`STATE_KEYS`, or the checkpoint itself.

    Raises:
        WeightsError: there is none.
    """
    key = state_key(checkpoint)
    weights = {
        name: value
        for name, value in (checkpoint[key] if key else checkpoint).items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not weights:
        keys = ", ".join(map(str, list(checkpoint)[:_SHOWN])) or "none"
        optimizer = checkpoint.keys() & {"optimizer_state", "optimizer", "optimizer_states", "param_groups"}
        raise WeightsError(
            f"{path!r} holds no model weights{', only the state of an optimizer' if optimizer else ''}: its keys are "
            f"{keys}. Weights are looked for under {', '.join(STATE_KEYS)}, or the file is a state dict itself."
        )
    return weights


def state_key(checkpoint: Mapping[str, Any]) -> str:
    """The first of :data:`STATE_KEYS` under which the checkpoint has a dict; empty: none."""
    return next((key for key in STATE_KEYS if isinstance(checkpoint.get(key), dict)), "")


def _ends_inside_a_pickle(path: str) -> bool:
    """Whether a file of the old format ends before its four pickles (magic number, protocol, machine, contents) do."""
    with open(path, "rb") as file:
        try:
            for _ in range(4):
                for _ in pickletools.genops(file):
                    pass
        except ValueError:
            return True
    return False


def _why_unreadable(path: str, start: bytes, safetensors: bool, error: Exception) -> str:
    if not start:
        return "is empty."
    if start.lstrip().startswith(b"<") and start[6:8] != b"\0\0":
        return "is a web page, not a checkpoint: the address leads to a page about the file, or to an error message."
    if safetensors:
        return f"is cut off, or no safetensors file ({error}). Fetch it again."
    needed = re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
    # A name that is cut off looks like that of something else.
    if needed and not (start.startswith(_OLD_FORMAT) and _ends_inside_a_pickle(path)):
        return (
            f"holds Python objects ({needed[1]}) beside weights, and reading those would run code from the file. If "
            "you trust its origin, read it yourself with torch.load(..., weights_only=False) and save "
            "{'model_state': state_dict} again."
        )
    if "TorchScript" in str(error):
        return (
            "is a TorchScript program, not weights, and reading it would run code from the file. If you trust its "
            "origin, read it yourself with torch.jit.load and save {'model_state': module.state_dict()}."
        )
    if start.startswith(b"\x80") and start[: len(_OLD_FORMAT)] != _OLD_FORMAT[: len(start)]:
        return (
            "is a Python pickle that PyTorch has not written (Caffe2's .pkl files are such), and reading it would run "
            "code from the file. If you trust its origin, read it yourself and save {'model_state': state_dict} with "
            "torch.save."
        )
    return "is cut off, or no PyTorch checkpoint. Fetch it again."
