"""A user's own metric and section on the page, through what a plugin may do."""

import sys

import numpy as np
import pytest

from pvbias.errors import ConfigError
from pvbias.evaluation import Figure, Result
from pvbias.evaluation.statistics import mean_figures
from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL, METRIC, REPORT_SECTION
from pvbias.report import Headline, Metric, Ranking, RunResults, find
from pvbias.report.console import headline_table

from .runs import labelled_run
from .test_page import Page, page_of, words_of

PLUGIN = """
from pathlib import Path

from pvbias.registries import METRIC, REPORT_SECTION
from pvbias.report import Content, Headline, Metric, Ranking, Reading, Section, find
from pvbias.report.figures import result_of
from pvbias.report.tables import text_table

SURENESS = Metric(
    title="sureness",
    headlines=(Headline(variant="freeze*", title="sureness, frozen"), Headline(variant="reverse")),
    higher_is_better=False,
    ranking=Ranking(
        question="is less sure of frozen clips", answer="is least sure of frozen clips", variant="freeze*"
    ),
    read=lambda run: Reading("Sure of anything", f"{find(run, SURENESS, 'freeze_middle').value:.0f} % when frozen."),
    glossary={"Sureness": "The probability of the first choice."},
)
METRIC.register(SURENESS, name="sureness/sureness")


def build(runs):
    rows = [row for run in runs for row in result_of(run, "sureness").tables.get("moments", [])]
    return {"rows": rows} if rows else None


REPORT_SECTION.register(
    Section(title="Moments of <doubt>", build=build, place=450, template=Path(__file__).with_name("moments.html")),
    name="moments",
)
REPORT_SECTION.register(
    Section(
        title="Notes",
        build=lambda runs: Content(lead="As they are.", tables=[text_table("Notes", [{"note": "one"}])]),
        place=50,
    ),
    name="notes",
)
"""
TEMPLATE = """
<p class="lead">{{ content.rows|length|counted("row") }}</p>
{% for row in content.rows %}<p class="moment">{{ report.dot(0) }}{{ row.moment }}</p>{% endfor %}
"""


@pytest.fixture
def registries():
    """As they were, afterwards."""
    load_plugins()
    restore = [registry.snapshot() for registry in ALL.values()]
    yield
    for each in restore:
        each()


@pytest.fixture
def my_lab(registries, tmp_path, monkeypatch):
    """A plugin of somebody else's, imported as PLUGINS names it."""
    (tmp_path / "my_lab.py").write_text(PLUGIN)
    (tmp_path / "moments.html").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    load_plugins(["my_lab"])
    yield
    del sys.modules["my_lab"]


def sure(name, frozen, **changes):
    """A run of 50 videos of which the share ``frozen`` is what the model says of each when it is frozen."""
    templates = [
        Figure(name="sureness", value=None, unit="%", level="video", variant=variant)
        for variant in ("freeze_middle", "reverse")
    ]
    values = [[frozen + (0.02 if number % 2 else -0.02), 0.5] for number in range(50)]
    result = Result(
        figures=mean_figures(templates, np.array(values), samples=200, seed=0),
        tables={"moments": [{"moment": "<b>third</b>"}]},
    )
    videos = {f"{number}.mp4": True for number in range(50)}
    return labelled_run(name, results={"sureness": result}, videos=videos, bad_videos=[], **changes)


def test_a_metric_has_a_place_on_the_card_and_the_console(tmp_path, my_lab):
    run = sure("mine", 0.8)

    html = page_of(tmp_path / "page", run)
    text = words_of(html)

    assert "sureness Sure of anything 80 % when frozen." in text
    card = text[text.index("Sure of anything") : text.index("How to read this")]
    assert "sureness, frozen80.0 %[" in card
    assert "sureness, played backwards50.0 %[" in card
    assert "SurenessThe probability of the first choice." in text
    table = headline_table([run])
    assert "sureness, frozen, %" in table
    assert "80.0 [" in table


def test_runs_are_put_in_order_by_it_and_lower_is_better(tmp_path, my_lab):
    html = page_of(tmp_path / "page", sure("bold", 0.8), sure("humble", 0.3))

    assert (
        "“humble” is least sure of frozen clips (sureness 30.0 %), “bold” most (80.0 %); difference −50.0 points [−"
        in words_of(html)
    )
    marked = [attrs for tag, attrs in Page(html).tags if attrs.get("title") == "lower is better"]
    assert {attrs["class"] for attrs in marked} == {"lower"}
    assert "−50.0 [" in headline_table([sure("bold", 0.8), sure("humble", 0.3)])


def test_what_cannot_be_told_apart_by_it_is_not_put_in_order(tmp_path, my_lab):
    unlike = sure("humble", 0.3, data_fingerprint="f2")
    same = words_of(page_of(tmp_path / "same", sure("a", 0.8), sure("b", 0.8)))
    other = words_of(page_of(tmp_path / "other", sure("bold", 0.8), unlike))

    assert "Which run is less sure of frozen clips cannot be told from these videos: sureness 80.0 %" in same
    assert "The runs are not put in order: the videos are not the same." in other


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


def test_a_figure_of_the_same_name_is_not_the_model_s_accuracy(tmp_path, registries):
    """A probe on the features reports a top1 of its own, before the model's."""
    run = labelled_run()
    probe = Result(figures=[Figure(name="top1", value=12.5, unit="%", level="video")])
    run.results = {"probe": probe, **run.results}

    assert "12.5" not in headline_table([run])
    text = words_of(page_of(tmp_path, run))
    assert "64.3 % in order" in text
    assert "probe top1 in % original 12.5" in text


def test_headlines_of_the_same_name_are_both_there(registries):
    METRIC.register(Metric(title="top-1 accuracy", headlines=(Headline(),)), name="probe/top1")
    run = labelled_run()
    run.results["probe"] = Result(figures=[Figure(name="top1", value=12.5, unit="%", level="video")])

    rows = headline_table([run]).splitlines()

    assert any(row.startswith("top-1 accuracy, %") and "64.3" in row for row in rows)
    assert any(row.startswith("top-1 accuracy (probe), %") and "12.5" in row for row in rows)


def test_what_a_metric_cannot_be_is_refused(registries):
    ranking = Ranking(question="is surer", answer="is surest")
    with pytest.raises(ConfigError, match="'sureness' has a ranking and no direction"):
        Metric(title="sureness", ranking=ranking)
    with pytest.raises(ConfigError, match=r"METRIC 'sureness', .* written EVALUATOR/FIGURE"):
        METRIC.register(Metric(title="sureness"), name="sureness")


def test_a_metric_finds_its_figures_in_a_run(registries):
    run: RunResults = labelled_run()

    assert find(run, METRIC.get("modulated_accuracy/log_ratio"), "shuffle").value == pytest.approx(0.676, abs=1e-3)
    assert find(run, METRIC.get("dataset_bias/dataset_bias"), "original") is None
