"""Imported first by a fork server that was started for a process: it looks after that process, and when that is gone
ends itself and, at once, all that it has forked, whatever they are at.

Python's own server ends when its last worker has, and its workers know nothing of the process that they work for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from types import TracebackType

#: In the environment: the number of the process that starts the server.
PARENT = "PVBIAS_STARTS_FORK_SERVER"

_PERIOD = 0.2  # seconds
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def _look(*_: object) -> None:
    if os.getppid() != _parent:
        os._exit(1)


def _begin_child() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the timer has stayed behind
    sys.excepthook = _say_later
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _say_later(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Of a worker that cannot start; where that is because nobody is there any more, nobody wants to know."""
    time.sleep(3 * _PERIOD)
    sys.__excepthook__(kind, error, traceback)


# Only there: whoever else imports this is not to be ended.
if PARENT in os.environ:
    _parent = int(os.environ.pop(PARENT))
    _prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    # A timer and no thread, which would be in the way of the forks.
    signal.signal(signal.SIGALRM, _look)
    signal.setitimer(signal.ITIMER_REAL, _PERIOD, _PERIOD)
    os.register_at_fork(after_in_child=_begin_child)
    _look()
