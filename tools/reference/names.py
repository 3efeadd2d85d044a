"""Resolution of names in docstrings, as Python would resolve them in the module where they are written."""

from __future__ import annotations

import builtins
import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pvbias import errors


def full_names(target: str, module: str | None = None, owner: str | None = None) -> Iterator[str]:
    """The possible full names of a name in a docstring, likeliest first: of modules, and of objects where they are
    defined.

    Args:
        target: as it is written in a docstring.
        module: whose docstring, or of something in it.
        owner: the class in it, where it is one's.
    """
    scopes: list[Any] = [errors, builtins]
    if module:
        here = importlib.import_module(module)
        scopes = [*([_attribute(here, owner)] if owner else []), here, *scopes]
    for scope in scopes:
        yield from _names_in(scope, target)
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        try:
            scope = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        yield from _names_in(scope, ".".join(parts[count:])) if parts[count:] else [target]
        return


def _names_in(scope: Any, target: str) -> Iterator[str]:
    head, _, leaf = target.rpartition(".")
    holder = _attribute(scope, head) if head else scope
    value = getattr(holder, leaf, None)
    if inspect.ismodule(value):
        yield value.__name__
    elif getattr(value, "__qualname__", None) and getattr(value, "__module__", None):
        yield f"{value.__module__}.{value.__qualname__}"  # type: ignore[union-attr]
    elif inspect.isclass(holder):  # an attribute, which instances alone may have
        yield f"{holder.__module__}.{holder.__qualname__}.{leaf}"
    elif isinstance(holder, ModuleType) and value is not None:
        # A constant does not know where it is defined.
        yield f"{holder.__name__}.{leaf}"
        for name, other in sorted(sys.modules.items()):
            if name.startswith(f"{holder.__name__}.") and getattr(other, leaf, None) is value:
                yield f"{name}.{leaf}"


def _attribute(scope: Any, name: str) -> Any:
    for part in name.split("."):
        scope = getattr(scope, part, None)
    return scope
