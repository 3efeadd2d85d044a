"""What several test files share: small videos, and one CPU thread and no GPU so that runs are the same everywhere."""

import os
import subprocess
import sys

# Before torch is imported, so that child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
#: What CUDA_VISIBLE_DEVICES was before, or "all".
HIDDEN_GPUS = "PVBIAS_TEST_HIDDEN_GPUS"
#: Set in the process of a test that is marked ``gpu``.
SHOWN_GPUS = "PVBIAS_TEST_SHOWN_GPUS"
if SHOWN_GPUS not in os.environ:
    os.environ.setdefault(HIDDEN_GPUS, os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Triton's kernels run on the CPU, in its interpreter: Triton looks when it is imported, which torch does.
    os.environ["TRITON_INTERPRET"] = "1"

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pvbias.plugin_loading import load_plugins


def write_video(path: Path, frames: np.ndarray, *, fps: int = 30, codec: str = "mpeg4", gop: int = 12) -> Path:
    """Write uint8 RGB frames ``(T, H, W, 3)`` to a video file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, fps)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def moving_bar(*, direction: int, seed: int, frames: int = 20, size: int = 48) -> np.ndarray:
    """A bright bar that drifts left (-1) or right (1) over a coloured background."""
    generator = np.random.default_rng(seed)
    clip = np.empty((frames, size, size, 3), np.uint8)
    clip[:] = generator.integers(0, 120, 3)
    start = int(generator.integers(size))
    for index in range(frames):
        columns = (start + direction * 2 * index + np.arange(6)) % size
        clip[index][:, columns] = 230
    return clip


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a test that is marked ``gpu`` in a process of its own, which sees the GPUs: CUDA looks once."""
    if pyfuncitem.get_closest_marker("gpu") is None or SHOWN_GPUS in os.environ:
        return None
    environment = os.environ | {SHOWN_GPUS: "1", "CUDA_VISIBLE_DEVICES": os.environ[HIDDEN_GPUS]}
    del environment["TRITON_INTERPRET"]
    if environment["CUDA_VISIBLE_DEVICES"] == "all":
        del environment["CUDA_VISIBLE_DEVICES"]
    gpus = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    if subprocess.run([sys.executable, "-c", gpus], env=environment, capture_output=True, check=False).returncode:
        pytest.skip("no GPU")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", pyfuncitem.nodeid]
    root = pyfuncitem.config.rootpath
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
    return True


@pytest.fixture(scope="session", autouse=True)
def plugins():
    """Registries are full whichever tests ran before, also those that put others in their place for a while."""
    load_plugins()


@pytest.fixture(autouse=True)
def seeded():
    """Random weights and clips are the same whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bar_videos(tmp_path_factory):
    """A folder with ``train/`` and ``test/``, each with 2 classes, as folders and as CSV files."""
    root = tmp_path_factory.mktemp("bars")
    for split, count in (("train", 6), ("test", 4)):
        lines = []
        for label, (name, direction) in enumerate((("left", -1), ("right", 1))):
            for index in range(count):
                seed = 1000 * label + index + (500 if split == "test" else 0)
                path = write_video(root / split / name / f"{index}.mp4", moving_bar(direction=direction, seed=seed))
                lines.append(f"{path.relative_to(root)} {label}\n")
        (root / f"{split}.csv").write_text("".join(lines))
    return root
