"""Describe this installation and this machine: what to paste into a bug report."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence

from av import codecs_available, library_versions

from pvbias.hardware import backends, cpu_features, describe_machine
from pvbias.known_issues import known_issues
from pvbias.listing import find_listing
from pvbias.registries import ALL
from pvbias.versions import PACKAGES, versions


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    argparse.ArgumentParser(prog="pvbias env", description=__doc__).parse_args(argv)
    listing = find_listing()
    packages, machine = versions((*PACKAGES, "submitit", "torchcodec")), describe_machine()
    sections: dict[str, dict] = {
        "packages": packages,
        "machine": machine,
        "known issues": _known_issues(packages["torch"], has_gpu=machine["GPUs"] != "none"),
        "decoding": _decoding(),
        "distributed": _distributed(),
        "plugins": listing["modules"],
        "registered": {what: len(listing[what]) for what in ALL},
    }
    for title, entries in sections.items():
        print(f"[{title}]")
        for name, value in entries.items():
            print(f"  {name}: {value}")
    return 0


def _known_issues(torch_version: str, *, has_gpu: bool) -> dict[str, str]:
    """By device and precision."""
    cudnn = None
    if has_gpu:
        from pvbias.machine import cudnn_version  # and with it torch, which has been asked for the GPUs already

        cudnn = cudnn_version()
    found = {}
    for device in ("cuda", "cpu") if has_gpu else ("cpu",):
        for number, issue in enumerate(
            known_issues(device, torch=torch_version, cudnn=cudnn, features=cpu_features()), start=1
        ):
            avoided = " pvbias avoids it." if issue.handled else ""
            found[f"{device} {number}, {'/'.join(issue.precisions)}"] = f"{issue}{avoided}"
    return found or {"known of this torch on this machine": "none"}


def _decoding() -> dict[str, str]:
    libraries = ", ".join(f"{name} {'.'.join(map(str, number))}" for name, number in library_versions.items())
    codecs = [name for name in ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4") if name in codecs_available]
    return {
        "ffmpeg libraries in PyAV": libraries,
        "decoders": ", ".join(codecs),
        "libx264 encoder (pvbias prepare)": "yes" if "libx264" in codecs_available else "no",
    }


def _distributed() -> dict[str, str]:
    sbatch = shutil.which("sbatch")
    slurm = "not found (no sbatch on PATH)"
    if sbatch:
        answer = subprocess.run([sbatch, "--version"], capture_output=True, text=True, timeout=20, check=False)
        slurm = f"{answer.stdout.strip() or answer.stderr.strip()} ({sbatch})"
    return {"backends": ", ".join(backends()), "Slurm": slurm}
