"""Reading of checkpoint files of any format, without running code from them."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import WeightsError
from .checked_file import ZIP_START, CheckedFile, look_into
from .hub_folders import read_folder
from .python_objects import Unread, load_with_stand_ins

#: How a file that ``torch.save`` has written in its old format begins: with a pickled number.
_OLD_FORMAT = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

_SHOWN = 10

#: Bytes at the beginning of a file that tell what it is.
_HEAD = 1024


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read the dict in a checkpoint, on the CPU; no code in it is run.

    Python objects beside the weights become plain values where they are of well-known types, and
    :class:`~pvbias.zoo.python_objects.Unread` where not.

    It is read once. The checksums in PyTorch's files are compared meanwhile, so that damage is noticed that leaves the
    file as long as it was. PyTorch's old format (before 1.6) and safetensors have none: what ``fetch`` and
    ``TRAIN.CHECKPOINT_SHA256`` compare is all there is to tell.

    Args:
        path: a PyTorch file, or one in the safetensors format, whatever its name; or a folder as the Hugging Face hub
            has them (:func:`pvbias.zoo.hub_folders.read_folder`).

    Raises:
        WeightsError: it is no checkpoint, is cut off or damaged, or would have to run code.
    """
    return _read(path, values=True)


def peek_checkpoint(path: str) -> dict[str, Any]:
    """:func:`read_checkpoint` without the values of the tensors of PyTorch's files, which come from the disk only where
    they are used, and unchecked: for names, shapes and all that is not a tensor, in no time.

    Raises:
        WeightsError: as for :func:`read_checkpoint`, but for damage that only the values show.
    """
    return _read(path, values=False)


def _read(path: str, *, values: bool) -> dict[str, Any]:
    read_file = partial(_read_file, values=values)
    return read_folder(path, read_file) if Path(path).is_dir() else read_file(path)


def _read_file(path: str, *, values: bool) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path!r} cannot be read: {error}.") from error
    safetensors = is_safetensors(path, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of odd files is for its developers
            checkpoint = load_file(path) if safetensors else _load(path, start, values=values)
    # What torch raises for a file that is none of its own, or only half of one, is not settled.
    except (
        SafetensorError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise WeightsError(f"{path!r} {_why_unreadable(path, start, safetensors, error)}") from error
    if isinstance(checkpoint, Unread):
        raise WeightsError(
            f"{path!r} holds a Python object ({checkpoint.name}), such as a network with its code, not a dict with "
            "weights, and making it would run code from the file. If you trust its origin, read it yourself with "
            "torch.load(..., weights_only=False) and save {'model_state': network.state_dict()}."
        )
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"{path!r} holds a {type(checkpoint).__name__}, not a dict with weights.")
    return checkpoint


def _load(path: str, start: bytes, *, values: bool) -> Any:
    peek = read = partial(_unpickled, path)
    if start.startswith(ZIP_START):
        damaged, mappable = look_into(path)
        _refuse_damaged(path, damaged)
        peek = partial(_unpickled, path, mmap=mappable)
        read = partial(_checked, path) if values else peek
    # How it has to be read is found out without the values, which are then read once.
    try:
        found = peek()
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):
            raise
        return load_with_stand_ins(path, peek, read)
    return found if read is peek else read()


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
        _refuse_damaged(path, file.damaged)
    return checkpoint


def _refuse_damaged(path: str, records: Sequence[str]) -> None:
    if records:
        named = ", ".join(records[:_SHOWN]) + (" is" if len(records) == 1 else " are")
        raise WeightsError(
            f"{path!r} is damaged: {named} not what was written (by the checksum, CRC-32). Fetch it again, or use "
            "another; of a training's checkpoints, delete this one to go on from the one before."
        )


def is_safetensors(path: str, start: bytes) -> bool:
    """Whether a file is of the safetensors format: by its name, or by its beginning (a length in 8 bytes, then a JSON
    object)."""
    return Path(path).suffix == ".safetensors" or (start[6:8] == b"\0\0" and start[8:9] == b"{")


def why_no_checkpoint(path: str | Path) -> str:
    """Explain why a file is no checkpoint of any kind, by how it begins; empty: it may be one.

    Kinds: PyTorch's (zip, pickle, tar) and other programs' pickles, safetensors.
    """
    with open(path, "rb") as file:
        start = file.read(_HEAD)
    if start.startswith((ZIP_START, b"\x80")) or start[257:262] == b"ustar" or is_safetensors("", start):
        return ""
    if not start:
        return "the file is empty"
    shown = repr(start[:60].decode(errors="replace"))
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return f"the answer is a web page, not a checkpoint ({shown})"
    if text.startswith((b"{", b"[")):
        return f"the answer is a message in JSON, not a checkpoint ({shown})"
    if text.startswith(b"version https://git-lfs"):
        return "the answer is Git LFS's pointer to the file, not the file itself: take the address of the raw download"
    if b"\0" not in start and all(byte >= 32 or byte in b"\t\n\r" for byte in start):
        return f"the answer is text, not a checkpoint ({shown})"
    return f"the answer begins as no checkpoint does ({start[:8].hex(' ')})"


def _why_unreadable(path: str, start: bytes, safetensors: bool, error: Exception) -> str:
    if not start:
        return "is empty."
    if start.lstrip().startswith(b"<") and start[6:8] != b"\0\0":
        return "is a web page, not a checkpoint: the address leads to a page about the file, or to an error message."
    if safetensors:
        return f"is cut off, or no safetensors file ({error}). Fetch it again."
    if refused := re.search(r"GLOBAL \w+(?:\.\w+)+|(?:Trying to call|Can only|Only persistent_load) .+", str(error)):
        return (
            f"holds Python objects, and to make them would run code from the file ({refused[0]}). If you trust its "
            "origin, read it yourself with torch.load(..., weights_only=False) and save {'model_state': state_dict} "
            "again."
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
    unsupported = re.search(r"Unsupported operand \d+", str(error))
    if unsupported and (zipfile.is_zipfile(path) or start.startswith(_OLD_FORMAT)):
        return (
            "is written in a form of Python's pickles (another protocol, or Python 2's texts) that PyTorch does not "
            f"read without running code ({unsupported[0]}). If you trust its origin, read it yourself with "
            "torch.load(..., weights_only=False) and save {'model_state': state_dict} again."
        )
    return "is cut off, or no PyTorch checkpoint. Fetch it again."
