"""Trainings on a real Slurm cluster that are interrupted at random moments; by hand, not in the suite.

python -m tests.cluster.rounds --rounds 40 --seed 0 --out rounds.jsonl

A round is a training on one node or on two. One or two things happen to it, each of a random kind at a random moment of
an attempt. What ends for good is submitted again with the same command. It came back where its log and weights are, bit
for bit, those of a training that was left alone. All that is drawn follows from the seed and the round's number.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import submitit

from pvbias.cluster import Job, find_jobs
from pvbias.tools.main import main as pvbias

from .conftest import write_config, write_digits
from .interruptions import Interrupted, Interruption, carry_out, difference
from .slurm import Cluster, missing

#: Kind -> whether the job then ends for good, so that somebody has to submit it again.
KINDS = {
    "killed and requeued by a preemption": False,
    "signals of a preemption": False,
    "signal of the time limit": False,
    "scontrol requeue": False,
    "kill -9 of one process": True,
    "scancel": True,
}

#: Latest moment of an attempt, seconds: a training takes about 20.
LATEST = 18.0


class Round:
    """One training and what happens to it.

    Args:
        number: of the round.
        seed: of all rounds.
        nodes: that it has for itself; it takes one or both.
    """

    def __init__(self, cluster: Cluster, config: Path, number: int, seed: int, nodes: Sequence[str]) -> None:
        self.rng = random.Random(f"{seed} {number}")
        self.cluster, self.config, self.number = cluster, config, number
        self.nodes = nodes[: self.rng.choice((1, 1, 2))]
        self.folder = config.parent / f"round_{number}"
        kinds = self.rng.choices(list(KINDS), k=self.rng.choice((1, 2)))
        self.plan = [(kind, round(self.rng.uniform(0, LATEST), 1)) for kind in kinds]
        self.happened: list[str] = []
        self.too_late = 0  # the job had just ended
        self.submissions = 0
        self.ends = False  # something has happened after which a job does not come back by itself
        self.job: Job

    def start(self) -> Interrupted:
        """Submit it, with what has not happened yet."""
        self.submissions += 1
        self.ends = False
        keys = ["BRAKE.SECONDS", "0.4", "OUTPUT_DIR", str(self.folder), "SLURM.PARTITION", "abrupt", "SLURM.NODES"]
        keys += [str(len(self.nodes)), "SLURM.SBATCH", f"['nodelist={','.join(self.nodes)}']"]
        keys += ["SLURM.SIGNAL_DELAY", "30", "SLURM.TIME", "10"]
        assert pvbias(["submit", "--cfg", str(self.config), *keys]) == 0
        self.job = find_jobs(self.folder)[-1]
        left = self.plan[len(self.happened) :]
        interruptions = [Interruption(do=self._do(kind), seconds=moment) for kind, moment in left]
        return Interrupted(job=self.job, interruptions=interruptions, then=self._then)

    def _then(self, state: str) -> Interrupted | None:
        return self.start() if state != "COMPLETED" and self.ends else None

    def _do(self, kind: str) -> Callable[[], None]:
        def do() -> None:
            self.happened.append(kind)
            self.ends |= KINDS[kind]
            try:
                self._happen(kind)
            except (AssertionError, OSError, subprocess.CalledProcessError):
                self.too_late += 1

        return do

    def _happen(self, kind: str) -> None:
        slurm = submitit.SlurmJob(self.job.folder, self.job.id)
        if kind == "killed and requeued by a preemption":
            self.cluster.preempt(self.nodes[-1])
        elif kind == "signals of a preemption":
            slurm._interrupt(timeout=False)
        elif kind == "signal of the time limit":
            slurm._interrupt(timeout=True)
        elif kind == "scontrol requeue":
            self.cluster.run("scontrol", "requeue", self.job.id)
        elif kind == "kill -9 of one process":
            processes = _processes(self.job.id)
            if processes:  # there are none while the job's shell starts
                os.kill(self.rng.choice(processes), signal.SIGKILL)
            else:
                self.cluster.run("scancel", "--signal=KILL", "--full", self.job.id)
        else:
            self.cluster.run("scancel", self.job.id)


def _processes(job: str) -> list[int]:
    """The processes of a job on this machine: Python's, and those of srun, which starts them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            python = b"submitit.core._submit" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if python and f"SLURM_JOB_ID={job}".encode() in environment:
            found.append(int(folder.name))
    return sorted(found)


def main(argv: Sequence[str]) -> int:
    """Run the rounds; 0 where all came back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--at-once", type=int, default=4, help="trainings at a time")
    parser.add_argument("--out", type=Path, required=True, help="a line for each round")
    args = parser.parse_args(argv)
    if reason := missing():
        parser.error(f"needs Slurm: {reason}")
    sys.path.insert(0, str(Path(__file__).parent))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    folder = Path(tempfile.mkdtemp(prefix="rounds-"))
    config = write_config(folder, write_digits(folder))
    left_alone = {1: folder / "left_alone", 2: folder / "two_left_alone"}
    for count, reference in left_alone.items():
        assert pvbias(["run", "--cfg", str(config), "NUM_GPUS", str(count), "OUTPUT_DIR", str(reference)]) == 0
    cluster = Cluster(nodes=1, abrupt=2 * args.at_once, cpus=16, gpus=1)
    os.environ.update(cluster.environment)
    kinds, back = Counter(), 0
    try:
        numbers = range(args.first, args.first + args.rounds)
        for some in (numbers[start : start + args.at_once] for start in range(0, args.rounds, args.at_once)):
            lanes = [cluster.abrupt[2 * lane : 2 * lane + 2] for lane in range(args.at_once)]
            rounds = [Round(cluster, config, number, args.seed, on) for number, on in zip(some, lanes, strict=False)]
            began = time.monotonic()
            ended = carry_out(cluster, {str(each.number): each.start() for each in rounds}, seconds=900)
            for each in rounds:
                state = ended[str(each.number)]
                wrong = "" if state == "COMPLETED" else f"{state}: {each.job.failure()}"
                wrong = wrong or difference(str(each.folder), left_alone[each.job.tasks])
                back += not wrong
                kinds.update((kind, not wrong) for kind in each.happened)
                line = {"round": each.number, "nodes": len(each.nodes), "plan": each.plan}
                line |= {"happened": len(each.happened), "too_late": each.too_late}
                line |= {"submissions": each.submissions}
                line |= {"attempts_of_the_last": each.job.attempts, "seconds": round(time.monotonic() - began)}
                with args.out.open("a") as file:
                    file.write(json.dumps(line | {"wrong": wrong}) + "\n")
                print(line, wrong or "came back", flush=True)
    finally:
        cluster.stop()
    for kind in KINDS:
        print(f"{kind}: {kinds[kind, True] + kinds[kind, False]}, in rounds that came back {kinds[kind, True]}")
    print(f"{back} of {args.rounds} came back, seed {args.seed}")
    return int(back < args.rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
