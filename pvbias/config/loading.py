"""Reading configurations: files with ``_BASE_``, command-line overrides, errors that name the file and the key."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from fvcore.common.config import BASE_KEY, CfgNode

from ..errors import ConfigError, did_you_mean
from ..plugin_loading import load_plugins
from ..registries import MODEL_FAMILY
from .checks import check
from .defaults import get_cfg
from .effects import flat
from .keys import DECLARED
from .values import Given, read_value
from .yaml_text import read_yaml

logger = logging.getLogger(__name__)

COMMAND_LINE = "command line"


def load_cfg(path: str | os.PathLike | None = None, overrides: Sequence[str] = ()) -> CfgNode:
    """Load the configuration of a run: defaults, the plugins' keys, the model family's, a file (and its bases),
    overrides.

    Keys of another program's configurations that have no meaning here (a plugin's ``FOREIGN_KEYS``: dotted key -> what
    to use instead, or "") are left out; one warning names them.

    Args:
        path: a YAML file; its ``_BASE_`` (a path or a list of them, relative to the file) is read first.
        overrides: ``KEY VALUE KEY VALUE ...``, as given on the command line.

    Raises:
        ConfigError: an unknown key, a wrong type, an impossible value, an unknown plugin or registered name; the
            message names the file (or the command line) and the key, and the nearest right name.
    """
    layers = read_layers(path, overrides)
    cfg, foreign = declare_all(load_plugins(plugin_names(layers)), model_name(layers))
    merge = Merge(foreign)
    for source, tree in layers:
        merge(cfg, tree, source)
    merge.warn(path or COMMAND_LINE)
    check(cfg, merge.origins)
    return cfg


#: Files and the command line, each with its own keys, in the order in which they count more and more.
Layers = Sequence[tuple[str, dict[str, Any]]]


def read_layers(path: str | os.PathLike | None, overrides: Sequence[str]) -> Layers:
    """Read what :func:`load_cfg` is given, the bases of the file first.

    Raises:
        ConfigError: a file cannot be read, or overrides that are no pairs.
    """
    layers = [*_file_layers(Path(path))] if path is not None else []
    return [*layers, (COMMAND_LINE, _override_tree(overrides))]


def declare_all(modules: Sequence[ModuleType], family: str) -> tuple[CfgNode, dict[str, str]]:
    """Declare the keys of plugins, and those of a model family; another name than of one adds nothing.

    Returns:
        The configuration with the defaults of all keys, and the plugins' ``FOREIGN_KEYS``.
    """
    cfg = get_cfg()
    foreign: dict[str, str] = {}
    for module in modules:
        if hasattr(module, "add_config"):
            module.add_config(cfg)
        foreign |= getattr(module, "FOREIGN_KEYS", {})
    if family in MODEL_FAMILY:
        MODEL_FAMILY.get(family).add_config(cfg)
    return cfg, foreign


def import_all(cfg: CfgNode) -> None:
    """Import the plugins of a configuration and declare its keys, in a process that has it from another one or by what
    is remembered."""
    declare_all(load_plugins(cfg.PLUGINS), cfg.MODEL.MODEL_NAME)


def _file_layers(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file and its bases as (file, its own keys), bases first."""
    path = Path(os.path.expanduser(path)).resolve()
    if path in seen:
        raise ConfigError(f"{path}: {BASE_KEY} goes round in a circle: " + " -> ".join(map(str, (*seen, path))))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        where = f" ({BASE_KEY} of {seen[-1]})" if seen else ""
        raise ConfigError(f"Cannot read the configuration {path}{where}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    tree = read_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a configuration is a tree of keys, this is {type(tree).__name__}")
    bases = tree.pop(BASE_KEY, [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) and base for base in bases):
        raise ConfigError(f"{path}: {BASE_KEY} is a path or a list of paths, not {bases!r}")
    for base in bases:
        yield from _file_layers(path.parent / os.path.expanduser(base), (*seen, path))
    yield str(path), tree


