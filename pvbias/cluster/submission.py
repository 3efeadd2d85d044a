"""Submission of runs as Slurm jobs or job arrays, with a record of what was submitted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from submitit import DebugExecutor, JobEnvironment, LocalExecutor, SlurmExecutor
from submitit.core.utils import FailedJobError
from submitit.helpers import clean_env

from ..checkpoint_files import find_checkpoints
from ..config.loading import import_all
from ..config.time_limit import minutes
from ..errors import ClusterError
from ..run.paths import check_output_dir, check_paths
from .jobs import FOLDER, Job, current_states, find_jobs, is_over
from .run import RUN, ClusterRun
from .slurm import check_request, is_here

#: Python that ignores the signals of preemption and time limit until submitit's handlers are there. Importing takes
#: seconds, in which they would end the job for good; what Slurm then does (kill it, and requeue it) does not.
_SHIELDED_PYTHON = f'bash -c \'trap "" TERM {JobEnvironment.USR_SIG}; exec "$0" "$@"\' {shlex.quote(sys.executable)}'


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Runs that are submitted together, as one job array where there are several.

    Attributes:
        cfgs: the configurations, checked and not completed, alike in ``SLURM``.
        folder: gets a folder ``jobs``; ``OUTPUT_DIR`` of a single run, or the folder that those of a sweep are in.
        cluster: "slurm", "local" (processes of this machine that outlive this one) or "debug" (this process).
        parallel: jobs at a time, >= 1.
        swept: for each run the keys that a sweep has set.
        parts: what each of the runs does with its configuration, where that is a part of some work, by one process;
            empty: :func:`pvbias.run.run`.
        last: what one more job does with the first configuration, once all parts have succeeded; None: there is none.
            Should one fail, the last job does not start: submitting again goes on.
        paths: raises where something is not there that a run with the configuration reads (:func:`.paths.check_paths`);
            None: it is on the machines of the jobs alone.
        command: the command line, for the record.
    """

    cfgs: Sequence[CfgNode]
    folder: Path
    cluster: str = "slurm"
    parallel: int = 256
    swept: Sequence[dict[str, str]] = ()
    parts: Sequence[Callable[[CfgNode], object]] = ()
    last: Callable[[CfgNode], object] | None = None
    paths: Callable[[CfgNode], None] | None = check_paths
    command: str = field(default_factory=lambda: shlex.join(sys.argv))

    @property
    def name(self) -> str:
        """The job's name in Slurm."""
        return re.sub(r"[^\w.=,+-]", "_", self.folder.resolve().name) or "pvbias"

    def check(self, *, elsewhere: bool = False) -> None:
        """Raise the errors that are certain before anything is queued.

        Args:
            elsewhere: it may be submitted from another machine: where this one has no Slurm, what Slurm has is not
                looked at.

        Raises:
            ClusterError: no job is asked for, the request is more than there is (:func:`.slurm.check_request`; with
                "local" more GPUs than are visible, or more than one machine), a run could not be resumed, a part of
                some work would have several processes, or a job of an earlier submission still writes into the folder.
            ConfigError: an ``OUTPUT_DIR`` holds another training, or cannot be written.
            PvbiasError: of ``paths``.
        """
        if not self.cfgs or self.parallel < 1:
            raise ClusterError(f"{len(self.cfgs)} jobs, {self.parallel} at a time: at least 1 of each.")
        cfg = self.cfgs[0]
        if self.parts and cfg.SLURM.NODES * _tasks_per_node(cfg) > 1:
            raise ClusterError(
                f"SLURM.NODES = {cfg.SLURM.NODES} with {_tasks_per_node(cfg)} processes each, but each job of an array "
                "is one process: ask for one machine, for at most one GPU, and for more jobs."
            )
        if any(cfg.TRAIN.ENABLE and not cfg.TRAIN.AUTO_RESUME for cfg in self.cfgs):
            raise ClusterError(
                "TRAIN.AUTO_RESUME = False: a job that comes back from the queue would begin anew each time. Leave it "
                "at True, and choose an OUTPUT_DIR without checkpoints to begin anew."
            )
        for each in {id(cfg): cfg for cfg in self.cfgs}.values():  # the parts of some work have one
            check_output_dir(each.OUTPUT_DIR)
            if self.paths is not None:
                self.paths(each)
            if find_checkpoints(each.OUTPUT_DIR):
                from ..engine import refuse_another_configuration  # with torch, which reads them

                import_all(each)
                refuse_another_configuration(each)
        if self.cluster == "slurm":
            if is_here() or not elsewhere:
                check_request(cfg)
        else:
            self._check_machine(cfg.SLURM)
        outputs = {str(Path(cfg.OUTPUT_DIR).resolve()) for cfg in self.cfgs}
        jobs = find_jobs(self.folder)
        for job, state in zip(jobs, current_states(jobs), strict=True):
            if job.output_dir in outputs and not is_over(state):
                raise ClusterError(
                    f"Job {job.id} writes into {job.output_dir} and is {state}: wait for it, cancel it "
                    f"(scancel {job.id}), or choose another OUTPUT_DIR."
                )

    def _check_machine(self, asked: CfgNode) -> None:
        if asked.NODES > 1:
            raise ClusterError(f"SLURM.NODES = {asked.NODES}, but --cluster {self.cluster} is this machine alone.")
        if (gpus := asked.GPUS_PER_NODE) > 0 and gpus > (visible := _visible_gpus()):
            raise ClusterError(
                f"SLURM.GPUS_PER_NODE = {gpus}, but this machine shows {visible}: ask for that many. With 0, "
                "SLURM.TASKS_PER_NODE processes compute on the CPU."
            )

    def submit(self) -> list[Job]:
        """Submit the runs, and record what was submitted.

        With "local", where nothing else would, this waits while ``parallel`` jobs are at work, and for all parts before
        the last one. "debug" runs them here, one after another.

        Raises:
            ClusterError: see :meth:`check`, or the cluster refuses the request.
        """
        self.check()
        folder = self.folder.resolve() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        parts = self.parts or [RUN] * len(self.cfgs)
        runs = [ClusterRun(placed(cfg), part) for cfg, part in zip(self.cfgs, parts, strict=True)]
        last = ClusterRun(placed(self.cfgs[0]), self.last) if self.last is not None else None
        with _clean_environment():
            if self.cluster != "slurm":
                return self._submit_here(runs, last, folder)
            try:
                submitted = _slurm_executor(self).submit_array(runs)
                jobs = [self._record(index, job.job_id, folder) for index, job in enumerate(submitted)]
                if last is not None:
                    job = _slurm_executor(self, after=jobs[0].id.partition("_")[0]).submit(last)
                    jobs.append(self._record(0, job.job_id, folder))
                return jobs
            except FailedJobError as error:
                raise ClusterError(f"Slurm refuses the job: {str(error).strip()}") from error

    def _submit_here(self, runs: Sequence[ClusterRun], last: ClusterRun | None, folder: Path) -> list[Job]:
        executor = DebugExecutor(folder) if self.cluster == "debug" else _local_executor(self.cfgs[0], folder)
        os.environ["SUBMITIT_FOLDER"] = str(folder)  # what starts jobs elsewhere sets it for them
        submitted = []  # kept, since "debug" numbers jobs by where they are in memory
        jobs: list[Job] = []

        def submit(index: int, work: ClusterRun) -> None:
            submitted.append(executor.submit(work))
            if self.cluster == "debug":
                submitted[-1].results()
            jobs.append(self._record(index, submitted[-1].job_id, folder))

        for index, work in enumerate(runs):
            _wait_for_room(jobs, self.parallel)
            submit(index, work)
        if last is not None:
            _wait_for_room(jobs, 1)
            if set(current_states(jobs)) == {"COMPLETED"}:
                submit(0, last)
        return jobs

    def _record(self, index: int, number: str, folder: Path) -> Job:
        cfg = self.cfgs[index]
        job = Job(
            id=number,
            cluster=self.cluster,
            name=self.name,
            folder=str(folder),
            output_dir=str(Path(cfg.OUTPUT_DIR).resolve()),
            tasks=1 if self.cluster == "debug" else cfg.SLURM.NODES * _tasks_per_node(cfg),
            swept=self.swept[index] if self.swept else {},
            submitted=datetime.now().astimezone().isoformat(timespec="seconds"),
            version=code_version(),
            command=self.command,
            packages=sorted({f"{package.metadata['Name']}=={package.version}" for package in distributions()}),
            config=placed(cfg).dump(),
        )
        job.write()
        return job


