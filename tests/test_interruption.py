"""What a program does when it is told to stop."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pvbias.interruption import (
    Interrupted,
    Stopped,
    abandonable,
    answering,
    answering_signals,
    request_stop,
    undisturbed,
)
from pvbias.tools.main import guard


def tell(number):
    os.kill(os.getpid(), number)
    time.sleep(0)  # for the handler


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_ends_with_a_message_and_the_signals_exit_code(capfd, number, code):
    before = signal.getsignal(number)
    assert guard(lambda argv: tell(number) or 0, []) == code
    assert "pvbias: stopped as asked. What is finished is kept" in capfd.readouterr().err
    assert signal.getsignal(number) is before
    assert signal.alarm(0) == 0, "what would have ended it by force is called off"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_is_asked_and_says_so(capfd, number, code):
    def program(argv):
        with answering():
            tell(number)
            raise Interrupted("a.pyth")  # what its hook does after the step

    assert guard(program, []) == code
    said = capfd.readouterr().err
    assert "a training saves a checkpoint first" in said
    assert "a.pyth is what the same command goes on from" in said


def test_ctrl_c_twice_ends_at_once_and_sigterm_twice_does_not(capfd):
    def program(number):
        with answering():
            tell(number)
            tell(number)
            return 7

    with pytest.raises(Stopped), answering_signals():  # at the end: no step has answered
        program(signal.SIGTERM)
    assert guard(lambda argv: program(signal.SIGINT), []) == 130
    assert "pvbias: interrupted" in capfd.readouterr().err


def test_work_that_changes_nothing_is_given_up(tmp_path):
    saved = []

    def save():
        assert request_stop()  # again: the saving is not given up
        saved.append(tmp_path)
        return tmp_path

    with pytest.raises(Interrupted, match=str(tmp_path)), answering_signals(), answering(), abandonable(save):
        tell(signal.SIGTERM)
    assert saved == [tmp_path]
    with pytest.raises(Stopped), answering_signals(), abandonable(save):  # no training
        tell(signal.SIGTERM)
    assert saved == [tmp_path]


LOSES_IT = """
import time
from pvbias.tools.main import guard

def program(argv):
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except BaseException:  # as finalizers do
            pass

guard(program, [])
"""


def test_it_ends_also_where_the_exception_gets_lost():
    process = subprocess.Popen(
        [sys.executable, "-c", LOSES_IT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped as asked" in said


def test_what_is_ignored_stays_ignored():
    """A shell has it so for Ctrl-C and what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert guard(lambda argv: tell(signal.SIGINT) or 0, []) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_must_not_be_left_half_done_is_done_first(capfd):
    done = []

    def program(argv):
        with undisturbed(), undisturbed():
            tell(signal.SIGTERM)
            tell(signal.SIGTERM)
            done.append("all of it")
        done.append("and more")

    assert guard(program, []) == 143
    assert done == ["all of it"]
    assert capfd.readouterr().err.count("stopped as asked") == 1
