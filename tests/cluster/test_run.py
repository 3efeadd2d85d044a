"""Runs that a real cluster interrupts in every way it has end like one that was left alone."""

import time

import submitit

from pvbias.tools.main import main

from .conftest import STEPS, log_of

#: Slow enough to be interrupted in the second of three epochs.
SLOW = ("BRAKE.SECONDS", 0.4)


# One test, not one for each way: all jobs are on the cluster at the same time, and most of it is waiting.
def test_interrupted_runs_end_like_uninterrupted_ones(submit, cluster, config, tmp_path):
    # Nor does it matter where a run's processes are: those of the second one are all here.
    left_alone = {1: tmp_path / "left_alone", 2: tmp_path / "two_left_alone"}
    for count, folder in left_alone.items():
        assert main(["run", "--cfg", str(config), "NUM_GPUS", str(count), "OUTPUT_DIR", str(folder)]) == 0
    last = cluster.nodes[-1]
    two = ("SLURM.NODES", 2, "SLURM.SBATCH", f"['exclude={last}']")
    jobs = {
        "timed_out": submit("timed_out", *SLOW, "SLURM.TIME", "10", "SLURM.SIGNAL_DELAY", "30"),
        "requeued": submit("requeued", *SLOW),
        "preempted": submit("preempted", *SLOW, "SLURM.SBATCH", f"['nodelist={last}']"),
        # With workers: Slurm's signals reach them, too.
        "two_signalled": submit("two_signalled", *SLOW, *two, "DATA_LOADER.NUM_WORKERS", 1),
    }
    jobs = {name: job for name, (job,) in jobs.items()}
    interruptions = {
        "timed_out": lambda job: submitit.SlurmJob(job.folder, job.id)._interrupt(timeout=True),
        "requeued": lambda job: cluster.run("scontrol", "requeue", job.id),
        "preempted": lambda _: cluster.run(
            "sbatch", "--partition=urgent", f"--nodelist={last}", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
        ),
        # Both at once, as in a preemption.
        "two_signalled": lambda job: submitit.SlurmJob(job.folder, job.id)._interrupt(timeout=False),
    }
    until = time.monotonic() + 180
    while interruptions:  # in whatever order they come so far
        for name in [name for name in interruptions if len(log_of(jobs[name].output_dir)) >= 10]:
            interruptions.pop(name)(jobs[name])
        assert time.monotonic() < until, [job.log() for job in jobs.values()]
        time.sleep(0.1)
    for name, job in jobs.items():
        state = cluster.wait_for(job.id, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", seconds=240)
        assert state == "COMPLETED", f"{name}: {job.failure()}\n{job.log()}"
        assert job.attempts == 2, f"{name}: {job.log()}"
        reference = log_of(left_alone[job.tasks])
        assert len(reference) == STEPS
        assert log_of(job.output_dir) == reference, name


def test_signals_while_a_job_starts_do_not_end_it(submit, cluster):
    """Those of a preemption and of the time limit, before Python has any handler."""
    (job,) = submit("signalled", "SOLVER.MAX_EPOCH", "1.0")
    assert cluster.wait_for(job.id, "RUNNING", "COMPLETED", "FAILED") == "RUNNING"
    time.sleep(0.5)
    for name in ("TERM", "USR2"):
        cluster.run("scancel", f"--signal={name}", job.id)
    assert job.attempts == 0  # or they were too late
    state = cluster.wait_for(job.id, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", seconds=240)
    assert state == "COMPLETED", f"{job.failure()}\n{job.log()}"
    assert job.attempts == 1
    assert len(log_of(job.output_dir)) == STEPS // 3
