"""A cluster for the tests of this folder, and small runs for it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pvbias.cluster import find_jobs
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.registries import ALL
from pvbias.tools.main import main

from ..plugins.decoupled_videos.test_mnist import idx, write_mnist
from .slurm import Cluster, missing

CONFIG = """
PLUGINS: [braked]
MODEL: {MODEL_NAME: braked_net}
OBJECTIVE: {NAME: Braked}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 4}
TEST: {DATASET: brush_mnist, ENABLE: False, NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}
BIAS: {ENABLE: False}
DECOUPLED: {SIZE: 16, FRAMES: 8, TRAIN_VIDEOS: 32, TEST_VIDEOS: 10, LABEL: motion, MNIST_DIR: {digits}}
DATA: {TRAIN_JITTER_SCALES: [16, 20], RANDOM_FLIP: False}
DATA_LOADER: {NUM_WORKERS: 0}
SOLVER: {MAX_EPOCH: 3.0, BASE_LR: 0.05}
LOG_PERIOD: 1
TENSORBOARD: {ENABLE: False}
OUTPUT_DIR: {out}
SLURM: {GPUS_PER_NODE: 0, TIME: "20"}
"""

#: Steps of such a run.
STEPS = 24


@pytest.fixture(scope="session")
def _running():
    reason = missing()
    if reason:
        pytest.skip(f"needs Slurm: {reason}")
    # The nodes have more CPUs than the machine: jobs of tests mostly wait.
    running = Cluster(nodes=3, abrupt=4, cpus=16, gpus=2)
    yield running
    running.stop()


@pytest.fixture
def cluster(_running, environment, monkeypatch):
    for name, value in _running.environment.items():
        monkeypatch.setenv(name, value)
    return _running


@pytest.fixture
def environment(monkeypatch):
    """The plugin of this folder is found, also by jobs; what it registers goes with the test."""
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    load_plugins()
    undo = [registry.snapshot() for registry in ALL.values()]
    yield
    for restore in undo:
        restore()
    sys.modules.pop("braked", None)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("mnist"))


def write_digits(folder):
    """Scikit-learn's digits in MNIST's files: without them each job would import scikit-learn for seconds."""
    train, test = load_digits("", "train"), load_digits("", "test")
    train_and_val = [np.resize(array, (5010, *array.shape[1:])) for array in (train.images, train.labels)]
    return write_mnist(
        folder,
        zipped=False,
        train_images=idx(2051, train_and_val[0]),
        train_labels=idx(2049, train_and_val[1].astype(np.uint8)),
        test_images=idx(2051, test.images),
        test_labels=idx(2049, test.labels.astype(np.uint8)),
    )


@pytest.fixture
def config(tmp_path, environment, digits):
    return write_config(tmp_path, digits)


def write_config(folder, digits):
    path = folder / "run.yaml"
    path.write_text(CONFIG.replace("{out}", str(folder / "run")).replace("{digits}", digits))
    return path


@pytest.fixture
def submit(config, tmp_path):
    """``submit(name, key, value, ..., options=())`` submits a run and gives its jobs; to ``tmp_path / name``."""

    def submit(name, *overrides, options=()):
        keys = [str(text) for text in (*overrides, "OUTPUT_DIR", tmp_path / name)]
        assert main(["submit", "--cfg", str(config), *keys, *options]) == 0
        return find_jobs(tmp_path / name)

    return submit


def log_of(output_dir):
    """The lines of ``train_log.jsonl`` that say something of the training, without times."""
    times = ("data_seconds", "compute_seconds", "eta_seconds")
    path = Path(output_dir) / "train_log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        {name: value for name, value in line.items() if name not in times} for line in lines if line["kind"] == "train"
    ]
