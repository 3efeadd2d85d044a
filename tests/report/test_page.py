"""The page as a whole."""

import csv
import re

import pytest

from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import Figure, Result
from pvbias.report import write_comparison, write_results

from .pages import Page, page_of, words_of
from .runs import accuracy_figures, class_rows, labelled_run, unlabelled_run

EVIL = "<script>alert('x')</script> & \"quoted\" $x_1$ {{ 7*7 }} 日本語 " + "long" * 60


def test_one_run_says_what_was_measured(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("first")))

    assert "Shuffling the frames costs 31.6 points of accuracy: 64.3 % in order, 32.7 % shuffled." in text
    assert "Uses the order of frames, but leans on appearance" in text
    assert "predictions become very different: 1.50 nats on average" in text
    assert "The first choice stays the same for 40 % of the videos" in text
    assert "1 of 1,001 videos: 1 × no video stream" in text
    for part in ("b/broken.mp4", "blocks.2.conv", "a/clip.mp4", "✓ run", "75 %", "MODEL_NAME: x3d_xs", "video level"):
        assert part in text


def test_what_the_objective_says_of_its_training_is_on_the_page(tmp_path):
    said = "Rev2Net: the decoders start at blocks.2 and reach 9 of 17 layers, 6.9 % of the encoder's weights"
    assert said in words_of(page_of(tmp_path, labelled_run("trained", training=said)))


@pytest.mark.parametrize("runs", [1, 2])
def test_names_from_outside_are_only_ever_text(tmp_path, runs):
    run = labelled_run(EVIL, weights=EVIL, command=EVIL, config=EVIL, class_names=[EVIL], sampling=EVIL)
    run.bad_videos = [{"name": EVIL, "cause": EVIL, "detail": EVIL}]
    run.results["modulated_accuracy"].tables["per_class"] = class_rows({EVIL: (90, 5), "other": (50, 40)})
    for row in run.results["sample_clips"].tables["samples"]:
        row |= {"video": EVIL, "label": EVIL, "predicted": EVIL}
    run.results["asdt"].tables["layers"][0]["layer"] = EVIL
    note = [Figure(name=EVIL, value=None, unit=EVIL, level=EVIL, variant=EVIL, note=EVIL)]
    run.results[EVIL] = Result(figures=note, tables={EVIL: [{EVIL: EVIL}]})
    run.results["other"] = Result(not_applicable=EVIL)

    html = page_of(tmp_path, *[run] * runs)
    page = Page(html)

    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert EVIL in page.text
    assert "<script" not in html


@pytest.mark.parametrize("runs", [1, 3])
def test_the_page_needs_nothing_beside_it(tmp_path, runs):
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])
    page = Page(html)

    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = page.values("src", "href", "xlink:href", "srcset", "data")
    assert sources
    assert all(source.startswith(("#", "data:image/jpeg;base64,")) for source in sources)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html
    assert "http" not in html


@pytest.mark.parametrize("runs", [1, 3])
def test_ids_are_unique_and_every_reference_has_its_target(tmp_path, runs):
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])

    ids = Page(html).values("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) <= set(ids)


def test_the_same_results_give_the_same_bytes(tmp_path):
    first = page_of(tmp_path / "a", labelled_run(), labelled_run("other"))
    second = page_of(tmp_path / "b", labelled_run(), labelled_run("other"))

    assert first == second


def test_videos_without_labels(tmp_path):
    text = words_of(page_of(tmp_path, unlabelled_run()))

    assert "Not measured: None of the 12 videos has a label." in text
    assert "Predictions change a lot" in text
    assert "The model has no convolution over time." in text
    assert "Log ratio" not in text
    assert "could not be used" not in text


def test_an_undefined_ratio_is_reported_with_its_reason(tmp_path):
    run = labelled_run()
    run.results["modulated_accuracy"].figures = accuracy_figures({"original": 88.0, "shuffle": 0.0})

    text = words_of(page_of(tmp_path, run))

    assert "Depends on the order of frames" in text
    assert "undefined (zero denominator)" in text


def test_a_run_with_no_figures_at_all_has_a_page(tmp_path):
    assert "no figures that are put into words" in words_of(page_of(tmp_path, labelled_run(results={})))


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("same"), labelled_run("same")))

    assert "same (run0)" in text
    assert "same (run1)" in text


def test_a_comparison_joins_the_tables(tmp_path):
    page_of(tmp_path, labelled_run("first"), labelled_run("second"))

    with (tmp_path / "out" / "tables" / "asdt_layers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["depth"]) for row in rows] == [(run, d) for run in ("first", "second") for d in "123"]


def test_a_comparison_of_one_run_is_refused(tmp_path):
    write_results(tmp_path, labelled_run())

    with pytest.raises(ConfigError, match="two runs"):
        write_comparison([tmp_path], tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        write_comparison([tmp_path, tmp_path / "nowhere"], tmp_path / "out")


@pytest.mark.parametrize("runs", [1, 3])
def test_tables_scroll_by_themselves_and_configurations_are_not_printed(tmp_path, runs):
    """So that a phone shows a table that is wider than its screen, and paper no pages of YAML."""
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])
    style = html[html.index("<style>") : html.index("</style>")]
    screen, _, paper = style.partition("@media print")

    assert html.count("<table") == html.count('<div class="scroll"><table')
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", screen)
    assert 'content: "scroll sideways' in screen
    assert html.count('<details class="unprinted"><summary>Configuration') == runs
    assert "details.unprinted > :not(summary) { display: none; }" in paper
