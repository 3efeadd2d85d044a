"""Describe this installation and this machine: what to paste into a bug report."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence

import torch
from av import codecs_available, library_versions

from pvbias import registries
from pvbias.machine import describe_machine
from pvbias.plugin_loading import load_plugins
from pvbias.versions import PACKAGES, versions


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    argparse.ArgumentParser(prog="pvbias env", description=__doc__).parse_args(argv)
    modules = load_plugins()
    sections: dict[str, dict] = {
        "packages": versions((*PACKAGES, "submitit", "torchcodec")),
        "machine": describe_machine(),
        "decoding": _decoding(),
        "distributed": _distributed(),
        "plugins": {module.__name__: getattr(module, "__file__", "") for module in modules},
        "registered": {what: len(registry.names()) for what, registry in registries.ALL.items()},
    }
    for title, entries in sections.items():
        print(f"[{title}]")
        for name, value in entries.items():
            print(f"  {name}: {value}")
    return 0


def _decoding() -> dict[str, str]:
    libraries = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in library_versions.items())
    codecs = [name for name in ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4") if name in codecs_available]
    return {
        "ffmpeg libraries in PyAV": libraries,
        "decoders": ", ".join(codecs),
        "libx264 encoder (pvbias prepare)": "yes" if "libx264" in codecs_available else "no",
    }


def _distributed() -> dict[str, str]:
    backends = [name for name in ("gloo", "nccl") if torch.distributed.is_backend_available(name)]
    sbatch = shutil.which("sbatch")
    slurm = "not found (no sbatch on PATH)"
    if sbatch:
        answer = subprocess.run([sbatch, "--version"], capture_output=True, text=True, timeout=20, check=False)
        slurm = f"{answer.stdout.strip() or answer.stderr.strip()} ({sbatch})"
    return {"backends": ", ".join(backends), "Slurm": slurm}
