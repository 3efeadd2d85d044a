"""pvbias: how much an action recogniser leans on static appearance, and training ones that lean less."""

import os
import warnings

# Threads that spin while they wait take the cores from decoding. OpenMP reads this when torch is loaded, and this is
# the one place that comes before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Not ours to mend, and printed anew by every worker process: fvcore at import, PyTorchVideo's Swish.
warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
warnings.filterwarnings("ignore", message=".*saved_variables.*", category=DeprecationWarning)

__version__ = "0.1.0"
