"""pvbias: how much an action recogniser leans on static appearance, and training ones that lean less."""

import os

# Threads that spin while they wait take the cores from decoding. OpenMP reads this when torch is loaded, and this is
# the one place that comes before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
