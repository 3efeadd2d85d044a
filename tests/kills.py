"""Processes that are killed at work, at random moments."""

import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess


def kill_at_work(
    start: Callable[[], BaseProcess], progress: Callable[[], object], generator: random.Random, within: float
) -> bool:
    """Start a process, and kill it (SIGKILL) up to ``within`` seconds after ``progress()`` has changed.

    Returns:
        Whether it was still at work then; False: it had come to its end.
    """
    before = progress()
    process = start()
    while process.is_alive() and progress() == before:  # loading is no news
        time.sleep(0.002)
    time.sleep(generator.uniform(0, within))
    process.kill()
    process.join()
    return process.exitcode != 0
