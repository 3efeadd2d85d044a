"""The fork server of worker processes: started, shared and ended with its process.

Python's own (:mod:`multiprocessing.forkserver`) is a new interpreter that imports all once more, ends when its last
worker has, and its workers know nothing of the process that they work for.

Imported first by such an interpreter: nothing that takes time belongs here.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import forkserver, process, resource_tracker, util
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

#: In the environment of the new interpreter: the number of the process that starts it.
PARENT = "PVBIAS_STARTS_FORK_SERVER"

_TASKS = Path("/proc/self/task")


def _num_threads() -> int:
    """Return the number of threads, those of native code included."""
    return len(list(_TASKS.iterdir())) if _TASKS.is_dir() else threading.active_count()


#: NumPy's linear algebra has some by now.
_at_import = _num_threads()

_PERIOD = 0.2  # seconds
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def start(answered: Iterable[signal.Signals]) -> None:
    """Start the server, unless it runs.

    Args:
        answered: signals to this process, its workers and the server at once (a terminal's, Slurm's) that this process
            answers: the server blocks them, and so does what it starts, since no worker can be started without it.
    """
    handled = {number for number in answered if callable(signal.getsignal(number))}
    handled.discard(signal.SIGINT)  # the server ignores it by itself
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os.environ[PARENT] = str(os.getpid())
    try:
        for run in (resource_tracker.ensure_running, forkserver.ensure_running):  # the first one unblocks SIGTERM
            signal.pthread_sigmask(signal.SIG_BLOCK, handled)
            run()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.environ.pop(PARENT, None)


@contextlib.contextmanager
def sharing_memory(answered: Iterable[signal.Signals]) -> Iterator[None]:
    """Make the server a fork of this process inside: all that was imported is shared (300 MB less than a new
    interpreter, and seconds sooner). It ends on leaving: this process, in ending, would write to what they share, and
    so copy it.

    For a process that has not begun its work, and so has no threads but those of libraries that know of forks: others
    would be copied in whatever state they are. With some, or where forks are not to be trusted, this does nothing, and
    :func:`start` takes a new interpreter.

    Args:
        answered: as of :func:`start`.
    """
    module: Any = forkserver
    server = module._forkserver
    if sys.platform != "linux" or _num_threads() > _at_import or server._forkserver_pid is not None:
        yield
        return
    gc.freeze()  # the collector would write to, and so copy, all that is shared
    with _forked(answered):
        start(answered)
    yield
    # Not after an error, which may have left workers: they and the server see by themselves when this process ends.
    gc.unfreeze()
    if not process.active_children():
        server._stop()


@contextlib.contextmanager
def _forked(answered: Iterable[signal.Signals]) -> Iterator[None]:
    """Make the server that Python's module starts a fork."""

    def fork(_: object, arguments: Sequence[str], kept: Sequence[int]) -> int:
        parent = os.getpid()
        server = os.fork()
        if server == 0:
            _serve(parent, arguments[-1], kept, answered)
        return server

    module: Any = util
    original = module.spawnv_passfds
    resource_tracker.ensure_running()  # started by the same function
    module.spawnv_passfds = fork
    try:
        yield
    finally:
        module.spawnv_passfds = original


def _serve(parent: int, program: str, kept: Sequence[int], answered: Iterable[signal.Signals]) -> NoReturn:
    """Do in the fork what a new interpreter would, as far as Python's module does not."""
    try:
        for number in answered:
            signal.signal(number, signal.SIG_DFL)
        _let_go_of_files({0, 1, 2, *kept})
        os.environ.pop(PARENT, None)
        module: Any = forkserver
        module._forkserver._lock = threading.Lock()  # held by the parent, at this moment
        begin(parent)
        exec(program, {})
    except SystemExit:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent's program is not to go on here, whatever went wrong
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _let_go_of_files(kept: set[int]) -> None:
    """Point descriptors elsewhere. Not closed: the objects that have them would in the end close another file, one that
    has got the same number."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in {nowhere, *kept}:
            with contextlib.suppress(OSError):  # that of the listing
                os.fstat(int(name))
                os.dup2(nowhere, int(name), inheritable=False)


def begin(parent: int) -> None:
    """Watch, in the server, the process that it was started for: when that is gone end this process and, at once, all
    that it has forked."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    def begin_child() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the timer has stayed behind
        sys.excepthook = _say_later
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    # A timer and no thread, which would be in the way of the forks.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _PERIOD, _PERIOD)
    os.register_at_fork(after_in_child=begin_child)
    look()


def _say_later(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Report the error of a worker that cannot start; not where its parent has gone, and nobody wants to know."""
    time.sleep(3 * _PERIOD)
    sys.__excepthook__(kind, error, traceback)


# Only there: whoever else imports this is not to be ended.
if PARENT in os.environ:
    begin(int(os.environ.pop(PARENT)))
