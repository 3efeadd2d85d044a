"""The configuration keys of the core, with their meaning, unit, range and default (`pvbias list keys`).

Where SlowFast has a key for the same thing, the name is SlowFast's. ``None`` means "as the model was trained" (or, for
the student, "as the recognizer is") and is replaced by that value when the configuration is completed
(:func:`pvbias.config.complete`), so a saved configuration has none left. A plugin adds its own keys with a function
``add_config(cfg)``, by :func:`.declare`.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode

from . import general_keys, measuring_keys, training_keys

_C = CfgNode()
for keys in (general_keys, training_keys, measuring_keys):
    keys.add_keys(_C)


def get_cfg() -> CfgNode:
    """A fresh copy of the default configuration of the core."""
    return _C.clone()
