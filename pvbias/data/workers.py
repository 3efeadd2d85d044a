"""Worker processes: how they start, which interruptions they heed, and which record a crashed one was at."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, process, queues, spawn
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .. import fork_server
from ..errors import ConfigError
from ..video.video import BadVideoError

#: With these a terminal, a supervisor or Slurm tells a job to leave, all of its processes at once. The main one
#: answers; a worker that left by itself would take with it what the main one has still to save.
_TELLING_TO_LEAVE = {
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__ and hasattr(signal, "pthread_sigmask")
}

#: Signals of a crash. Not SIGKILL, which the kernel sends where memory runs out; nor SIGBUS, which is what a full
#: /dev/shm looks like.
_CRASHES = {"SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS"}
#: What a fork server that is gone makes of an exit code.
_UNKNOWN = 255

_SERVED = "forkserver" in multiprocessing.get_all_start_methods()
_Context: Any = type(multiprocessing.get_context("forkserver" if _SERVED else "spawn"))

#: In which the end of a worker gets known after it has closed its connections.
_SECONDS_TO_END = 10.0

#: At no record.
_NOWHERE = -1
#: In a worker: the number of the record that it is at, for the main process to see.
_at: Any = None


def worker_context(*modules: str, sent: object) -> WorkerContext:
    """The multiprocessing context for workers: a fork server that has imported torch and these modules, so that each
    starts in milliseconds; new interpreters where there are no such servers.

    Not forked from this process: that has OpenMP threads, CUDA, gloo or TensorBoard threads, which a fork copies in
    whatever state they are (locks held, pools without threads), and workers then hang now and then.

    A worker ends with this process, however that ends; so then do the fork server and Python's resource tracker.

    Args:
        modules: that workers need. A server that runs already imports nothing more: the workers do it then.
        sent: what travels to the workers, the function that they call included. Where nothing of it is defined in the
            main script they do not import that, and it may do without ``if __name__ == "__main__"``, or be no file at
            all.

    Raises:
        ConfigError: this process is itself a worker, at importing the main script; or ``sent`` needs a main script that
            cannot be imported.
    """
    refuse_in_import()
    needed = _of_main_script(sent)
    main = sys.modules["__main__"]
    if needed and main.__spec__ is None and not Path(getattr(main, "__file__", "")).is_file():
        raise ConfigError(
            f"{needed[0]} is defined in a notebook, in standard input or at a prompt, where worker processes cannot "
            "import it from: put it into a module (a file) of its own, or set DATA_LOADER.NUM_WORKERS to 0."
        )
    context = WorkerContext(needs_main_script=bool(needed))
    if _SERVED:
        preload = [fork_server.__name__, *modules]
        context.set_forkserver_preload([name for name in preload if name != "__main__"])
        fork_server.start(_TELLING_TO_LEAVE)
    return context


@contextmanager
def sharing_imports() -> Iterator[None]:
    """Let workers that are started inside share the imports of this process, which has not begun its work, in one
    memory.

    Otherwise, and where that cannot be, their fork server imports all again.
    """
    with fork_server.sharing_memory(_TELLING_TO_LEAVE) if _SERVED else contextlib.nullcontext():
        yield


def refuse_in_import() -> None:
    """Raise ConfigError in a worker that imports the main script and reaches the line that starts workers again."""
    if getattr(process.current_process(), "_inheriting", False):
        raise ConfigError(
            "A worker process imports the main script, to find what is defined there, and comes upon what the script "
            'runs. Put that below a line `if __name__ == "__main__":`, or move the definitions into a module of their '
            "own."
        )


@contextmanager
def main_script_left_out(sent: object) -> Iterator[None]:
    """Let processes that are started inside import the main script only where ``sent`` needs it."""
    with contextlib.nullcontext() if _of_main_script(sent) else _without_main_script():
        yield


def end_with_parent() -> None:
    """End this process as soon as its parent is gone. At once: nobody is there to be told, and what is on disk is whole
    at any time."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class Death:
    """The unexpected end of a worker.

    Attributes:
        exitcode: as :attr:`multiprocessing.Process.exitcode`: -11 for SIGSEGV.
        record: number of the record that it was at; None: at none.
    """

    exitcode: int
    record: int | None

    @property
    def is_crash(self) -> bool:
        """Whether native code crashed; False where the system killed the process."""
        if self.exitcode < 0:
            return self._signal in _CRASHES
        return self.exitcode != _UNKNOWN

    @property
    def _signal(self) -> str:
        known = {item.value for item in signal.Signals}
        return signal.Signals(-self.exitcode).name if -self.exitcode in known else f"signal {-self.exitcode}"

    def __str__(self) -> str:
        if self.exitcode < 0:
            return f"killed by {self._signal}"
        return "gone" if self.exitcode == _UNKNOWN else f"exit code {self.exitcode}"


