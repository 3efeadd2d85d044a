"""A user's plugin, imported as PLUGINS names it."""

import sys

import pytest

from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL

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
