"""`pvbias compare` from the command line."""

import logging
import sys

import pytest

from pvbias.evaluation import Figure, Result
from pvbias.registries import ALL
from pvbias.report import write_results
from pvbias.tools.main import main

from ..report.runs import labelled_run

PLUGIN = """
from pvbias.registries import METRIC
from pvbias.report import Headline, Metric

METRIC.register(Metric(title="my figure", headlines=(Headline(),)), name="mine/mine")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "lab_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    restore = [registry.snapshot() for registry in ALL.values()]
    yield
    for each in restore:
        each()
    sys.modules.pop("lab_plugin", None)


def runs(tmp_path, **changes):
    for name in ("first", "second"):
        write_results(tmp_path / name, labelled_run(name, **changes))
    return [str(tmp_path / "first"), str(tmp_path / "second"), "--out", str(tmp_path / "out")]


def test_the_page_and_the_headline_figures(tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO)
    assert main(["compare", *runs(tmp_path)]) == 0

    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'report.html'}\n"
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "log ratio, shuffled" in log
    assert "difference" in log
    assert "--plugins" not in caplog.text


def test_plugins_of_the_runs_are_named_and_imported_on_request_alone(tmp_path, plugin, caplog):
    """Somebody else's folder does not decide what is imported."""
    results = {"mine": Result(figures=[Figure(name="mine", value=1.0, unit="points", level="video")])}
    arguments = runs(tmp_path, config="PLUGINS:\n- lab_plugin\n", results=results)
    caplog.set_level(logging.INFO)

    assert main(["compare", *arguments]) == 0
    assert "lab_plugin" not in sys.modules
    assert "go by their names: add --plugins lab_plugin" in caplog.text
    assert "No headline figures were measured." in caplog.text

    caplog.clear()
    assert main(["compare", *arguments, "--plugins", "lab_plugin"]) == 0
    assert "go by their names" not in caplog.text
    assert "my figure, points" in caplog.text


@pytest.mark.parametrize("config", ["PLUGINS: {", "PLUGINS: lab_plugin", "- PLUGINS", "{{ 7*7 }}"])
def test_what_is_kept_of_a_configuration_may_be_anything(tmp_path, config):
    assert main(["compare", *runs(tmp_path, config=config)]) == 0


def test_one_run_is_no_comparison(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "at least two runs" in capsys.readouterr().err
