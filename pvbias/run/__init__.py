"""The main job: train a model, test it, measure its bias, write the report, as a configuration says."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .job import measure, run, run_shard
    from .log import kept_log

__all__ = ["kept_log", "measure", "run", "run_shard"]

# Who needs the log alone does not wait for torch.
__getattr__, __dir__ = lazy_names(__name__, {"measure": "job", "run": "job", "run_shard": "job", "kept_log": "log"})
