"""Loading of plugins, each of them completely or not at all."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from types import ModuleType

from . import registries
from .errors import ConfigError

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "pvbias.plugins"

#: The core's own packages that register things.
_CORE = ("pvbias.clips", "pvbias.data", "pvbias.engine", "pvbias.evaluation", "pvbias.report")


def load_plugins(names: Sequence[str] = ()) -> list[ModuleType]:
    """Import the core's own entries, the plugins that installed packages announce, and those named.

    A plugin that fails to import leaves nothing behind in the registries. An announced one that fails is reported as
    a warning and left out, so that one broken package does not take all runs with it; one that the user named is an
    error.

    Args:
        names: dotted module names, as in the configuration's ``PLUGINS``.

    Returns:
        The imported modules, each once.

    Raises:
        ConfigError: a named plugin cannot be imported; the message says why.
    """
    for core_package in _CORE:
        importlib.import_module(core_package)
    modules: dict[str, ModuleType] = {}
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            modules[entry_point.module] = _import_whole(entry_point.module)
        except _PluginImportError as error:
            logger.warning("Plugin %s, announced by an installed package, is left out: %s", entry_point.module, error)
    for name in names:
        if name in modules:
            continue
        try:
            modules[name] = _import_whole(name)
        except _PluginImportError as error:
            raise ConfigError(
                f"PLUGINS: {name!r} cannot be imported: {error}. "
                "Give the dotted name of an importable Python module, and check that its package is installed, or that "
                "the folder it lies in is on PYTHONPATH (the current folder is not by itself)."
            ) from error
    return list(modules.values())


class _PluginImportError(Exception):
    """A plugin cannot be imported; why, in one line."""


def _import_whole(name: str) -> ModuleType:
    """Import a module; on failure, take back what it registered and forget its half-imported parts."""
    if name in sys.modules:
        return sys.modules[name]
    before = set(sys.modules)
    undo = [registry.snapshot() for registry in registries.ALL.values()]
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever a plugin's module body raises, not only ImportError
        undone = {origin for restore in undo for origin in restore()}
        for module in set(sys.modules) - before:
            # What registered something has to run again when the plugin is tried again.
            if module == name or module.startswith(name + ".") or module in undone:
                del sys.modules[module]
        raise _PluginImportError(f"{type(error).__name__}: {error}") from error
