"""Declaration of configuration keys, each with its meaning, unit, range and default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import wraps
from typing import Any

from fvcore.common.config import CfgNode

from ..registries import Registry
from ..storage import is_address


@dataclass(frozen=True)
class Rule:
    """The values that a key may have.

    Attributes:
        holds: whether it may have a value, which has the key's type already. It may raise ConfigError instead, with a
            message of its own.
        must: for messages: "must be at least 1".
        short: for lists: ">= 1".
        choices: the values, where they are few.
        made: the name in :data:`MAKERS` of what made it, and the arguments; None: it cannot be made again without what
            declares it.
    """

    holds: Callable[[Any], bool]
    must: str
    short: str
    choices: tuple[Any, ...] = ()
    made: tuple[str, tuple[Any, ...]] | None = None


class Effect(Enum):
    """The effect of a key on results. A run resumes from a checkpoint only where no key that affects its training has
    changed."""

    #: Training and measuring: what is not declared otherwise.
    EVERYTHING = "everything"
    #: What is measured of a model, not how it is trained.
    MEASURING = "measuring"
    #: Likewise, and the validations of a training, too.
    VIEWS = "views"
    #: Figures over what was measured of each video, nothing else.
    FIGURES = "figures"
    #: Where, when and on which machine things are done: at most the last digits of a figure.
    NOTHING = "nothing"
    #: Which videos there are to train on: as EVERYTHING, but what counts is what is found there, not where that is.
    VIDEOS = "videos"
    #: A file or folder, of weights mostly: as EVERYTHING, but what counts is what is in it.
    CONTENT = "content"


@dataclass(frozen=True)
class Key:
    """A declared key.

    Attributes:
        about: what it means.
        unit: of its value; empty: none.
        rule: which values it may have, apart from None.
        kind: type of its value.
        optional: it may be None.
        effect: what it decides.
        separator: a list is taken, too, for the text with this between its items; empty: it is not.
    """

    about: str
    unit: str
    rule: Rule
    kind: type
    optional: bool
    effect: Effect
    separator: str = ""


#: Every key that was declared, by its dotted name.
DECLARED: dict[str, Key] = {}


#: What makes rules that need no plugin and no torch, by name.
MAKERS: dict[str, Callable[..., Rule]] = {}


def maker(make: Callable[..., Rule]) -> Callable[..., Rule]:
    """Decorate a function that makes rules of plain values, so that they can be made again in another process."""

    @wraps(make)
    def making(*arguments: Any) -> Rule:
        return replace(make(*arguments), made=(make.__name__, arguments))

    MAKERS[make.__name__] = making
    return making


@maker
def anything() -> Rule:
    """Any value of the key's type."""
    return Rule(lambda _: True, "", "")


@maker
def on_a_disk() -> Rule:
    """A path that is not the address of an object store."""
    why = "must be on a disk: only lists and videos are read from object stores, and nothing is written there"
    return Rule(lambda value: not is_address(value), why, "a folder on a disk")


def declare(
    cfg: CfgNode,
    key: str,
    default: Any,
    about: str,
    rule: Rule | None = None,
    *,
    unit: str = "",
    kind: type | None = None,
    effect: Effect = Effect.EVERYTHING,
    separator: str = "",
) -> None:
    """Add a key to a configuration.

    ::

        declare(cfg, "MY_LAB.MARGIN", 8.0, "Largest change of a pixel.", at_least(0), unit="grey levels of 255")

    Args:
        cfg: where to; groups that are missing are made.
        key: dotted name.
        default: its value unless somebody sets it; None: it may be None.
        about: what it means, in a sentence or more; for a file or folder with what it is relative to.
        rule: which values it may have; None: any of its type.
        unit: pixels, seconds, epochs, ...
        kind: type of the value, where the default is None.
        effect: what it decides.
        separator: of a key whose value is text: a list of texts is taken, too, joined by this.
    """
    if (default is None) == (kind is None):
        raise TypeError(f"{key}: `kind` is the type of a key whose default is None, and of no other")
    *groups, name = key.split(".")
    node = cfg
    for group in groups:
        if group not in node:
            node[group] = CfgNode()
        node = node[group]
    node[name] = default
    DECLARED[key] = Key(about, unit, rule or anything(), kind or type(default), default is None, effect, separator)


