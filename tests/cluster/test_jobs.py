"""Jobs on a real cluster: what fails is said, sweeps, submission from within a job."""

import csv
import pickle
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from pvbias.cluster import Job, find_jobs
from pvbias.tools.main import main

from .conftest import log_of


@pytest.mark.parametrize(
    ("log", "progress"),
    [
        (b"", (0, "")),
        (b"pvbias: attempt 1\nstep\n  \n\n", (1, "step")),
        (b"pvbias: attempt 1\nstopped at pvbias: attempt\npvbias: attempt 2\n 10 %\r 20 %\r  \r", (2, "20 %")),
        (b"100 %\rpvbias: attempt 3 of \xe9\xff", (1, "pvbias: attempt 3 of \ufffd\ufffd")),
    ],
)
def test_progress_is_the_number_of_attempts_and_the_last_line(log, progress, tmp_path):
    job = Job(id="7", cluster="slurm", name="", folder=str(tmp_path), output_dir=str(tmp_path), tasks=1)
    assert job.progress() == (0, "")
    (tmp_path / "7_0_log.out").write_bytes(log)
    assert job.progress() == progress
    assert job.attempts == progress[0]


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({}, "UNKNOWN"),
        ({0: "success"}, "UNKNOWN"),
        ({0: "success", 1: "success"}, "COMPLETED"),
        ({0: "success", 1: "error"}, "FAILED"),
        ({1: "error"}, "FAILED"),
    ],
)
def test_a_job_that_slurm_has_forgotten_is_completed_when_all_its_processes_are(outcomes, state, tmp_path):
    job = Job(id="7", cluster="slurm", name="", folder=str(tmp_path), output_dir=str(tmp_path), tasks=2)
    for rank, outcome in outcomes.items():
        (tmp_path / f"7_{rank}_result.pkl").write_bytes(pickle.dumps((outcome, None)))
    assert job.state({}) == state
    assert job.state({"7": "RUNNING"}) == "RUNNING"


def test_processes_that_die_or_fail_are_named(submit, cluster, config, tmp_path, capsys):
    two = ("SLURM.TASKS_PER_NODE", 2, "BRAKE.BAD_RANK", 1)
    (killed,) = submit("killed", *two)
    capsys.readouterr()
    code = main(["submit", "--cfg", str(config), *map(str, two), "BRAKE.HOW", "raises", "OUTPUT_DIR",
                 str(tmp_path / "raising"), "--wait"])  # fmt: skip
    assert code == 6
    error = capsys.readouterr().err
    assert "is FAILED, attempt 1.\nprocess 1: DataError: this process cannot go on\n" in error

    cluster.wait_for(killed.id, "FAILED")
    # What became of process 0 is a consequence, and comes later.
    assert killed.failure().startswith("process 1 on 127.0.0.11: Killed\n")
    assert main(["jobs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:4] for line in lines[1:]] == [["killed", "FAILED", "1"], ["raising", "FAILED", "1"]]
    assert "process 1 on 127.0.0.11: Killed" in lines[1]


def test_a_setup_that_fails_ends_the_job(cluster, config, tmp_path, capsys):
    for setup, message in (
        ("['export A=1', 'no_such_command --now']", "SLURM.SETUP: no_such_command --now: failed with status 127"),
        ("['exit 0']", "SLURM.SETUP: ended the job with status 0"),
    ):
        keys = ["SLURM.SETUP", setup, "OUTPUT_DIR", str(tmp_path / "run")]
        assert main(["submit", "--cfg", str(config), *keys, "--wait"]) == 6
        error = capsys.readouterr().err
        assert "is FAILED, attempt 0." in error
        assert message in error
        assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_sweep_from_within_a_job(cluster, config, tmp_path, capsys):
    out = tmp_path / "sweep"
    sweep = ["--sweep", "SOLVER.BASE_LR=0.05", "RNG_SEED=0,1", "--parallel", "1", "--wait"]
    program = "import sys; from pvbias.tools.main import main; sys.exit(main(sys.argv[1:]))"
    keys = ["TEST.ENABLE", "True", "SOLVER.MAX_EPOCH", "1.0", "BRAKE.SECONDS", "0.2", "OUTPUT_DIR"]
    inner = shlex.join([sys.executable, "-c", program, "submit", "--cfg", str(config), *keys, str(out), *sweep])
    log = tmp_path / "outer.txt"
    # The outer job's own request must not become the inner ones'.
    outer = cluster.run("sbatch", "--parsable", "--ntasks=3", "--gpus-per-node=1", f"--output={log}", f"--wrap={inner}")
    state = cluster.wait_for(outer, "COMPLETED", "FAILED", seconds=300)
    assert state == "COMPLETED", log.read_text()

    jobs = find_jobs(out)
    assert [job.id.split("_")[1] for job in jobs] == ["0", "1"]
    times = []
    for job in jobs:
        lines = log_of(job.output_dir)
        assert len(lines) == 8
        assert {line["lr"] for line in lines[:1]} == {float(job.swept["SOLVER.BASE_LR"])}
        config_used = yaml.safe_load((Path(job.output_dir) / "config.yaml").read_text())
        assert config_used["RNG_SEED"] == int(job.swept["RNG_SEED"])
        shown = cluster.run("scontrol", "show", "job", job.id)
        assert "NumTasks=1 " in shown
        assert "gpu" not in shown
        times += [_field(shown, "StartTime"), _field(shown, "EndTime")]
    assert times == sorted(times), "one at a time"

    capsys.readouterr()
    assert main(["jobs", str(out), "--table"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:2] == ["SOLVER.BASE_LR", "RNG_SEED"]
    assert [line.split()[:2] for line in table[1:3]] == [["0.05", "0"], ["0.05", "1"]]
    with (out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["accuracy top1 video original"]) <= 100 for row in rows)
    assert table[0] in log.read_text()  # --wait shows it, too


def test_a_folder_that_is_not_shared(submit, cluster, config, capsys):
    if cluster.hidden is None:
        pytest.skip("no mounts of one's own here: a node cannot be made to see another folder")
    first, last = cluster.nodes[0], cluster.nodes[-1]
    keys = [
        "SLURM.NODES",
        "2",
        "SLURM.SBATCH",
        f"['nodelist={first},{last}']",
        "OUTPUT_DIR",
        str(cluster.hidden / "run"),
    ]
    assert main(["submit", "--cfg", str(config), *keys, "--wait"]) == 6
    assert f"is not shared with the machine {last}: choose an OUTPUT_DIR" in capsys.readouterr().err
    # Alone on the node that does not see it: there is nobody to say so but the one who waits.
    keys = ["SLURM.SBATCH", f"['nodelist={last}']", "OUTPUT_DIR", str(cluster.hidden / "other")]
    assert main(["submit", "--cfg", str(config), *keys, "--wait"]) == 6
    assert "It left no log." in capsys.readouterr().err


def _field(text, name):
    return text.split(f"{name}=")[1].split()[0]
