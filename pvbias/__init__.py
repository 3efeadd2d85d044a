"""pvbias: how much an action recogniser leans on static appearance, and training ones that lean less."""

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

# Threads that spin while they wait take the cores from decoding. OpenMP reads this when torch is loaded, and this is
# the one place that comes before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Not ours to mend, and printed anew by every worker process: fvcore at import, PyTorchVideo's Swish.
warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
warnings.filterwarnings("ignore", message=".*saved_variables.*", category=DeprecationWarning)

if TYPE_CHECKING:
    from .clips import ClipSpec
    from .config import load_cfg
    from .models import Recognizer
    from .run import measure

__all__ = ["ClipSpec", "Recognizer", "__version__", "load_cfg", "measure"]
__version__ = "0.1.0"

#: Where the names above are. They are looked up when they are first asked for: `import pvbias` alone loads no torch.
_HOMES = {"ClipSpec": "clips", "Recognizer": "models", "load_cfg": "config", "measure": "run"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
