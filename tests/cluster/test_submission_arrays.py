"""A measurement as an array of jobs: each has its part, and the results are those of one process."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pvbias.config import load_cfg
from pvbias.errors import ConfigError
from pvbias.run import run_shard
from pvbias.shard import Shard
from pvbias.tools.main import main

MEASURE = ("TRAIN.ENABLE", "False", "TEST.ENABLE", "True", "TEST.BATCH_SIZE", "4")


@pytest.fixture
def at_once(config, tmp_path):
    assert main(["run", "--cfg", str(config), *MEASURE, "OUTPUT_DIR", str(tmp_path / "at_once")]) == 0
    return tmp_path / "at_once"


def assert_same_results(some, others):
    results = [json.loads((Path(folder) / "results.json").read_text())["results"] for folder in (some, others)]
    assert results[0] == results[1]
    predictions = [np.load(Path(folder) / "predictions.npz") for folder in (some, others)]
    for name in predictions[1].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])


def test_without_a_cluster(submit, at_once):
    jobs = submit("parts", *MEASURE, options=["--array", "2", "--cluster", "debug"])
    assert len(jobs) == 3
    assert_same_results(jobs[0].output_dir, at_once)
    assert not (Path(jobs[0].output_dir) / "partial").exists()


def test_a_training_is_one_job(config, capsys):
    assert main(["submit", "--cfg", str(config), "--array", "2", "--cluster", "debug"]) == 2
    assert "--array is for measuring" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="Only a measurement is done in parts"):
        run_shard(load_cfg(config), Shard(0, 2))


def test_on_a_cluster(submit, cluster, config, at_once, tmp_path):
    """The last job waits for the others, also for those that come back from the queue. It does not start where one of
    them was stopped; a run without jobs does what is left."""
    jobs = submit("parts", *MEASURE, options=["--array", "2"])
    assert [re.sub(r"^\d+", "", job.id) for job in jobs] == ["_0", "_1", ""]
    assert cluster.wait_for(jobs[1].id, "RUNNING", "COMPLETED", "FAILED") == "RUNNING"  # only then it can be requeued
    cluster.run("scontrol", "requeue", jobs[1].id)
    for job in jobs:
        state = cluster.wait_for(job.id, "COMPLETED", "FAILED", "CANCELLED", seconds=240)
        assert state == "COMPLETED", f"{job.failure()}\n{job.log()}"
    assert_same_results(jobs[0].output_dir, at_once)

    stopped = submit("stopped", *MEASURE, options=["--array", "2"])
    cluster.run("scancel", stopped[0].id, stopped[1].id)
    assert cluster.wait_for(stopped[2].id, "COMPLETED", "FAILED", "CANCELLED") == "CANCELLED"
    assert main(["run", "--cfg", str(config), *MEASURE, "OUTPUT_DIR", str(tmp_path / "stopped")]) == 0
    assert_same_results(tmp_path / "stopped", at_once)