def _visible_gpus() -> int:
    import torch  # which who asks for none does without

    return torch.cuda.device_count()


def _wait_for_room(jobs: Sequence[Job], most: int) -> None:
    """Wait until fewer than ``most`` jobs are running."""
    while sum(not is_over(state) for state in current_states(jobs)) >= most:
        time.sleep(1)


def write_sbatch_script(submission: Submission) -> str:
    """Write the script that sbatch would get; also on a machine without Slurm."""
    executor = _slurm_executor(submission, kind=_Writer)
    if len(submission.cfgs) > 1:
        executor.parameters["map_count"] = len(submission.cfgs)
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def code_version() -> str:
    """The version of pvbias, with the commit of a clone; "+" marks uncommitted changes."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        answers = [
            subprocess.run([*git, *question], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
            for question in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return version("pvbias")
    return f"{version('pvbias')} {answers[0]}{'+' if answers[1] else ''}"


@contextmanager
def _clean_environment() -> Iterator[None]:
    """Environment variables for jobs: without those of a job that this process may run in, but with Slurm's
    configuration. The current folder is not on their import path: in a clone that would be a package without its
    plugins."""
    kept = {"PYTHONSAFEPATH": os.environ.get("PYTHONSAFEPATH", "")}
    configuration = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(configuration, PYTHONSAFEPATH="1")
        try:
            yield
        finally:
            os.environ.update(kept)
            os.environ.pop("SUBMITIT_FOLDER", None)


def placed(cfg: CfgNode) -> CfgNode:
    """The configuration for a job's processes: their number, and absolute paths."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(Path(cfg.OUTPUT_DIR).resolve())
    cfg.NUM_SHARDS, cfg.SHARD_ID = cfg.SLURM.NODES, 0
    cfg.NUM_GPUS = cfg.SLURM.GPUS_PER_NODE
    return cfg


