"""The configuration: one documented tree (:mod:`.defaults`), loaded with checks, completed from the model, saved with
every run."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .completion import complete, save_cfg
    from .defaults import get_cfg
    from .loading import load_cfg

__all__ = ["complete", "get_cfg", "load_cfg", "save_cfg"]

__getattr__, __dir__ = lazy_names(
    __name__, {"complete": "completion", "get_cfg": "defaults", "load_cfg": "loading", "save_cfg": "completion"}
)
