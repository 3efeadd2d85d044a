"""How processes are started that work for this one."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import BaseContext


def worker_context(*modules: str) -> BaseContext:
    """By a fork server that has imported torch and these modules, so that each worker starts in milliseconds; by
    starting Python anew where there are no such servers.

    Not forked from this process: that has OpenMP threads, CUDA, gloo or TensorBoard threads, which a fork copies in
    whatever state they are (locks held, pools without threads), and workers then hang now and then.

    Args:
        modules: that workers need. A server that runs already imports nothing more: the workers do it then.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context
