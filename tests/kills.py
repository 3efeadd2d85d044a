"""Processes that are killed at work, at random moments, and what they leave behind."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

#: Seconds in which all processes of a command are gone after it.
SECONDS_TO_GO = 5.0

_MARK = "PVBIAS_TEST_MARK"


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


class Command:
    """A pvbias command in a process of its own; all that it starts is known by a mark in the environment.

    Args:
        arguments: of ``pvbias``.
        log: file for what it says.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._mark = uuid.uuid4().hex
        root = str(Path(__file__).parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pvbias.tools.main", *arguments],
            env=os.environ | {_MARK: self._mark, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.DEVNULL,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def tell_at_work(self, number: int, progress: Callable[[], object], generator: random.Random, within: float) -> int:
        """Send a signal up to ``within`` seconds after ``progress()`` has changed, or, one time in four, before that.

        Returns:
            The exit code.
        """
        before, begin = progress(), time.monotonic()
        early = generator.uniform(0, 4) if generator.random() < 0.25 else 1000
        while self.process.poll() is None and progress() == before and time.monotonic() < begin + early:
            time.sleep(0.002)
        if time.monotonic() < begin + early:
            time.sleep(generator.uniform(0, within))
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def left_behind(self) -> list[int]:
        """Processes of the command that are still there when they should be gone."""
        until = time.monotonic() + SECONDS_TO_GO
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.02)
        for process in left:
            os.kill(process, signal.SIGKILL)
        return left

    def processes(self) -> list[int]:
        """Those that are alive, by their numbers."""
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is_ours(folder)]

    def _is_ours(self, folder: Path) -> bool:
        try:
            environment, state = (folder / "environ").read_bytes(), (folder / "stat").read_text()
        except OSError:  # it has just ended, or is somebody else's
            return False
        return f"{_MARK}={self._mark}".encode() in environment and state.rpartition(")")[2].split()[0] != "Z"
