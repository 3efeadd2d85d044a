"""Time decoding, generating, measuring and training on this machine, each beside its alternatives in one run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from pvbias.errors import did_you_mean

PROGRAMS = {
    "decode": "clips per second, beside torchcodec, decord and a plain PyAV loop",
    "measure": "four variants in one pass, beside four passes and beside the forwards alone",
    "generate": "making BrushMNIST and Places+Faces+MNIST clips, beside the plain way of doing it",
    "flow": "estimators of optical flow: how fast, how exact",
    "train": "a training step: objectives, memory formats, precisions; beside a loop in plain PyTorch",
    "gpu": "five models on a GPU beside a loop in plain PyTorch, and what is expected; one command",
    "scale": "growth of time and memory: bad files, views, videos, classes, lines of a list, an hour of video",
}


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__, "\n\nusage: pvbias benchmark PROGRAM ...\n", sep="")
        for name, text in PROGRAMS.items():
            print(f"  {name:8} {text}")
        return 0 if argv else 2
    name, *rest = argv
    if name not in PROGRAMS:
        print(f"pvbias benchmark: no program {name!r}. {did_you_mean(name, PROGRAMS)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"pvbias.tools.benchmark_{name}").main(rest)


if __name__ == "__main__":
    from pvbias.tools.main import guard

    sys.exit(guard(main, sys.argv[1:]))
