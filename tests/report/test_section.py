"""Sections of the page: those of plugins, and what no section has."""

import re
import sys
from pathlib import Path

import pvbias.report
from pvbias.evaluation import Result
from pvbias.plugin_loading import load_plugins
from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report.console import headline_table

from .pages import Page, page_of, words_of
from .runs import labelled_run, sure


def test_sections_come_in_their_places_with_the_plugin_s_own_template(tmp_path, my_lab):
    html = page_of(tmp_path / "page", sure("mine", 0.8))
    text = words_of(html)

    assert "<b>" not in html
    assert text.count("Moments of <doubt> 1 row <b>third</b>") == 1
    ids = [attrs["id"] for tag, attrs in Page(html).tags if tag == "section" and "id" in attrs]
    assert ids == ["notes", "accuracy", "moments", "run"]
    assert "As they are. Notes (1 row) note one" in text


def test_figures_of_a_section_without_a_home_are_in_one_of_their_evaluator(tmp_path, my_lab):
    """The sections above claim no evaluator: what it has is shown as of any other."""
    text = words_of(page_of(tmp_path / "page", sure("mine", 0.8)))

    general = text[text.rindex("sureness sureness in %") :]
    assert general.startswith("sureness sureness in % frozen to its middle frame 80.0 [")
    assert "moments (1 row)" in general


def test_without_the_plugin_of_its_metrics_a_run_s_figures_are_all_there(tmp_path, registries):
    """As on a machine where it is not installed: under their names, with all tables."""
    for registry in (METRIC, REPORT_SECTION):
        own = {name: thing for name, thing in registry if registry.origin(name).startswith("pvbias.report")}
        registry._obj_map = own

    run = labelled_run()
    text = words_of(page_of(tmp_path, run))

    for evaluator in ("modulated_accuracy", "dynamic_score", "asdt", "self_convolution"):
        assert f" {evaluator} " in text
    for shown in ("dynamic score in nats frozen to its middle frame 1.50 [1.20, 1.80]", "log ratio shuffled 0.68"):
        assert shown in text
    for table in ("per_class (8 rows)", "layers (3 rows)"):
        assert table in text
    assert headline_table([run]) == "No headline figures were measured."


def test_the_example_in_the_readme(tmp_path, registries, monkeypatch):
    """A metric and a section with a template, as they are printed there."""
    readme = Path(pvbias.report.__file__).with_name("README.md").read_text(encoding="utf-8")
    metric, section, reading = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (template,) = re.findall(r"```html\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "readme_plugin.py").write_text(metric + section)
    (tmp_path / "doubtful.html").write_text(template)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(METRIC._obj_map, "confidence/confidence", raising=False)  # of an installed example
    load_plugins(["readme_plugin"])
    rows = [{"video": video, "level": "video", "original": sure} for video, sure in ((0, 40.0), (1, 90.0))]

    html = page_of(tmp_path / "page", labelled_run("mine", results={"confidence": Result(tables={"per_video": rows})}))
    del sys.modules["readme_plugin"]

    assert (
        "Doubtful videos The model gives its first choice less than half of the probability. video 0, video level"
        in (words_of(html))
    )
    assert "video 1, video level" not in words_of(html)
    assert "read_results" in reading
