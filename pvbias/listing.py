"""Listing of registered names and configuration keys, as plain values, cached between processes.

To know it, everything has to be imported, torch and the model zoos among it, which takes seconds. What was found is
kept in a file of the user's cache folder (``$XDG_CACHE_HOME/pvbias`` or ``~/.cache/pvbias``) for as long as nothing has
changed that it comes from: no source file of pvbias or of the packages of announced plugins, and no version of an
installed package.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .files import write_atomically
from .plugin_loading import ENTRY_POINT_GROUP

logger = logging.getLogger(__name__)

#: Listings that are kept, of as many installations.
_KEPT = 8

Listing = dict[str, Any]


def find_listing(plugins: Sequence[str] = ()) -> Listing:
    """List everything that is registered, and every configuration key.

    ::

        {registry: [[name, what it is, dotted name of the module it is from], ...], ...,   # names as in registries.ALL
         "models": [{"name", "zoo", "from", "frames x rate", "train / test crop", "weights"}, ...],
         "modulations": [[name, its label, what it is, [a parameter, ...], module], ...],
         "keys":   [[key, default, unit, range, meaning], ...],
         "modules": {dotted name of a plugin: its file}}

    Args:
        plugins: further plugins to import, dotted names; what is found with them is not kept.
    """
    if plugins or _imported():
        return _without_mark(_look(plugins))
    file = _cache_folder() / f"listing-{_state()}.json"
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_bytes())
    found = _look(plugins)
    if not found["incomplete"]:
        _keep(file, _without_mark(found))
    return _without_mark(found)


def _imported() -> bool:
    """Whether torch is imported already, so that making a listing takes no time."""
    return "torch" in sys.modules


def _without_mark(found: Listing) -> Listing:
    return {what: entries for what, entries in found.items() if what != "incomplete"}


def _look(plugins: Sequence[str]) -> Listing:
    """Make the listing, importing everything."""
    from .clips.modulations import describe_parameters, modulation_label
    from .config import get_cfg
    from .config.effects import flat
    from .config.keys import DECLARED
    from .plugin_loading import load_plugins
    from .registries import ALL, MODEL, MODEL_FAMILY, MODULATION

    modules = load_plugins(plugins)
    cfg = get_cfg()
    for module in modules:
        if hasattr(module, "add_config"):
            module.add_config(cfg)
    keys = [_key(key, default) for key, default in flat(cfg)]
    general = {key for key, _ in flat(cfg)}
    for name, family in MODEL_FAMILY:
        own = get_cfg()
        family.add_config(own)
        with_family = [_key(key, default, f"(MODEL.MODEL_NAME {name})") for key, default in flat(own)]
        keys += [entry for entry in with_family if entry[0] in DECLARED and entry[0] not in general]
    found: Listing = {
        what: [[name, _summary(thing), registry.origin(name)] for name, thing in registry]
        for what, registry in ALL.items()
    }
    found["modulations"] = [
        [name, modulation_label(name), _summary(thing), describe_parameters(thing), MODULATION.origin(name)]
        for name, thing in MODULATION
    ]
    found["models"] = [_model(name, model, MODEL.origin(name)) for name, model in MODEL]
    found["keys"] = keys
    found["modules"] = {module.__name__: getattr(module, "__file__", "") for module in modules}
    found["incomplete"] = not {point.module for point in _entry_points()} <= found["modules"].keys()
    return found


def _key(key: str, default: Any, note: str = "") -> list[str]:
    """A key of the configuration: its name, default, unit, range, and what it says, with a note before that."""
    from .config.keys import DECLARED

    known = DECLARED.get(key)
    if known is None:
        return [key, repr(default), "", "", note]
    return [key, repr(default), known.unit, known.rule.short, f"{note} {known.about}".strip()]


def _model(name: str, model: Any, origin: str) -> dict[str, str]:
    spec = model.clip_spec
    return {
        "name": name,
        "zoo": model.zoo,
        "from": origin,
        "frames x rate": f"{spec.num_frames} x {spec.sampling_rate}",
        "train / test crop": f"{spec.crop_size} / {spec.test_crop_size}",
        "weights": "\n".join(
            weights + (f" ({entry.top1})" if entry.top1 else "") for weights, entry in model.weights.items()
        ),
    }


def _summary(thing: object) -> str:
    """How the object describes itself, or the first sentence of its docstring."""
    if isinstance(described := getattr(thing, "description", None), str) and described:
        return described
    text = (getattr(getattr(thing, "configure", thing), "__doc__", "") or "").strip().split("\n\n")[0]
    return " ".join(text.split())


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)


def _state() -> str:
    """A fingerprint of the installation."""
    digest = hashlib.sha256(repr((__version__, sys.version, sys.prefix)).encode())
    for point in _entry_points():
        digest.update(repr((point.name, point.value)).encode())
    digest.update(repr(sorted(_installed())).encode(errors="surrogateescape"))
    for path, status in _sources():
        digest.update(repr((path, status.st_mtime_ns, status.st_size)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def _installed() -> Iterator[str]:
    """The folders whose times tell which packages are installed, in which versions."""
    for place in sys.path:
        with contextlib.suppress(OSError):
            yield from (name for name in os.listdir(place or ".") if name.endswith((".dist-info", ".egg-info")))


def _sources() -> Iterator[tuple[str, os.stat_result]]:
    """The source files of pvbias and of the packages that announced plugins are in."""
    folders = set()
    for module in ("pvbias", *(point.module for point in _entry_points())):
        name = module if module.startswith("pvbias.") else module.partition(".")[0]
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or []) if spec else []:
            folders.add(place)
        if spec is not None and spec.origin and not spec.submodule_search_locations:
            yield spec.origin, os.stat(spec.origin)
    for folder in sorted(folders):
        for root, _, files in os.walk(folder):
            for name in sorted(files):
                if name.endswith(".py"):
                    path = os.path.join(root, name)
                    yield path, os.stat(path)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvbias"


def _keep(file: Path, found: Listing) -> None:
    """Write a listing to the cache, in place of older ones."""
    try:
        write_atomically(file, json.dumps(found).encode())
        for other in sorted(file.parent.glob("listing-*.json"), key=lambda path: -path.stat().st_mtime)[_KEPT:]:
            other.unlink(missing_ok=True)
    except OSError as error:  # a home that cannot be written to
        logger.debug("The listing is not kept in %s: %s", file.parent, error)