def _tasks_per_node(cfg: CfgNode) -> int:
    return cfg.SLURM.GPUS_PER_NODE or cfg.SLURM.TASKS_PER_NODE


def _local_executor(cfg: CfgNode, folder: Path) -> LocalExecutor:
    executor = LocalExecutor(folder, max_num_timeout=cfg.SLURM.MAX_TIMEOUTS)
    executor.update_parameters(
        timeout_min=minutes(cfg.SLURM.TIME),
        gpus_per_node=cfg.SLURM.GPUS_PER_NODE,
        tasks_per_node=_tasks_per_node(cfg),
        signal_delay_s=cfg.SLURM.SIGNAL_DELAY,
        stderr_to_stdout=True,
        setup=list(cfg.SLURM.SETUP),
    )
    return executor


class _Writer(SlurmExecutor):
    """An executor that writes scripts and submits nothing: it does not look for Slurm."""

    @classmethod
    def affinity(cls) -> int:
        return 2


def _slurm_executor(
    submission: Submission, after: str = "", kind: type[SlurmExecutor] = SlurmExecutor
) -> SlurmExecutor:
    cfg, folder = submission.cfgs[0], submission.folder.resolve() / FOLDER
    asked = cfg.SLURM
    cpus = asked.CPUS_PER_TASK or cfg.DATA_LOADER.NUM_WORKERS + 1
    parameters: dict[str, Any] = {
        "job_name": submission.name,
        "partition": asked.PARTITION,
        "account": asked.ACCOUNT,
        "qos": asked.QOS,
        "nodes": asked.NODES,
        "ntasks_per_node": _tasks_per_node(cfg),
        "cpus_per_task": cpus,
        "gpus_per_node": asked.GPUS_PER_NODE,
        "mem": f"{round(asked.MEM_GB * 1024)}MB" if asked.MEM_GB else "",
        "time": minutes(asked.TIME),
        "signal_delay_s": asked.SIGNAL_DELAY,
        "constraint": asked.CONSTRAINT,
        "exclude": asked.EXCLUDE,
        "comment": asked.COMMENT,
        "setup": [*_checked(asked.SETUP), *(_check_folder(folder) if asked.NODES > 1 else [])],
        # One process that dies ends the others, which would wait for it; since 22.05 srun has to be told of the CPUs.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={cpus}", *asked.SRUN_ARGS],
        "stderr_to_stdout": True,
        "array_parallelism": submission.parallel,
        "additional_parameters": {"requeue": True} | dict(_sbatch_option(text) for text in asked.SBATCH),
    }
    if after:
        parameters["dependency"] = f"afterok:{after}"
        parameters["additional_parameters"]["kill-on-invalid-dep"] = "yes"
    executor = kind(folder, max_num_timeout=asked.MAX_TIMEOUTS, python=_SHIELDED_PYTHON)
    executor.update_parameters(**{name: value for name, value in parameters.items() if value})
    return executor


def _sbatch_option(text: str) -> tuple[str, Any]:
    name, _, value = text.removeprefix("--").partition("=")
    return name, value or True


def _checked(commands: Sequence[str]) -> list[str]:
    """Shell commands after each of which the job ends, and says so, where it fails: not in the middle of a training
    that lacks what they should have prepared."""
    if not commands:
        return []
    said = 'trap - ERR EXIT; echo "pvbias: error: SLURM.SETUP: {}"; exit $((status ? status : 1))'
    failed, ended = map(said.format, ("$BASH_COMMAND: failed with status $status", "ended the job with status $status"))
    return [f"trap 'status=$?; {failed}' ERR", f"trap 'status=$?; {ended}' EXIT", *commands, "trap - ERR EXIT"]


def _check_folder(folder: Path) -> list[str]:
    """Shell commands for the first machine that end the job where another machine does not see its files: submitit
    would look for the job there for a minute and then speak of a pickle."""
    file = f"{shlex.quote(str(folder))}/shared_$SLURM_JOB_ID"
    error = (
        f"pvbias: error: {folder} is not shared with the machine $SLURMD_NODENAME: choose an OUTPUT_DIR on a file "
        "system that all machines of the job have."
    )
    # A network file system may take seconds to show a new file.
    look = f'for second in $(seq 10); do [ -e "$0" ] && exit 0; sleep 1; done; echo "{error}"; exit 1'
    return [
        f"touch {file}",
        f"srun --nodes=$SLURM_JOB_NUM_NODES --ntasks-per-node=1 --kill-on-bad-exit=0 bash -c {shlex.quote(look)} {file}"
        f" || {{ rm -f {file}; exit 1; }}",
        f"rm -f {file}",
    ]