@maker
def at_least(low: float) -> Rule:
    """Numbers from ``low`` on."""
    return Rule(lambda value: value >= low, f"must be at least {low}", f">= {low}")


@maker
def above(low: float) -> Rule:
    """Numbers larger than ``low``."""
    return Rule(lambda value: value > low, f"must be above {low}", f"> {low}")


@maker
def below(high: float) -> Rule:
    """Numbers smaller than ``high``."""
    return Rule(lambda value: value < high, f"must be below {high}", f"< {high}")


@maker
def between(low: float, high: float) -> Rule:
    """Numbers from ``low`` to ``high``, both included."""
    return Rule(lambda value: low <= value <= high, f"must lie in [{low}, {high}]", f"[{low}, {high}]")


@maker
def below_one() -> Rule:
    """Numbers from 0 on that are smaller than 1."""
    return Rule(lambda value: 0 <= value < 1, "must lie in [0, 1)", "[0, 1)")


@maker
def one_of(*choices: Any) -> Rule:
    """One of some values."""
    listed = ", ".join(map(repr, choices))
    return Rule(lambda value: value in choices, f"must be one of {listed}", f"one of {listed}", choices)


@maker
def pair(low: float, high: float = float("inf")) -> Rule:
    """``[min, max]`` with ``low <= min <= max <= high``."""

    def holds(value: Any) -> bool:
        return are_numbers(value) and len(value) == 2 and low <= value[0] <= value[1] <= high

    end = "" if high == float("inf") else f" <= {high}"
    return Rule(holds, f"must be [min, max] with {low} <= min <= max{end}", f"[min, max], {low} <= min <= max{end}")


@maker
def texts() -> Rule:
    """A list of texts."""
    return Rule(
        lambda value: all(isinstance(item, str) for item in value), "must be a list of names", "a list of texts"
    )


#: In the place of a maker: :func:`registered`, of the registry of a kind, with a separator.
REGISTERED = "registered"


def registered(registry: Registry, listed: str = "", *, separator: str = "") -> Rule:
    """A name of a registry, or a list of such.

    Args:
        listed: what `pvbias list` calls them; empty: it does not list them.
        separator: what may stand between several names in one text.
    """

    def holds(value: Any) -> bool:
        names = names_in(value, separator)
        for name in names or ():
            registry.get(name)  # a ConfigError with the nearest names
        return names is not None

    short = f"of `pvbias list {listed}`" if listed else "a registered name"
    return Rule(holds, "must be a list of names", short, made=(REGISTERED, (registry.kind, separator)))


def names_in(value: Any, separator: str) -> list[str] | None:
    """The registered names in a value of a key; None where it has something else. See :func:`registered`."""
    names = value if isinstance(value, list) else [value]
    if separator:
        names = [part.strip() for name in names for part in name.split(separator)]
    return names if all(isinstance(name, str) for name in names) else None


def modulation_spec() -> Rule:
    """The spec of a modulation (:func:`pvbias.clips.modulation`), or a list of such."""

    def holds(value: Any) -> bool:
        specs = value if isinstance(value, list) else [value]
        if not all(isinstance(spec, str) for spec in specs):
            return False
        from ..clips import modulation  # with torch, which takes long: declaring a key does not need it

        for spec in specs:
            modulation(spec)  # a ConfigError with the nearest names
        return True

    return Rule(holds, "must be a list of modulations", "of `pvbias list modulations`")


def are_numbers(value: Any) -> bool:
    """Whether all items are numbers: int or float, and no bool."""
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)
