"""The configuration: one documented tree (:mod:`.defaults`), loaded with checks, completed from the model, saved with
every run."""

from .completion import complete, save_cfg
from .defaults import get_cfg
from .loading import load_cfg

__all__ = ["complete", "get_cfg", "load_cfg", "save_cfg"]
