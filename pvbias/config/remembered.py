"""Configurations checked without an import of torch or of any plugin.

A check needs the keys of all plugins, their rules and what they have registered, for which all of them are imported:
seconds, and hundreds of megabytes, on a login node where nothing else needs them. So what a check has found is kept for
as long as the installation does not change (:mod:`pvbias.installation`)::

    keys         with their defaults and rules, as far as these are made by the functions of :mod:`.keys`
    names        in the registries, and addresses of weights
    passed       what was found right of the rest: modulations, the values of a model family, rules of a plugin's own

A configuration that passes by these alone is as :func:`pvbias.config.load_cfg` gives it. Any other one is checked with
all plugins imported, as ever: what is wrong with it is said there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from ..errors import ConfigError
from ..installation import Kept, entry_points
from ..plugin_loading import load_plugins
from ..registries import ALL, MODEL, MODEL_FAMILY
from . import checks, loading, solvers
from .effects import effect_of, flat
from .keys import DECLARED, MAKERS, REGISTERED, Effect, Key, Rule, names_in

#: Results of checks that are kept.
_MOST = 1000

_KINDS = frozenset(registry.kind for registry in ALL.values())
_TYPES: dict[str, type] = {kind.__name__: kind for kind in (int, float, bool, str, list)}


def load_cfg(path: str | os.PathLike | None = None, overrides: Sequence[str] = ()) -> CfgNode:
    """:func:`pvbias.config.load_cfg`, by what is remembered where that is enough."""
    if not _pays():
        return loading.load_cfg(path, overrides)
    layers = loading.read_layers(path, overrides)
    memory = _recall(tuple(loading.plugin_names(layers)))
    if memory is not None:
        with suppress(ConfigError), memory.declared(loading.model_name(layers)) as cfg:
            merge = loading.Merge(memory.foreign)
            for source, tree in layers:
                merge(cfg, tree, source)
            if memory.allows(cfg):
                merge.warn(path or loading.COMMAND_LINE)
                return cfg
    cfg = loading.load_cfg(path, overrides)
    _remember(cfg, memory)
    return cfg


def check(cfg: CfgNode, origins: Mapping[str, str] | None = None) -> None:
    """:func:`.checks.check`, by what is remembered where that is enough."""
    if _pays():
        memory = _recall(tuple(cfg.PLUGINS))
        if memory is not None:
            with suppress(ConfigError), memory.declared(cfg.MODEL.MODEL_NAME):
                if memory.allows(cfg):
                    return
        loading.import_all(cfg)
    checks.check(cfg, origins)


def is_in_catalogue(cfg: CfgNode, address: str) -> bool:
    """Whether ``zoo://<zoo>/<model>/<weights>`` is remembered; False: it may be there all the same."""
    memory = _recall(tuple(cfg.PLUGINS)) if _pays() else None
    return memory is not None and address in memory.weights


@cache
def _pays() -> bool:
    """Whether there is an import to save: not where this process had torch when it was first asked."""
    return "torch" not in sys.modules


@cache
def _recall(plugins: tuple[str, ...]) -> _Memory | None:
    """What is remembered of the installed plugins and of those that a configuration names."""
    kept = _kept(plugins).read()
    return None if kept is None or kept["files"] != _states(kept["files"]) else _Memory(kept)


def _kept(plugins: Sequence[str]) -> Kept:
    return Kept("configuration", (plugins, sys.path) if plugins else "")


def _remember(cfg: CfgNode, memory: _Memory | None) -> None:
    """Keep what was found by a check of a configuration, with all plugins imported."""
    memory = memory or _look(cfg.PLUGINS)
    if memory is not None:
        with memory.declared(cfg.MODEL.MODEL_NAME):
            memory.pass_on(cfg)
        _kept(tuple(cfg.PLUGINS)).write(memory.kept)


def _look(plugins: Sequence[str]) -> _Memory | None:
    """What there is to remember; None where a plugin has failed, or has keys that JSON does not bring back."""
    modules = load_plugins(plugins)
    if not {point.module for point in entry_points()} <= {module.__name__ for module in modules}:
        return None
    trees = {}
    with _restoring():
        for family in ("", *MODEL_FAMILY.names()):
            cfg, foreign = loading.declare_all(modules, family)
            declared = {key: _written(DECLARED[key]) for key, _ in flat(cfg) if key in DECLARED}
            trees[family] = {"defaults": _plain(cfg), "declared": declared, "groups": [*solvers.GROUPS]}
    kinds = {key.kind.__name__: key.kind for key in DECLARED.values()}
    if kinds != {name: _TYPES.get(name) for name in kinds} or not _comes_back(trees):
        return None
    files = [file for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))]
    return _Memory(
        {
            "trees": trees,
            "foreign": foreign,
            "names": {registry.kind: registry.names() for registry in ALL.values()},
            "weights": [f"zoo://{model.zoo}/{name}/{each}" for name, model in MODEL for each in model.weights],
            "files": _states(filter(_is_own, files) if plugins else ()),
            "passed": [],
        }
    )


