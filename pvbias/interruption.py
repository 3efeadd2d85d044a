"""Interruption by signals: a training finishes its step and saves a checkpoint; anything else ends at once.

::

    Ctrl-C, SIGTERM        at the steps of a training     in its validation      elsewhere
    the process told       step, checkpoint, Interrupted  checkpoint of before   Stopped
                                                          it, Interrupted
    one that has started   the same, by those that it has started
    others
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

#: Seconds to clear up in, for a process that is told to stop and has nothing to save.
_GRACE = 3


class Interrupted(Exception):
    """A training has stopped on request, in all processes, with a checkpoint. Not an error: the same command resumes.

    Attributes:
        checkpoint: what it goes on from, step by step as if it had not stopped.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        self.checkpoint = checkpoint

    def __str__(self) -> str:
        return f"stopped as asked; {self.checkpoint} is what the same command goes on from"


class Stopped(KeyboardInterrupt):
    """This process has stopped on request where no training can save. Not an error: the same command resumes from what
    is on disk."""

    def __str__(self) -> str:
        return "stopped as asked. What is finished is kept, and the same command goes on from there"


# Plain module variables and no threading.Event: its lock may be held by the very code that a signal interrupts.
_answering = False
_abandonable = False
_requested = False
_signal: int | None = None
_speaks = False
_followers: Sequence[int] = ()
_delayed: list[int] | None = None


def request_stop() -> bool:
    """Ask the training in this process to save a checkpoint after its step and to leave with :class:`Interrupted`.

    May be called in a signal handler. In several processes one that is asked at its steps is enough.

    Returns:
        Whether it will. False, and nothing else happens: no training is under way here.

    Raises:
        Stopped: inside :func:`abandonable`, which makes an :class:`Interrupted` of it.
    """
    global _requested
    _requested = _requested or _answering
    if _answering and _abandonable:
        raise Stopped
    return _answering


def stop_requested() -> bool:
    """Whether this process was asked to stop."""
    return _requested


@contextmanager
def answering() -> Iterator[None]:
    """Context of a training: a request that comes inside is answered after the current step; none outlives it.

    Raises:
        Stopped: at the end, where a request has come too late for that.
    """
    global _answering, _requested
    _answering = True
    try:
        yield
        if _requested:
            raise Stopped
    finally:
        _answering = _requested = False


@contextmanager
def abandonable(save: Callable[[], Path]) -> Iterator[None]:
    """Context of long work inside a training that changes nothing of it, such as a validation: a request is answered at
    once.

    Args:
        save: writes a checkpoint of before, without the other processes.

    Raises:
        Interrupted: it was asked to stop.
    """
    global _abandonable
    _abandonable = True
    try:
        yield
    except Stopped:
        _abandonable = False  # nor is the saving given up, should somebody ask again
        if not _requested:
            raise
        raise Interrupted(save()) from None
    finally:
        _abandonable = False


@contextmanager
def undisturbed() -> Iterator[None]:
    """Context of short work that must not be left half done, such as starting other processes: signals are answered at
    its end, but for a second Ctrl-C.

    Not blocked: any other thread would then get the signal, and have it answered.
    """
    global _delayed
    if _delayed is not None:
        yield
        return
    _delayed = []
    try:
        yield
    finally:
        told, _delayed = _delayed, None
        for number in dict.fromkeys(told):
            _answer(number, None)


@contextmanager
def forwarding(processes: Sequence[int]) -> Iterator[None]:
    """Forward signals to the processes that this one has started, by their numbers."""
    global _followers
    _followers = processes
    try:
        yield
    finally:
        _followers = ()


@contextmanager
def answering_signals(*numbers: int) -> Iterator[None]:
    """Answer signals, SIGTERM and Ctrl-C unless others are given, as the table above says. For programs: a library
    leaves signals alone."""
    global _signal, _speaks
    before = {number: signal.getsignal(number) for number in numbers or (signal.SIGINT, signal.SIGTERM)}
    _speaks = not numbers  # of several processes the one that answers the user
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as a shell has it for what runs in the background
            signal.signal(number, _answer)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)  # the fork server has them blocked
    try:
        yield
    finally:
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal = None


def exit_code() -> int:
    """The exit code after a signal: 128 and its number, 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (_signal or signal.SIGINT)


def _answer(number: int, frame: FrameType | None) -> None:
    global _signal
    if _delayed is not None and not (number == signal.SIGINT and number in _delayed):
        _delayed.append(number)
        return
    earlier, _signal = _signal, number
    if number == earlier == signal.SIGINT:
        raise KeyboardInterrupt  # twice: whoever presses it does not want to wait
    if _speaks and earlier is None and (_answering or _followers):
        # Not printed: the stream may be in use by what this interrupts.
        os.write(2, b"\npvbias: stopping; a training saves a checkpoint first (Ctrl-C again: at once, without)\n")
    if _followers:
        for follower in _followers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(follower, signal.SIGTERM)
        return
    if request_stop():
        return
    if hasattr(signal, "alarm"):
        # An exception can get lost: in a finalizer, in code of others.
        signal.signal(signal.SIGALRM, _end)
        signal.alarm(_GRACE)
    raise Stopped


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"\npvbias: {Stopped()}\n".encode())
    os._exit(exit_code())
