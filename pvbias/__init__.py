"""pvbias: measuring how much an action recogniser leans on static appearance, and training ones that lean less."""

import os
import warnings
from typing import TYPE_CHECKING

from .lazy import lazy_names

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

# Looked up when they are first asked for: `import pvbias` alone loads no torch.
__getattr__, __dir__ = lazy_names(
    __name__, {"ClipSpec": "clips", "Recognizer": "models", "load_cfg": "config", "measure": "run"}
)