def _written(key: Key) -> list[Any]:
    made = key.rule.made
    if made is not None and (not _comes_back([*made[1]]) or (made[0] == REGISTERED and made[1][0] not in _KINDS)):
        made = None
    return [key.kind.__name__, key.optional, key.effect.value, key.separator, made and [made[0], [*made[1]]]]


def _plain(node: CfgNode) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, CfgNode) else value for name, value in node.items()}


def _comes_back(value: Any) -> bool:
    try:
        return repr(json.loads(json.dumps(value))) == repr(value)
    except (TypeError, ValueError):
        return False


def _is_own(file: str) -> bool:
    """Whether a module is a file that can change while no version of an installed package does."""
    installed = {"site-packages", "dist-packages"} & {*Path(file).parts}
    return not installed and not file.startswith(sysconfig.get_path("stdlib"))


def _states(files: Iterable[str]) -> dict[str, list[int] | None]:
    """When each file was changed, and its size; None: it is not there."""
    found: dict[str, list[int] | None] = {}
    for file in files:
        found[file] = None
        with suppress(OSError):
            status = os.stat(file)
            found[file] = [status.st_mtime_ns, status.st_size]
    return found


@contextmanager
def _restoring() -> Iterator[None]:
    """Bring the declarations inside back to what they were."""
    kept: list[tuple[dict, dict]] = [(declared, dict(declared)) for declared in (DECLARED, solvers.GROUPS)]
    try:
        yield
    finally:
        for declared, before in kept:
            declared.clear()
            declared.update(before)


class _Memory:
    """What is remembered.

    Attributes:
        foreign: FOREIGN_KEYS of all plugins.
        weights: addresses of weights in zoos.
    """

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self.kept = kept
        self.foreign: Mapping[str, str] = kept["foreign"]
        self.weights = frozenset(kept["weights"])
        self._passed: list[str] = kept["passed"]
        self._names = {kind: frozenset(names) for kind, names in kept["names"].items()}

    @contextmanager
    def declared(self, family: str) -> Iterator[CfgNode]:
        """Declare inside the keys that there are with a model family; with another name, those that are always there.

        Gives the configuration with their defaults.
        """
        trees = self.kept["trees"]
        tree = trees.get(family, trees[""])
        with _restoring():
            DECLARED.clear()
            DECLARED.update({key: self._key(*entry) for key, entry in tree["declared"].items()})
            solvers.GROUPS.clear()
            solvers.GROUPS.update(dict.fromkeys(tree["groups"]))
            yield CfgNode(json.loads(json.dumps(tree["defaults"])))

    def allows(self, cfg: CfgNode) -> bool:
        """Whether a configuration passes by what is remembered; to be called inside :meth:`declared`.

        Raises:
            ConfigError: a value that is not allowed.
        """
        checks.check_values(cfg, {})
        return {*self._rest(cfg)} <= {*self._passed}

    def pass_on(self, cfg: CfgNode) -> None:
        """Remember that a configuration was found right; to be called inside :meth:`declared`."""
        self._passed[:] = [*dict.fromkeys([*self._rest(cfg), *self._passed])][:_MOST]

    def _rest(self, cfg: CfgNode) -> Iterator[str]:
        """Digests of what neither rules of plain values nor names in registries say anything of."""
        for key, value in flat(cfg):
            if value is not None and key in DECLARED and DECLARED[key].rule.made is None:
                yield _digest(key, value)
        yield _digest(*(checks.value_of(cfg, key) for key in checks.OF_MODULATIONS))
        model = cfg.MODEL.MODEL_NAME
        if model in self._names[MODEL_FAMILY.kind]:
            yield _digest([(key, value) for key, value in flat(cfg) if effect_of(key) is not Effect.NOTHING])
        elif model and model not in self._names[MODEL.kind]:
            yield _digest(model)

    def _key(self, kind: str, optional: bool, effect: str, separator: str, made: Sequence[Any] | None) -> Key:
        return Key("", "", self._rule(made), _TYPES[kind], optional, Effect(effect), separator)

    def _rule(self, made: Sequence[Any] | None) -> Rule:
        if made is None:
            return Rule(lambda _: True, "", "")  # one of the rest
        name, arguments = made
        if name != REGISTERED:
            return MAKERS[name](*arguments)
        kind, separator = arguments

        def holds(value: Any) -> bool:
            names = names_in(value, separator)
            return names is not None and {*names} <= self._names[kind]

        return Rule(holds, "", "", made=(name, tuple(arguments)))


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode(errors="surrogateescape")).hexdigest()[:24]
