"""Runs that a real cluster interrupts in every way it has end like one that was left alone."""

import submitit

from pvbias.tools.main import main

from .conftest import STEPS, log_of
from .interruptions import Interrupted, Interruption, carry_out, difference

#: Slow enough that there is something to interrupt.
SLOW = ("BRAKE.SECONDS", 0.4)

#: Seconds from a start: before Python is there, while it imports, and later.
MOMENTS = (0.5, 2, 5, 10)


# One test, not one for each way: all jobs are on the cluster at the same time, and most of it is waiting.
def test_interrupted_runs_end_like_uninterrupted_ones(submit, cluster, config, tmp_path):
    # Nor does it matter where a run's processes are: those of the second one are all here.
    left_alone = {1: tmp_path / "left_alone", 2: tmp_path / "two_left_alone"}
    for count, folder in left_alone.items():
        assert main(["run", "--cfg", str(config), "NUM_GPUS", str(count), "OUTPUT_DIR", str(folder)]) == 0
        assert len(log_of(folder)) == STEPS
    alone, *pair, cancelling = cluster.abrupt
    first, *others = cluster.nodes

    def start(name, *keys, on=(first,)):
        nodes = ("SLURM.NODES", len(on), "SLURM.SBATCH", f"['nodelist={','.join(on)}']")
        return submit(name, *SLOW, *nodes, "SLURM.TIME", "10", "SLURM.SIGNAL_DELAY", "30", *keys)[-1]

    def preempted(name, on):
        job = start(name, "SLURM.PARTITION", "abrupt", on=on)
        taken = [Interruption(do=lambda: cluster.preempt(on[-1]), seconds=moment) for moment in MOMENTS]
        return Interrupted(job=job, interruptions=taken, each_ends_an_attempt=True)

    def signalled(name, *last, on, keys=()):
        """While it starts that changes nothing; a training saves and goes back to the queue."""
        job = start(name, *keys, on=on)
        slurm = submitit.SlurmJob(job.folder, job.id)
        signals = [Interruption(do=slurm._interrupt, seconds=moment) for moment in MOMENTS]
        timeout = Interruption(do=lambda: slurm._interrupt(timeout=True), steps=10)
        return Interrupted(job=job, interruptions=[*signals, *(last or [timeout])])

    def ended_twice(name):
        """A job that ends for good is submitted again, with the same command."""

        def after_its_time(state):
            assert state == "FAILED", job.log()
            assert "SLURM.MAX_TIMEOUTS = 0: the job has reached its time limit (SLURM.TIME = '10')" in job.failure()
            second = start(name, "SLURM.PARTITION", "cancelling", on=[cancelling])
            # While it starts: later, where Slurm gives notice, a job saves and requeues itself before it is killed.
            taken = Interruption(do=lambda: cluster.preempt(cancelling), seconds=0.5)
            return Interrupted(job=second, interruptions=[taken], then=after_preemption)

        def after_preemption(state):
            assert state == "PREEMPTED"
            return Interrupted(job=start(name), interruptions=[])

        job = start(name, "SLURM.MAX_TIMEOUTS", 0)
        timeout = Interruption(do=lambda: submitit.SlurmJob(job.folder, job.id)._interrupt(timeout=True), steps=10)
        return Interrupted(job=job, interruptions=[timeout], then=after_its_time)

    jobs = {
        "preempted": preempted("preempted", on=[alone]),
        "two_preempted": preempted("two_preempted", on=pair),
        "signalled": signalled("signalled", on=[first]),
        # With workers: Slurm's signals reach them, too. Then what Slurm does where it gives notice of a preemption.
        "two_signalled": signalled(
            "two_signalled",
            Interruption(do=lambda: cluster.preempt(others[-1]), steps=10),
            on=others,
            keys=("DATA_LOADER.NUM_WORKERS", 1),
        ),
        "ended_twice": ended_twice("ended_twice"),
    }
    ended = carry_out(cluster, jobs)
    for name, each in jobs.items():
        job = each.job
        assert ended[name] == "COMPLETED", f"{name}: {job.failure()}\n{job.log()}"
        assert not difference(job.output_dir, left_alone[job.tasks]), f"{name}: {job.log()}"
        assert each.done == len(each.interruptions), f"{name}: {job.log()}"
    assert all(jobs[name].job.attempts >= 2 for name in ("signalled", "two_signalled"))
