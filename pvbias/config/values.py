"""Conversion of values' text to the types of their keys, alike in files and on the command line."""

from __future__ import annotations

import ast
import contextlib
import math
import re
from typing import Any

from ..errors import ConfigError
from .yaml_text import Plain, read_yaml

_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]{3})*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*(?:_[0-9]{3})*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0+[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = frozenset({"", "~", "null", "Null", "NULL", "None"})

_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    list: "a list",
}


class Given(str):
    """A value from the command line, where everything is text."""


def read_value(value: Any, wanted: type, *, optional: bool, key: str, source: str) -> Any:
    """Convert a value to the type of its key.

    Args:
        value: :class:`Plain`, :class:`Given`, ``str`` (in quotation marks in a file), a list of such, or one of these
            types already.
        wanted: int, float, bool, str or list.
        optional: None is a value, too.
        key: for messages.
        source: where it comes from, for messages.

    Raises:
        ConfigError: it cannot be read as that type, or could be read as two numbers (``010``).
    """
    try:
        read = _read(value, wanted, optional, f"{source}: {key}")
    except ValueError as error:
        shown = "None" if isinstance(value, Plain) and value in _NOTHING else repr(_bare(value))
        expected = _NAMES.get(wanted, wanted.__name__) + (" or None" if optional else "")
        why = f": {error}" if str(error) else ""
        raise ConfigError(f"{source}: {key} must be {expected}, not {shown}{why}") from error
    return read


def _read(value: Any, wanted: type, optional: bool, where: str) -> Any:
    if isinstance(value, Given) and wanted is list:
        with contextlib.suppress(ConfigError):  # some text that is no list
            value = read_yaml(value, where)
    elif isinstance(value, Given) and wanted is not str:
        value = Given(value.strip())
    given_text = isinstance(value, Given) and wanted is str
    if value is None or (isinstance(value, (Plain, Given)) and value in _NOTHING and not (given_text and not value)):
        if optional:
            return None
        raise ValueError("write '' for no text" if wanted is str else "")
    if wanted is list:
        return _items(value)
    if wanted is bool:
        return _boolean(value)
    if wanted in (int, float):
        return _number(value, wanted)
    if wanted is str and isinstance(value, str):
        return str(value)
    if type(value) is not wanted:
        raise ValueError
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (Plain, Given)) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise ValueError


def _number(value: Any, wanted: type) -> int | float:
    if isinstance(value, str):
        # YAML 1.1 wants 1.0e-4, so many a file has '1e-4' in quotation marks: that is no harm for what has a point.
        value = _plain_number(value) if isinstance(value, (Plain, Given)) or wanted is float else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    if wanted is int:
        if not isinstance(value, int):
            raise ValueError
        return value
    if not math.isfinite(value):
        raise ValueError("it has to be finite")
    return float(value)


def _plain_number(text: str) -> int | float | None:
    """Parse a text as a number; None: it is none."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("it is too large")
        return number
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _LEADING_ZERO.fullmatch(text):
        raise ValueError("YAML reads a leading 0 as octal, and others do not. Write it without")
    return None


def _items(value: Any) -> list[Any]:
    if isinstance(value, str):
        # YAML reads (3, 7, 7) as text; yacs, which many configurations are written for, as a tuple.
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = ast.literal_eval(value)
    if not isinstance(value, (list, tuple)):
        raise ValueError
    return [_item(item) for item in value]


def _item(value: Any) -> Any:
    """Parse an item of a list, which has no declared type, by its looks."""
    if isinstance(value, (list, tuple)):
        return _items(value)
    if isinstance(value, Plain):
        if value in _NOTHING:
            return None
        if value in {"true", "True", "TRUE", "false", "False", "FALSE"}:
            return value.lower() == "true"
        try:
            number = _plain_number(value)
        except ValueError as error:
            raise ValueError(f"{value}: {error}, or in quotation marks if it is text") from error
        return str(value) if number is None else number
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, (int, float, bool, type(None))):
        raise ValueError(f"{value!r} is in it")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is in it, which is not finite")
    return value


def _bare(value: Any) -> Any:
    """A value without the classes of this package, for messages."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        return {_bare(name): _bare(item) for name, item in value.items()}
    return value
