"""Safe reading of checkpoints with Python objects: none is imported, made or run.

``torch.load(..., weights_only=True)`` refuses a whole file for one ``argparse.Namespace`` in it. Here every class and
function that such a file names, and that torch does not know as harmless, is replaced by a stand-in that keeps what it
is given and does nothing. Afterwards the stand-ins of well-known types (numbers and arrays of numpy, paths,
namespaces, dicts) become plain values; those of others stay, as :class:`Unread`.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # what Python 2 called modules; torch translates, too
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: What torch says where a stand-in should have been a dict or a list. It admits only its own kinds there.
_WRONG_KIND = re.compile(r"Can only (SETITEM|append|extend).*got <class 'stand_in\.(.+)'>", re.DOTALL)

#: Kinds of numpy's values that are read: booleans, integers, floating-point and complex numbers, text.
_KINDS = "biufcSU"


class Unread:
    """A placeholder for a Python object in a checkpoint: ``repr()`` of it says what it would have been.

    Attributes:
        name: dotted name of its class, or of the function that would have made it.
        args: what that would have been called with.
        state: its attributes.
    """

    name = ""

    def __new__(cls, *args: Any) -> Any:
        unread = super().__new__(cls)
        unread.args, unread.state, unread.items = args, None, {}
        return unread

    def __init__(self, *args: Any) -> None:
        self.args: tuple[Any, ...] = args
        self.state: Any
        self.items: dict[Any, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def __repr__(self) -> str:
        return f"<{self.name}, not read>"


def load_with_stand_ins(path: str, peek: Callable[[], Any], load: Callable[[], Any]) -> Any:
    """Load a file with plain values, or :class:`Unread`, in place of its Python objects.

    Args:
        path: a file that ``torch.save`` has written, in either format.
        peek: ``torch.load`` of it, with ``weights_only=True``, without the values of tensors where that can be; called
            until all kinds of stand-ins are right.
        load: the same with the values.

    Raises:
        pickle.UnpicklingError: a call of ``os`` or ``sys``, or what torch's restricted reader does not take at all.
    """
    kinds: dict[str, Any] = {name: type(name, (Unread,), {"__module__": "stand_in"}) for name in named_globals(path)}
    for name, kind in kinds.items():
        kind.name = name
    while True:
        with torch.serialization.safe_globals([(kind, name) for name, kind in kinds.items()]):
            try:
                found = peek()
                return _plain(found if load is peek else load(), {})
            except pickle.UnpicklingError as error:
                wrong = _WRONG_KIND.search(str(error))
                if wrong is None or not issubclass(kinds[wrong[2]], Unread):
                    raise
                made = OrderedDict if wrong[1] == "SETITEM" else list
                # Not the container's own class: it must not be called with the arguments of the one it stands for.
                kinds[wrong[2]] = type(wrong[2], (), {"__new__": lambda cls, *args, made=made: made()})


def named_globals(path: str) -> set[str]:
    """Dotted names of the classes and functions that a file of ``torch.save`` refers to; nothing is run.

    Raises:
        ValueError, KeyError: it is no such file, or cut off.
    """
    names = set()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            record = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            names |= _globals_of(pickletools.genops(archive.read(record)))
    else:
        with open(path, "rb") as file:
            for _ in range(4):  # magic number, protocol, machine, contents
                names |= _globals_of(pickletools.genops(file))
    return names


def _globals_of(operations: Any) -> set[str]:
    pairs = [str(argument).split(" ", 1) for operation, argument, _ in operations if operation.name == "GLOBAL"]
    names = {NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)) for module, name in pairs}
    return {f"{module}.{name}" for module, name in names}


def _plain(value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    """A value without stand-ins of well-known types, at any depth.

    Args:
        value: as read. Containers are changed in place: they may be met more than once, and hold themselves.
        done: containers and stand-ins that have been looked at, by identity, each with what became of it.
    """
    if isinstance(value, type) and issubclass(value, Unread):
        return value()
    if not isinstance(value, (Unread, dict, list, tuple)):
        return value
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, tuple):
        return tuple(_plain(item, done) for item in value) if type(value) is tuple else value
    done[id(value)] = value, value
    if isinstance(value, list):
        value[:] = [_plain(item, done) for item in value]
    elif isinstance(value, dict):
        for key in list(value):
            inner = _plain(value.pop(key), done)
            value[str(_plain(key, done)) if isinstance(key, Unread) else key] = inner
    else:
        made = _known(value)
        done[id(value)] = value, made if isinstance(made, Unread) else _plain(made, done)
    return done[id(value)][1]


def _known(unread: Unread) -> Any:
    """The plain value that a stand-in stands for; the stand-in itself where there is none."""
    module, _, name = unread.name.rpartition(".")
    try:
        if unread.items:
            return unread.items
        if unread.name in ("argparse.Namespace", "types.SimpleNamespace") and isinstance(unread.state, Mapping):
            return dict(unread.state)
        if module.split(".")[0] == "pathlib":
            return str((PureWindowsPath if "Windows" in name else PurePosixPath)(*unread.args))
        if unread.name == "collections.defaultdict":
            return {}
        if re.fullmatch(r"numpy\._?core\.multiarray\.scalar", unread.name):
            dtype, data = unread.args
            return np.frombuffer(_bytes(data), _dtype(dtype), count=1)[0].item()
        if re.fullmatch(r"numpy\._?core\.multiarray\._reconstruct", unread.name) and unread.state:
            return _array(*unread.state)
    except (TypeError, ValueError, AttributeError, OverflowError):  # not what numpy or pathlib write
        return unread
    return unread


def _array(version: int, shape: tuple[int, ...], dtype: Unread, column_major: bool, data: Any) -> Tensor:
    """numpy's array as a tensor."""
    numbers = np.frombuffer(_bytes(data), _dtype(dtype))
    array = numbers.reshape(shape, order="F" if column_major else "C")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def _dtype(unread: Unread) -> np.dtype:
    """numpy's type of numbers or texts.

    Raises:
        ValueError: of others, such as objects.
    """
    code = unread.args[0]
    code = code.decode("ascii") if isinstance(code, bytes) else str(code)
    order = unread.state[1] if unread.state else "="
    order = order.decode("ascii") if isinstance(order, bytes) else str(order)
    if unread.name != "numpy.dtype" or not re.fullmatch(rf"[{_KINDS}]\d+", code):
        raise ValueError(f"no type of numbers or texts: {code}")
    return np.dtype(f"{order}{code}")


def _bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)