class Crashes:
    """Records at which workers have crashed; sent to the workers.

    A crash may be the late consequence of another file that the same process has read, so a record is bad only where a
    second process dies of it, too.
    """

    def __init__(self) -> None:
        self._deaths: Counter[int] = Counter()
        self._last: dict[int, str] = {}

    def add(self, deaths: Sequence[Death]) -> list[Death]:
        """Record deaths.

        Returns:
            Those that a record is to blame for. With none, other workers would fare no better. (Where there are some,
            the others may be what a pool does to the rest of its workers.)
        """
        crashes = []
        for death in deaths:
            if death.record is not None and death.is_crash:
                crashes.append(death)
                self._deaths[death.record] += 1
                self._last[death.record] = str(death)
        return crashes

    def error(self, record: int) -> BadVideoError | None:
        """The error of a record that workers have crashed at; None where there is none."""
        if self._deaths[record] < 2:
            return None
        return BadVideoError("decoder crash", f"two processes that read it ended: {self._last[record]}")

    @contextmanager
    def at(self, record: int) -> Iterator[None]:
        """Mark a record as being worked on, in a worker or in the main process.

        Raises:
            BadVideoError: workers have died of it.
        """
        error = self.error(record)
        if error is not None:
            raise error
        if _at is not None:
            _at.value = record
        try:
            yield
        finally:
            if _at is not None:
                _at.value = _NOWHERE


class WorkerProcess(_Context.Process):  # type: ignore[misc]
    """A process as :func:`worker_context` starts it.

    Args:
        needs_main_script: what it does is defined there, at least in part.
    """

    def __init__(self, *args: Any, needs_main_script: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.at = RawValue("q", _NOWHERE)
        self._needs_main_script = needs_main_script

    def run(self) -> None:
        """Entry of the new process, called by :class:`multiprocessing.Process`."""
        global _at
        _at = self.at
        # Blocked, not ignored: torch's loader sets a handler of its own.
        if _TELLING_TO_LEAVE:
            signal.pthread_sigmask(signal.SIG_BLOCK, _TELLING_TO_LEAVE)
        end_with_parent()
        super().run()

    @staticmethod
    def _Popen(process_obj: WorkerProcess) -> Any:
        with contextlib.nullcontext() if process_obj._needs_main_script else _without_main_script():
            started = _Context.Process._Popen(process_obj)
        started.terminate = started.kill  # SIGTERM is blocked there
        return started


class WorkerContext(_Context):
    """Starts workers; made by :func:`worker_context`. For one pool or loader: :meth:`deaths` is of all of them.

    Attributes:
        workers: those started so far.
    """

    def __init__(self, *, needs_main_script: bool) -> None:
        super().__init__()
        self._needs_main_script = needs_main_script
        self.workers: list[WorkerProcess] = []

    def Process(self, *args: Any, **options: Any) -> WorkerProcess:  # type: ignore[override]
        """See :class:`multiprocessing.Process`."""
        worker = WorkerProcess(*args, needs_main_script=self._needs_main_script, **options)
        self.workers.append(worker)
        return worker

    def Queue(self, maxsize: int = 0) -> _Queue:  # type: ignore[override]
        """See :class:`multiprocessing.Queue`; a reader with a time limit does not wait for a worker that has ended."""
        return _Queue(maxsize, workers=self.workers, ctx=self.get_context())

    def deaths(self) -> list[Death]:
        """The workers that have ended unexpectedly."""
        return [
            Death(exitcode=worker.exitcode, record=None if worker.at.value == _NOWHERE else worker.at.value)
            for worker in self.workers
            if worker.exitcode
        ]

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self.workers:
            if worker.is_alive():
                worker.kill()


class _Queue(queues.Queue):
    _workers: Sequence[WorkerProcess] = ()  # in a worker itself

    def __init__(self, maxsize: int, *, workers: Sequence[WorkerProcess], ctx: BaseContext) -> None:
        super().__init__(maxsize, ctx=ctx)
        self._workers = workers

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        ends = [worker.sentinel for worker in self._workers if worker.pid is not None]
        if block and timeout is not None:
            # torch's loader looks for dead workers only when its five seconds have gone without an item.
            block = bool(connection.wait([self._reader, *ends], timeout)) and self._reader.poll()  # type: ignore[attr-defined]
        try:
            return super().get(block, timeout)
        except (OSError, EOFError, RuntimeError):  # the last: a descriptor that was promised and did not come
            # A worker has ended between sending an item and handing over its memory. That it has ended is known a
            # little later, and torch's loader asks at once.
            connection.wait(ends, _SECONDS_TO_END)
            raise


def _of_main_script(sent: object) -> list[str]:
    """Names of what is defined in the main script and travels with ``sent``."""
    finder = _Finder()
    # What cannot be pickled here may be in the course of starting a process: that then says what is wrong, or works.
    try:
        finder.dump(sent)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError):
        return finder.found or ["something"]
    return finder.found


class _Finder(pickle.Pickler):
    """A pickler that notes the classes and functions of the main script in what it is given, and writes nothing."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda _: False)
        self.found: list[str] = []

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, (type, FunctionType, BuiltinFunctionType)) and thing.__module__ == "__main__":
            self.found.append(thing.__qualname__)
        return NotImplemented


class _Nowhere:
    def write(self, content: bytes) -> int:
        return len(content)


_starting = threading.Lock()


@contextmanager
def _without_main_script() -> Iterator[None]:
    """Start processes inside without telling them of the main script."""
    with _starting:
        original = spawn.get_preparation_data

        def shortened(name: str) -> dict[str, Any]:
            return {key: value for key, value in original(name).items() if not key.startswith("init_main_")}

        spawn.get_preparation_data = shortened
        try:
            yield
        finally:
            spawn.get_preparation_data = original