def _override_tree(overrides: Sequence[str]) -> dict[str, Any]:
    """``A.B 1 A.C 2`` as ``{"A": {"B": Given("1"), "C": Given("2")}}``."""
    if len(overrides) % 2:
        raise ConfigError(
            f"{COMMAND_LINE}: overrides come in pairs `KEY VALUE`; {overrides[-1]!r} has no value "
            f"(got: {' '.join(overrides)})"
        )
    tree: dict[str, Any] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        node = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{COMMAND_LINE}: {key} is given both a value and keys below it")
        node[leaf] = Given(value)
    return tree


def plugin_names(layers: Layers) -> list[str]:
    """The plugins that a configuration names.

    Raises:
        ConfigError: PLUGINS is no list of names.
    """
    names: list[str] = []
    for source, tree in layers:
        if "PLUGINS" in tree:
            names = _coerce(tree["PLUGINS"], [], "PLUGINS", source)
            rule = DECLARED["PLUGINS"].rule
            if not rule.holds(names):  # before they are imported, without which other keys cannot be checked
                raise ConfigError(f"{source}: PLUGINS = {names!r} {rule.must}")
    return names


def model_name(layers: Layers) -> str:
    """The model that a configuration names; empty: none."""
    groups = [tree.get("MODEL") for _, tree in layers]
    names = [group["MODEL_NAME"] for group in groups if isinstance(group, Mapping) and "MODEL_NAME" in group]
    return str(names[-1]) if names else ""


@dataclass
class Merge:
    """Merges one layer after another into a configuration.

    Attributes:
        foreign: keys of other programs, accepted where the configuration has no such key.
        origins: where each key that was set comes from.
        left_out: the foreign keys that were met, each once.
    """

    foreign: Mapping[str, str]
    origins: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)

    def __call__(self, node: CfgNode, tree: Mapping[str, Any], source: str, prefix: str = "") -> None:
        for name, value in tree.items():
            key = f"{prefix}{name}"
            if name not in node and key in self.foreign:
                self.left_out[key] = None
                continue
            if name not in node and not any(other.startswith(f"{key}.") for other in self.foreign):
                known = self._known(node, prefix)
                hint = f"In a file, groups are nested: {_nested(name)}" if key in known else did_you_mean(key, known)
                raise ConfigError(f"{source}: unknown key {key}. {hint}")
            default = node.get(name, CfgNode())
            if isinstance(default, CfgNode):
                if not isinstance(value, Mapping):
                    listed = ", ".join(known.removeprefix(f"{key}.") for known in self._known(default, f"{key}."))
                    raise ConfigError(f"{source}: {key} is a group of keys ({listed}), not a value: {value!r}")
                self(default, value, source, f"{key}.")
            else:
                node[name] = _coerce(value, default, key, source)
                self.origins[key] = source

    def warn(self, source: object) -> None:
        """Warn of the foreign keys that were met."""
        if self.left_out:
            listed = ", ".join(f"{key} ({self.foreign[key]})" if self.foreign[key] else key for key in self.left_out)
            logger.warning("%s: keys without a meaning here, left out: %s", source, listed)

    def _known(self, node: CfgNode, prefix: str) -> list[str]:
        """Keys that are accepted in a group; in the outermost one, those of all groups."""
        own = [f"{prefix}{name}" for name in node] + ([] if prefix else [key for key, _ in flat(node)])
        return own + [key for key in self.foreign if key.startswith(prefix) and key not in own]


def _coerce(value: Any, default: Any, key: str, source: str) -> Any:
    """Convert ``value`` to the type of the key, or raise ConfigError."""
    declared = DECLARED.get(key)
    optional = declared is not None and declared.optional
    wanted = declared.kind if declared is not None and optional else type(default)
    if declared is not None and declared.separator:
        with contextlib.suppress(ConfigError):  # it is no list
            items = read_value(value, list, optional=False, key=key, source=source)
            value = declared.separator.join(map(str, items)) if items else value
    return read_value(value, wanted, optional=optional, key=key, source=source)


def _nested(key: str) -> str:
    """A dotted key written as nested YAML."""
    *groups, name = key.split(".")
    return "".join(f"{group}: {{" for group in groups) + f"{name}: ..." + "}" * len(groups)
