"""Settings of protocols and probes, as configurations and command lines have them."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pvbias.errors import ConfigError, did_you_mean

#: The least value of settings that count something; there is nothing to tell of one class.
_LEAST = {"ways": 2} | dict.fromkeys(
    ("shots", "queries", "episodes", "epochs", "lr_step", "batch_size", "heads", "neighbours"), 1
)
_POSITIVE = ("lr", "temperature", "penalties", "perplexity")


def make(known: Mapping[str, Any], name: str, settings: Mapping[str, Any], what: str) -> Any:
    """Build what a configuration names, with its settings. A value alone is a list of one where a list is asked for.

    Args:
        known: dataclasses by name.
        name: which of them.
        settings: values of its fields, plain ones.
        what: what they are, for messages.

    Raises:
        ConfigError: there is no such name or setting, or a value has no meaning.
    """
    if name not in known:
        raise ConfigError(f"No {what} {name!r}. {did_you_mean(name, known)}")
    kinds = typing.get_type_hints(known[name])
    names = [each.name for each in fields(known[name])]
    for setting in settings:
        if setting not in names:
            raise ConfigError(f"{what} {name!r} has no setting {setting!r}. {did_you_mean(setting, names)}")
    values = {}
    for setting, value in settings.items():
        try:
            values[setting] = _value(setting, kinds[setting], value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{what} {name!r}: {setting} is {value!r}, and not {error}.") from None
    return known[name](**values)


def _value(setting: str, kind: Any, value: Any) -> Any:
    """A value of a kind; TypeError or ValueError with what it should be where it is none."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # a value or None
        return None if value is None else _value(setting, inner[0], value)
    if kind in _PLAIN:
        return _PLAIN[kind](setting, value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError("settings by name")
        return dict(value)
    assert isinstance(origin, type)
    assert issubclass(origin, Sequence)
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not several:
        raise ValueError("one or more values")
    return tuple(_value(setting, inner[0], each) for each in several)


def _number(setting: str, value: Any) -> float:
    try:
        number = float("nan" if isinstance(value, bool) else value)  # YAML has 1e-3, without a dot, as a text
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0 or (setting in _POSITIVE and number == 0):
        raise ValueError(f"a number {'above 0' if setting in _POSITIVE else 'of 0 or more'}")
    return number


def _count(setting: str, value: Any) -> int:
    least = _LEAST.get(setting, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"a whole number of {least} or more")
    return value


def _text(setting: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _flag(setting: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


_PLAIN: dict[Any, Callable[[str, Any], Any]] = {float: _number, int: _count, str: _text, bool: _flag}
