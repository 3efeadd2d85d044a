"""The example plugin away from this repository: installed with pip, it passes its own tests and runs its configuration,
and pvbias knows nothing of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with a copy of the example's tests and configuration, and the package installed in ``site``."""
    folder = tmp_path_factory.mktemp("elsewhere")
    copy = folder / "example_plugin"
    shutil.copytree(ROOT / "projects" / "example_plugin", copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    python(folder, "-m", "pip", "install", *options, str(copy))
    # What is imported is what was installed.
    for left in [copy / "pvbias_example", *copy.glob("build"), *copy.glob("*.egg-info")]:
        shutil.rmtree(left)
    return folder


def python(folder, *arguments):
    """Run Python in the folder, with its ``site`` on the path."""
    environment = os.environ | {"PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_its_own_tests_pass(elsewhere):
    report = python(elsewhere, "-m", "pytest", "-q", "-p", "no:cacheprovider", "example_plugin/tests")
    assert " passed" in report
    assert "skipped" not in report


def test_its_configuration_runs_from_the_command_line(elsewhere):
    command = ["run", "--cfg", "example_plugin/config.yaml", "OUTPUT_DIR", "run"]
    shorter = ["DECOUPLED.TRAIN_VIDEOS", "32", "DECOUPLED.TEST_VIDEOS", "8", "SOLVER.MAX_EPOCH", "1.0"]
    python(elsewhere, "-m", "pvbias.tools.main", *command, *shorter)
    document = json.loads((elsewhere / "run" / "results.json").read_text())
    assert document["run"]["model"] == "frames_attention"
    measured = {"accuracy", "confidence", "modulated_accuracy", "dynamic_score"}
    assert set(document["results"]) == {*measured, "training"}  # and its curves
    logged = (elsewhere / "run" / "train_log.jsonl").read_text().splitlines()
    assert "agreement" in logged[-1]
    assert "confidence" in (elsewhere / "run" / "report.html").read_text()


def test_pvbias_does_not_name_it():
    for folder in ("pvbias", "plugins", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "pvbias_example" not in path.read_text(encoding="utf-8"), path
    assert "pvbias_example" not in (ROOT / "setup.py").read_text(encoding="utf-8")
