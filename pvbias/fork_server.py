"""Imported first by a fork server that is starting: while it imports the rest, for seconds, it looks after the process
that it was started for, and ends with that. (Once it serves, Python sees to that.)"""

from __future__ import annotations

import os
import signal

#: In the environment: the number of the process that starts the server.
PARENT = "PVBIAS_STARTS_FORK_SERVER"

_PERIOD = 0.2  # seconds


def _look(*_: object) -> None:
    if os.getppid() != _parent:
        os._exit(1)


def _stop() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


# Only there: whoever else imports this is not to be ended.
if PARENT in os.environ:
    _parent = int(os.environ.pop(PARENT))
    # A timer and no thread, which would be in the way of the forks; it ends with the first of them.
    signal.signal(signal.SIGALRM, _look)
    signal.setitimer(signal.ITIMER_REAL, _PERIOD, _PERIOD)
    os.register_at_fork(before=_stop)
    _look()
