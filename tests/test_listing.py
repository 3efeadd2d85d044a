"""What is registered is remembered, and the programs that only say something do not wait for torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pvbias import installation, listing
from pvbias.cluster import Job

PROGRAM = """
import sys
from pvbias.tools.main import main
try:
    code = main({arguments!r})
except SystemExit as stopped:
    code = stopped.code
heavy = sorted({{"torch", "torchvision", "matplotlib", "skimage", "sklearn"}} & set(sys.modules))
print("\\nheavy:", *heavy, file=sys.stderr)
sys.exit(code)
"""


def run(arguments, cache):
    """Output of a command in a process of its own, and what heavy modules it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout, done.stderr.rsplit("heavy:", 1)[1].split()


@pytest.mark.parametrize("command", ["measure", "run", "submit", "jobs", "compare", "list", "env", "benchmark"])
def test_help_imports_nothing_heavy(command, tmp_path):
    text, heavy = run([command, "--help"], tmp_path)

    assert f"usage: pvbias {command}" in text
    assert heavy == []


def test_a_list_of_jobs_imports_nothing_heavy(tmp_path):
    """It is for login nodes, and may be asked for every few seconds."""
    folder = tmp_path / "run" / "jobs"
    folder.mkdir(parents=True)
    Job(id="1", cluster="debug", name="run", folder=str(folder), output_dir=str(tmp_path / "run"), tasks=1).write()
    (folder / "1_0_log.out").write_text("pvbias: attempt 1 on a\nepoch 3 of 8\n")
    text, heavy = run(["jobs", str(tmp_path / "run")], tmp_path)
    assert text.splitlines()[-1].split() == ["1", "run", "COMPLETED", "1", "epoch", "3", "of", "8"]
    assert heavy == []


def test_what_is_registered_is_imported_once_and_then_remembered(tmp_path):
    first, heavy = run(["list", "models"], tmp_path)
    assert "torch" in heavy

    again, heavy = run(["list", "models"], tmp_path)
    assert heavy == []
    assert again == first
    assert "zoo://ZOO/NAME/WEIGHTS" in first

    keys, heavy = run(["list", "keys"], tmp_path)
    assert heavy == []
    assert "DATA.NUM_FRAMES: None  (frames, >= 1)\n    Frames in a clip. None: the model's.\n" in keys

    machine, heavy = run(["env"], tmp_path)
    assert heavy == [] or "GPUs: none" not in machine
    assert "pvbias.plugins.drl: " in machine


def test_a_job_is_submitted_without_torch(tmp_path):
    """Once it has been imported to check a configuration, others do without."""
    (tmp_path / "test.csv").write_text("a.mp4 0\n")
    (tmp_path / "my.yaml").write_text(
        f"DATA: {{TEST_SPLIT: {tmp_path}/test.csv}}\nOUTPUT_DIR: {tmp_path}/out\nTRAIN: {{ENABLE: false, "
        "CHECKPOINT_FILE_PATH: zoo://pytorchvideo/x3d_s/kinetics400}\nMODEL: {MODEL_NAME: x3d_s}\n"
    )
    arguments = [
        "submit",
        "--cfg",
        f"{tmp_path}/my.yaml",
        "--cluster",
        "local",
        "--dry-run",
        "SLURM.GPUS_PER_NODE",
        "0",
    ]
    first, heavy = run(arguments, tmp_path)
    assert "torch" in heavy

    again, heavy = run(arguments, tmp_path)
    assert (again, heavy) == (first, [])
    assert f"OUTPUT_DIR: {tmp_path}/out\n" in first
    other, heavy = run([*arguments, "--array", "4", "DRL.LAMBDA", "0.25", "SLURM.TIME", "90"], tmp_path)
    assert (other.count("LAMBDA: 0.25\n"), heavy) == (1, [])


def announce(folder, source="x = 1\n", version="1.0"):
    """An installed package that announces a plugin."""
    info = folder / f"toy-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toy\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[pvbias.plugins]\ntoy = toy_lab.plugin\n")
    (folder / "toy_lab").mkdir(exist_ok=True)
    (folder / "toy_lab" / "__init__.py").touch()
    (folder / "toy_lab" / "plugin.py").write_text("import toy_lab.helpers\n")
    (folder / "toy_lab" / "helpers.py").write_text(source)


def test_a_change_of_any_source_or_package_is_another_state(tmp_path, monkeypatch):
    before = installation.state()
    assert installation.state() == before

    monkeypatch.syspath_prepend(tmp_path)
    announce(tmp_path)
    installed = installation.state()
    announce(tmp_path, source="x = 2  # what the plugin registers may depend on it\n")
    changed = installation.state()
    (tmp_path / "other-2.0.dist-info").mkdir()
    updated = installation.state()

    assert len({before, installed, changed, updated}) == 4


def remembered(folder):
    return sorted(Path(folder, "pvbias").glob("*"))


def test_what_cannot_be_kept_is_found_anew(tmp_path, monkeypatch):
    """A home that cannot be written to, a file that is broken, and a plugin that does not import."""
    monkeypatch.setattr(listing, "_imported", lambda: False)
    monkeypatch.setattr(installation, "state", lambda: "state")
    looks = []

    def look(plugins):
        looks.append(plugins)
        return {"models": [], "incomplete": len(looks) == 1}

    monkeypatch.setattr(listing, "_look", look)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert listing.find_listing() == {"models": []}
    assert remembered(tmp_path) == []  # incomplete
    listing.find_listing()
    (kept,) = remembered(tmp_path)
    assert json.loads(kept.read_text()) == {"models": []}
    listing.find_listing()
    assert len(looks) == 2
    listing.find_listing(["my_lab.plugin"])
    assert looks[2:] == [["my_lab.plugin"]]

    kept.write_text("{")
    assert listing.find_listing() == {"models": []}
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert listing.find_listing() == {"models": []}
    assert len(looks) == 5
