"""State, logs and failures of the submitted jobs of a run's folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import dropwhile
from pathlib import Path

from submitit.core.utils import JobPaths, pickle_load

from .slurm import FINAL, states

#: Where jobs run.
CLUSTERS = ("slurm", "local", "debug")

#: How the line of a job's log begins that says which attempt starts here.
ATTEMPT = "pvbias: attempt"

#: Folder of the jobs' files, in the folder of the run or of the sweep.
FOLDER = "jobs"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One submitted run. ``<id>.json`` beside the files that submitit makes for it.

    Attributes:
        id: Slurm's number, ``123`` or in an array ``123_4``; with the cluster "local" that of a process.
        cluster: "slurm", "local" or "debug".
        name: what Slurm shows.
        folder: of the job's files, absolute.
        output_dir: of the run, absolute.
        tasks: processes.
        swept: the keys that a sweep has set, with their values as they were written.
        submitted: when, ISO 8601 with its time zone.
        version: of pvbias, with the commit where it comes from a clone.
        command: the command line.
        packages: all installed ones, ``name==version``.
        config: what was submitted, YAML.
    """

    id: str
    cluster: str
    name: str
    folder: str
    output_dir: str
    tasks: int
    swept: dict[str, str] = field(default_factory=dict)
    submitted: str = ""
    version: str = ""
    command: str = ""
    packages: list[str] = field(default_factory=list)
    config: str = ""

    def write(self) -> None:
        """Write ``<id>.json`` and, for other eyes, ``<id>_config.yaml``."""
        (Path(self.folder) / f"{self.id}_config.yaml").write_text(self.config, encoding="utf-8")
        (Path(self.folder) / f"{self.id}.json").write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def log(self, rank: int = 0) -> str:
        """The output of a process in all attempts, for process 0 with Slurm's own; empty where there is no log."""
        try:
            return JobPaths(self.folder, self.id, rank).stdout.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @property
    def attempts(self) -> int:
        """How often the job has started."""
        return self.progress()[0]

    def progress(self) -> tuple[int, str]:
        """How often the job has started, and the last line of the log of process 0, which is read once, a line at a
        time."""
        attempts, last, begin = 0, b"", f"{ATTEMPT} ".encode()
        with contextlib.suppress(OSError), open(JobPaths(self.folder, self.id).stdout, "rb") as log:
            for line in log:
                attempts += sum(part.startswith(begin) for part in line.split(b"\r"))
                last = line if line.strip() else last
        # A progress bar goes back to the start of its line.
        shown = last.decode(errors="replace").split("\r")
        return attempts, next((part.strip() for part in reversed(shown) if part.strip()), "")

    def state(self, slurm: dict[str, str]) -> str:
        """The job's state: Slurm's (:func:`.slurm.states`), else as the files of its processes show it."""
        if self.id in slurm:
            return slurm[self.id]
        if self.cluster == "local" and _is_running(int(self.id)):
            return "RUNNING"
        if self.cluster == "debug":  # written down when it was through
            return "COMPLETED"
        outcomes = [self._outcome(rank)[0] for rank in range(self.tasks)]
        if "error" in outcomes:
            return "FAILED"
        return "COMPLETED" if set(outcomes) == {"success"} else "UNKNOWN"

    def failure(self) -> str:
        """Explain why the last attempt failed, the probable cause first, in a few lines.

        A process that was killed leaves no word, and the errors of the others are consequences: what ``srun`` says of
        it comes first (until it ends the others itself). Then the errors in the order in which they happened.
        """
        log = self.log()
        if not log:
            return (
                f"It left no log. If {self.folder} is not on a file system that the machines of the job have, too, "
                "choose another OUTPUT_DIR."
            )
        last = log[log.rfind(f"\n{ATTEMPT} ") + 1 :]
        alive = last.partition("Terminating StepId")[0]
        lines = re.findall(r"^pvbias: error: (.*)$", last, re.MULTILINE)
        lines += [
            f"process {ranks} on {host}: {what}"
            for host, ranks, what in re.findall(r"^srun: error: (\S+): tasks? ([\d,-]+): (.*)$", alive, re.MULTILINE)
            if not what.startswith("Exited")
        ]
        errors = []
        for rank in range(self.tasks):
            outcome, trace = self._outcome(rank)
            if outcome == "error":
                happened = JobPaths(self.folder, self.id, rank).result_pickle.stat().st_mtime_ns
                errors.append((happened, f"process {rank}: {_last_error(trace)}"))
        lines += [line for _, line in sorted(errors)]
        return "\n".join(lines or [self.progress()[1]]) + f"\nLogs: {JobPaths(self.folder, self.id).stdout}"

    def _outcome(self, rank: int) -> tuple[str, str]:
        """ "success", "error" with its traceback, or nothing yet."""
        try:
            outcome, value = pickle_load(JobPaths(self.folder, self.id, rank).result_pickle)
        except (OSError, EOFError):
            return "", ""
        return outcome, str(value)


def find_jobs(folder: str | os.PathLike) -> list[Job]:
    """The jobs that were submitted with ``OUTPUT_DIR`` here or in a folder in here, in the order of submission."""
    root = Path(folder)
    files = [*root.glob(f"{FOLDER}/*.json"), *root.glob(f"*/{FOLDER}/*.json")]
    jobs = [Job(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return sorted(jobs, key=lambda job: (job.submitted, [int(part) for part in re.findall(r"\d+", job.id)]))


def current_states(jobs: Sequence[Job]) -> list[str]:
    """The states of several jobs, with one question to Slurm."""
    slurm = states(job.id for job in jobs if job.cluster == "slurm")
    return [job.state(slurm) for job in jobs]


def is_over(state: str) -> bool:
    """Whether a state is final."""
    return state in FINAL or state == "UNKNOWN"


def explain(job: Job, state: str) -> str:
    """Explain a final state other than COMPLETED: Slurm's reason, and what the job itself has left."""
    reason = FINAL.get(state, "")
    return f"{reason}.\n{job.failure()}" if reason else job.failure()


def _is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # over, but nobody has asked how it ended


def _last_error(trace: str) -> str:
    """The message of a traceback: what follows its last line of code."""
    lines = trace.rpartition("Traceback (most recent call last):\n")[2].split("\n")
    message = dropwhile(lambda line: line.startswith(" "), lines)
    return " ".join(line.strip() for line in message).strip().removeprefix("pvbias.errors.")
