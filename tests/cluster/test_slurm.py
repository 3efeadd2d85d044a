"""States of jobs in Slurm's words, with programs in its place that say them."""

import os
import stat

import pytest

from pvbias.cluster import Job
from pvbias.cluster.slurm import FINAL, Partition, partitions
from pvbias.errors import ClusterError
from pvbias.tools.main import main
from pvbias.tools.submit import wait


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Put a squeue and a sacct first on PATH; called with what each prints, by its name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def says(**lines):
        for program in ("squeue", "sacct"):
            file = folder / program
            file.write_text(f"#!/bin/sh\ncat <<'END'\n{lines.get(program, '')}\nEND\n".replace("\n\nEND", "\nEND"))
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return says


@pytest.fixture
def job(tmp_path):
    """A submitted job whose first attempt has left a line."""
    (tmp_path / "run" / "jobs").mkdir(parents=True)
    job = Job(
        id="123",
        cluster="slurm",
        name="run",
        folder=str(tmp_path / "run" / "jobs"),
        output_dir=str(tmp_path / "run"),
        tasks=1,
    )
    job.write()
    (tmp_path / "run" / "jobs" / "123_0_log.out").write_text("pvbias: attempt 1 on a\nepoch 3 of 8\n")
    return job


@pytest.mark.parametrize("state", sorted(FINAL))
def test_waiting_ends_in_every_final_state(state, says, job, capsys):
    says(sacct=f"123|{state}", squeue="")
    if state == "COMPLETED":
        return wait([job])
    with pytest.raises(ClusterError, match=rf"Job 123 .* is {state}, attempt 1\."):
        wait([job])
    assert main(["jobs", job.output_dir]) == 0
    printed = capsys.readouterr().out
    assert state in printed
    if state not in ("FAILED", "REVOKED"):
        assert "Submitting again" in printed
    return None


def test_a_job_that_is_back_in_the_queue_is_not_over(says, job, capsys):
    """Accounting still has the end of its first attempt."""
    says(sacct="123|PREEMPTED", squeue="123|PENDING")
    assert main(["jobs", job.output_dir]) == 0
    printed = capsys.readouterr().out
    assert "PENDING" in printed
    assert "PREEMPTED" not in printed


def test_a_partition_on_machines_of_two_kinds(tmp_path, monkeypatch):
    """sinfo has a line for each kind: the machines add up, and a job gets at most the GPUs of the larger kind."""
    file = tmp_path / "sinfo"
    lines = ("main*|1-00:00:00|2|gpu:a100:8", "main*|1-00:00:00|3|(null)", "long|infinite|1|gpu:2,tmp:1")
    file.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert partitions() == {
        "main": Partition(name="main", is_default=True, nodes=5, gpus=8, minutes=1440),
        "long": Partition(name="long", is_default=False, nodes=1, gpus=2, minutes=None),
    }
