"""Slurm jobs through submitit: submission, preemption and requeueing, monitoring."""

from .environment import with_environment
from .jobs import Job, find_jobs
from .run import ClusterRun
from .submission import Submission, write_sbatch_script

__all__ = ["ClusterRun", "Job", "Submission", "find_jobs", "with_environment", "write_sbatch_script"]
