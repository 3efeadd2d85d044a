"""Modulations: clips with their temporal information changed or removed, for measuring how much a model uses it.

A modulation is a pure function ``(clips (N, C, T, H, W), seeds (N,)) -> clips (N, C, T, H, W)`` of any dtype, with
parameters and a label. What is random in it depends on the clip's own seed alone, so that a modulated clip is the same
in every batch, order and process. Configurations and evaluators name one by its *spec*: ``shuffle``,
``freeze(frame=first)``. The built-in ones are in :mod:`pvbias.clips.rearrangements`.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import ConfigError, did_you_mean
from ..registries import MODULATION
from ..transfers import to_device

#: Spec of the unmodulated clip.
ORIGINAL = "original"

_SPEC = re.compile(r"\s*([^\s(),=]+)\s*(?:\((.*)\)\s*)?", re.DOTALL)
_ARGUMENT = re.compile(r"""\s*(\w+)\s*=\s*(?:'([^,()='"]*)'|"([^,()='"]*)"|([^,()='"\s]+))\s*""")
_WORD = re.compile(r"""[^,()='"\s]+""")
_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text without spaces, commas or quotes"}


def parameter(default: Any, about: str, *, at_least: float | None = None, choices: Sequence[Any] = ()) -> Any:
    """Declare a parameter of a modulation: a dataclass field with a default, a meaning and a range.

    Args:
        default: int, float, bool or str, which is the parameter's type.
        about: what it means.
        at_least: smallest value.
        choices: the values, where they are few.
    """
    metadata = {"about": about, "at_least": at_least, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Modulation(abc.ABC):
    """Base of modulations. A frozen dataclass: equal where class and parameters are, and picklable where the class can
    be imported.

    ::

        @MODULATION.register(name="blur")
        @dataclass(frozen=True)
        class Blur(Modulation):
            size: int = parameter(3, "side of the box", at_least=1)

            def __call__(self, clips, seeds): ...

    Attributes:
        of_rgb: it is for clips that show RGB, and means nothing for optical flow, whose clips may have three channels,
            too.
    """

    of_rgb: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ConfigError: a value is not of its parameter's type or range.
        """
        for field in parameters(type(self)):
            _check(type(self), field, getattr(self, field.name))

    @abc.abstractmethod
    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """The modulated clips, ``(N, C, T, H, W)`` of the same dtype and memory format; those given are left alone.

        Args:
            clips: ``(N, C, T, H, W)``.
            seeds: one a clip, in [0, 2**63).
        """

    @property
    def spec(self) -> str:
        """The modulation's name, with the parameters that are not at their defaults: the key of its figures and
        predictions. One that is registered with its parameters set (``freeze_middle``) has that name."""
        return MODULATION.name_of(self) or self.in_full

    @property
    def in_full(self) -> str:
        """The spec by the name of the class, whether the modulation has a name of its own or not:
        ``freeze(frame=first)``."""
        values = [(field, getattr(self, field.name)) for field in parameters(type(self))]
        # A float is written as one: 2 and 2.0 are the same value.
        given = [
            f"{field.name}={float(value) if isinstance(field.default, float) else value}"
            for field, value in values
            if value != field.default
        ]
        return _name(type(self)) + (f"({', '.join(given)})" if given else "")

    @property
    def label(self) -> str:
        """Description of a modulated clip, in words that continue "a clip is ..."."""
        return _words(self.spec)

    @property
    def tracks(self) -> tuple[str, ...]:
        """What it takes beside the clips, by name in the TRACK registry; see :class:`TrackModulation`."""
        return ()

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """The modulated clips, as :meth:`__call__` gives them, with the tracks at hand.

        Args:
            clips, seeds: as for :meth:`__call__`.
            tracks: of the clips, ``(N, D, T, H, W)``, by name: at least those of :attr:`tracks`.
        """
        return self(clips, seeds)

    def check_modality(self, modality: str | None) -> None:
        """Raise ConfigError where it does not go with DATA.MODALITY."""
        if self.of_rgb and modality not in (None, "rgb"):
            raise ConfigError(f"{self.spec} is for clips that show RGB, and DATA.MODALITY = {modality!r}.")

    @property
    def registered(self) -> object:
        """The object whose code is part of a fingerprint."""
        return self


@dataclass(frozen=True)
class Rearrangement(Modulation):
    """Base of modulations that only rearrange frames: a subclass says in which order.

    The evaluation makes use of it: what a model computes of each frame by itself is then the same for all of them.
    """

    @abc.abstractmethod
    def order(self, num_frames: int, seed: int) -> Tensor:
        """The frames of one clip in their new order: int64 ``(T,)`` in [0, T)."""

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """The clips rearranged; those given where that changes nothing."""
        frames = self.frames(clips.shape[2], seeds)
        if torch.equal(frames, torch.arange(clips.shape[2]).expand_as(frames)):
            return clips
        return gather_frames(clips, frames)

    def frames(self, num_frames: int, seeds: Sequence[int]) -> Tensor:
        """The frame numbers of each rearranged clip: int64 ``(N, T)`` in [0, T), on the CPU."""
        return torch.stack([self.order(num_frames, seed) for seed in seeds])


@dataclass(frozen=True)
class TrackModulation(Modulation):
    """Base of modulations that take more than the clips: a mask, optical flow, another video's frames.

    A subclass says which tracks (:attr:`~Modulation.tracks`) and defines :meth:`modulate`. An evaluation reads them
    with the clips, whoever asks for the modulation.
    """

    @abc.abstractmethod
    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`Modulation.modulate`."""

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """Refuse: there are no tracks.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{self.spec} takes what accompanies the clips ({', '.join(self.tracks)}), which evaluators are given: use "
            "it in BIAS.MODULATIONS, not in DATA.MODULATION; from Python, call its modulate(clips, seeds, tracks)."
        )


@dataclass(frozen=True)
class FunctionModulation(Modulation):
    """A plain function ``(clips, seeds) -> clips`` that is registered: a modulation without parameters."""

    function: Callable[[Tensor, Sequence[int]], Tensor]

    def __post_init__(self) -> None:
        """Do nothing: there are no parameters to check."""

    def __call__(self, clips: Tensor, seeds: Sequence[int]) -> Tensor:
        """See :meth:`Modulation.__call__`."""
        return self.function(clips, seeds)

    @property
    def spec(self) -> str:
        """The name that the function is registered under."""
        return _name(self.function)

    @property
    def registered(self) -> object:
        """The function."""
        return self.function


def modulation(spec: str) -> Modulation:
    """Make the modulation that a spec names: ``shuffle``, ``freeze(frame=first)``, ``shuffle(segments=4)``.

    Args:
        spec: ``NAME`` or ``NAME(PARAMETER=VALUE, ...)``, with a name in the MODULATION registry.

    Raises:
        ConfigError: it is not of that form, or there is no such name, parameter or value; with the nearest ones.
    """
    name, given = _parse(spec)
    entry = MODULATION.get(name)
    if not (isinstance(entry, type) and issubclass(entry, Modulation)):
        if given:
            raise ConfigError(f"{spec}: {name} takes no parameters, and {next(iter(given))!r} is given.")
        return entry if isinstance(entry, Modulation) else FunctionModulation(entry)
    known = {field.name: field for field in parameters(entry)}
    for key in given:
        if key not in known:
            raise ConfigError(f"{name} has no parameter {key!r}. {did_you_mean(key, known)}")
    return entry(**{key: _read(entry, known[key], text) for key, text in given.items()})


def modulation_label(spec: str) -> str:
    """A modulation's label; where it is not registered here, as in results that were measured with somebody else's
    plugin, its spec with spaces for underscores."""
    try:
        return modulation(spec).label
    except ConfigError:
        return _words(spec)


def parameters(kind: type) -> tuple[dataclasses.Field, ...]:
    """The declared parameters of a class of modulations, as dataclass fields.

    Raises:
        TypeError: one has no default, or the class was not made a dataclass.
    """
    fields = dataclasses.fields(kind)
    lost = [name for name, value in vars(kind).items() if isinstance(value, dataclasses.Field)]
    lost += [field.name for field in fields if type(field.default) not in _KINDS]
    if lost:
        raise TypeError(
            f"{kind.__name__}.{lost[0]} is no parameter: a modulation's class is decorated with "
            "@dataclass(frozen=True), and each of its parameters has an int, float, bool or str as default."
        )
    return fields


def describe_parameters(entry: Any) -> list[str]:
    """Describe the parameters of an entry of MODULATION, a line each: ``step=2 (a whole number, at least 2): frames
    that one stands for``. Of one whose parameters are set, what it is in full."""
    if isinstance(entry, Modulation):
        return [f"the same as {entry.in_full}"]
    if not isinstance(entry, type):
        return []
    taken = entry().tracks if issubclass(entry, Modulation) else ()
    return [f"takes the track {name}" for name in taken] + [
        f"{field.name}={field.default} ({_rule(field)}): {field.metadata.get('about', '')}".removesuffix(": ")
        for field in parameters(entry)
    ]


def _parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split a spec into the name and the parameters, as text."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        hint = " In a YAML list, one with a comma takes quotation marks." if spec.count("(") != spec.count(")") else ""
        raise ConfigError(f"{spec!r} is no modulation: write NAME or NAME(PARAMETER=VALUE, ...).{hint}")
    name, inside = found.groups()
    given: dict[str, str] = {}
    for text in inside.split(",") if inside and inside.strip() else ():
        argument = _ARGUMENT.fullmatch(text)
        if argument is None:
            raise ConfigError(f"{spec!r}: {text.strip()!r} is not of the form PARAMETER=VALUE.")
        key = argument[1]
        if key in given:
            raise ConfigError(f"{spec!r}: {key} is given twice.")
        given[key] = next(value for value in argument.groups()[1:] if value is not None)
    return name, given


def _read(kind: type, field: dataclasses.Field, text: str) -> Any:
    wanted = type(field.default)
    if wanted is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError:
            pass  # _check says what is wrong with the text
    return text


def _check(kind: type, field: dataclasses.Field, value: Any) -> None:
    wanted = type(field.default)
    choices, low = field.metadata.get("choices"), field.metadata.get("at_least")
    if choices and value not in choices:
        raise ConfigError(f"{_name(kind)}: {field.name} cannot be {value!r}. {did_you_mean(str(value), choices)}")
    right = type(value) is wanted or (wanted is float and type(value) is int)
    right = right and (wanted is not str or _WORD.fullmatch(value) is not None)
    right = right and (wanted is not float or math.isfinite(value))
    right = right and (low is None or value >= low)
    if not right:
        raise ConfigError(f"{_name(kind)}: {field.name} must be {_rule(field)}, not {value!r}.")


def _rule(field: dataclasses.Field) -> str:
    choices, low = field.metadata.get("choices"), field.metadata.get("at_least")
    if choices:
        return "one of " + ", ".join(map(str, choices))
    return _KINDS[type(field.default)] + ("" if low is None else f", at least {low}")


def _name(entry: Any) -> str:
    return MODULATION.name_of(entry) or str(getattr(entry, "__name__", entry))


def _words(spec: str) -> str:
    return spec.replace("_", " ")


def view_seeds(rng_seed: int, name: str, num_views: int, *, first: int = 0, purpose: str = "") -> list[int]:
    """Seeds for the modulations of each view, or of those from ``first`` on, in [0, 2**63): a function of these
    arguments and the view's number alone, so that a view is modulated alike in every batch, order, process and worker.

    Args:
        rng_seed: ``RNG_SEED``.
        name: the video's name as its annotation writes it.
        num_views: V.
        first: of the views that seeds are wanted of.
        purpose: a word that does not begin with a digit; seeds for one purpose have nothing to do with those for
            another. Empty: the modulations that evaluators compare.
    """

    def seed(view: int) -> int:
        # surrogatepass: a file name need not be valid text
        digest = hashlib.sha256(f"{purpose}{rng_seed}/{view}/{name}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    return [seed(view) for view in range(first, num_views)]


def gather_frames(clips: Tensor, indices: Tensor) -> Tensor:
    """Gather clip n's frames ``indices[n]``: ``(N, C, T, H, W), (N, S) -> (N, C, S, H, W)``, memory format kept."""
    rows = torch.arange(len(clips), device=clips.device)[:, None]
    frames = clips.permute(0, 2, 3, 4, 1)[rows, to_device(indices, clips.device)]  # (N, S, H, W, C), rows copied whole
    gathered = frames.permute(0, 4, 1, 2, 3)
    return gathered.contiguous() if clips.is_contiguous() else gathered
