"""Lazy imports: who needs one name of a package does not wait for torch, which others need."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        package: its ``__name__``.
        homes: the module of the package that each name is in.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f".{homes[name]}", package), name)
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        # What the module has imported for itself is nothing for those who use it.
        return sorted({*homes, *(name for name in vars(sys.modules[package]) if name.startswith("__"))})

    return find, names


@dataclass(frozen=True)
class Later:
    """A function that is imported when it is called, and can be pickled and passed on without that.

    Attributes:
        module, name: of the function.
    """

    module: str
    name: str

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call it."""
        return getattr(importlib.import_module(self.module), self.name)(*arguments, **options)


@contextmanager
def many_imports() -> Iterator[None]:
    """Context of many imports, whose objects Python's collector leaves alone: while they come in, a tenth of the time,
    and ever after, when it would also copy the memory that forked workers share."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        gc.freeze()
