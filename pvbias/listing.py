"""Listing of registered names and configuration keys, as plain values, cached between processes.

To know it, everything has to be imported, torch and the model zoos among it, which takes seconds. What was found is
kept for as long as the installation does not change (:mod:`.installation`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .installation import Kept, entry_points

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
    kept = Kept("listing")
    if (known := kept.read()) is not None:
        return known
    found = _look(plugins)
    if not found["incomplete"]:
        kept.write(_without_mark(found))
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
    found["incomplete"] = not {point.module for point in entry_points()} <= found["modules"].keys()
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
