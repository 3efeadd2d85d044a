"""What a run logs is kept in its folder."""

import logging

import pytest

from pvbias import __version__
from pvbias.run.log import kept_log


def test_attempt_after_attempt(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    # pytest's own would pass on what cannot be encoded.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log = tmp_path / "run" / "log.txt"
    logger = logging.getLogger("some.plugin")

    logger.info("before")
    with kept_log(log.parent):
        logger.info("first attempt, ünïcode \udc80")
    with pytest.raises(ValueError, match="invalid literal"), kept_log(log.parent):
        int("no such thing")
    logger.info("after")

    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2].split(":")[0] for line in lines] == [
        *["I pvbias " + __version__, "I first attempt, ünïcode \\udc80"],
        *["I pvbias " + __version__, "E ValueError"],
    ]
    assert lines[-1].endswith("'no such thing'")


def test_other_processes_of_a_run_have_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("pvbias.run.log.is_main_process", lambda: False)

    with kept_log(tmp_path / "run"):
        pass

    assert not (tmp_path / "run").exists()
