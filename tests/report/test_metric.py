"""What a plugin says of its figures: on the card, on the console, and of which figures they are."""

import re

import pytest

from pvbias.errors import ConfigError
from pvbias.evaluation import Figure, Result
from pvbias.registries import METRIC
from pvbias.report import Headline, Metric, Ranking
from pvbias.report.console import headline_table

from .pages import page_of, words_of
from .runs import labelled_run, sure


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


def test_the_direction_of_a_metric_is_that_of_its_headlines(tmp_path, registries):
    """More accuracy on shuffled clips is not better, and one run is no better than itself."""
    html = page_of(tmp_path / "two", labelled_run("a"), labelled_run("b"))
    sections = html[html.index('<section id="accuracy">') :]  # "at a glance" has the headlines again
    marked = re.findall(r'<th scope="row" class="higher" title="higher is better">([^<]+)<', sections)
    # accuracy; log ratio (shuffled); dynamic score, frozen and shuffled
    assert marked == ["original", "shuffled", "frozen to its middle frame", "shuffled"]
    assert html.count('<dt class="higher"') == 2 * 4

    assert "is better" not in page_of(tmp_path / "one", labelled_run("a"))
