"""Slurm jobs through submitit: submission, preemption and requeueing, monitoring."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .environment import with_environment
    from .jobs import Job, find_jobs
    from .run import ClusterRun
    from .submission import Submission, write_sbatch_script

__all__ = ["ClusterRun", "Job", "Submission", "find_jobs", "with_environment", "write_sbatch_script"]

# Who looks at jobs does not wait for torch.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClusterRun": "run",
        "Job": "jobs",
        "Submission": "submission",
        "find_jobs": "jobs",
        "with_environment": "environment",
        "write_sbatch_script": "submission",
    },
)
