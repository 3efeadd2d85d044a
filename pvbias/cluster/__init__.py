"""Runs as jobs of a Slurm cluster, through submitit: submitted, told to leave and taken up again, looked after."""

from .jobs import Job, find_jobs
from .run import ClusterRun
from .submission import Submission, write_sbatch_script

__all__ = ["ClusterRun", "Job", "Submission", "find_jobs", "write_sbatch_script"]
