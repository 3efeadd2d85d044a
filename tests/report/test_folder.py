"""Results that take the place of others: nothing of the former is left, and nothing of anybody else is lost."""

import json

import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.bias_metrics.report.profile import write_profiles
from pvbias.report import write_comparison, write_report, write_results
from pvbias.report.folder import remove_files, write_files

from .runs import labelled_run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


@pytest.fixture
def full(tmp_path):
    """A folder with a run's results and a user's own files."""
    write_results(tmp_path, labelled_run())
    write_report(tmp_path)
    for name in ("notes.txt", "images/mine.jpg", "tables/mine.csv", "checkpoints/a.pyth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    return tmp_path


MINE = ["checkpoints/a.pyth", "images/mine.jpg", "notes.txt", "tables/mine.csv"]


def test_new_results_replace_the_old_ones(full):
    assert len(files(full)) > len(MINE) + 5
    write_results(full, labelled_run(results={}))
    assert files(full) == sorted([*MINE, "results.json", "tables/figures.csv"])


@pytest.mark.parametrize("listed", [True, False])
def test_results_are_removed_and_nothing_else(full, listed):
    if not listed:  # of a pvbias that made no list
        (full / ".written.json").unlink()
    remove_files(full)
    assert files(full) == MINE
    remove_files(full)


def test_results_of_which_half_was_written_are_removed(tmp_path):
    with pytest.raises(TypeError):  # in place of a kill
        write_files(tmp_path, {"images/a.jpg": b"1", "tables/b.csv": "not bytes", "results.json": b"{}"})
    assert files(tmp_path) == ["images/a.jpg"]
    write_files(tmp_path, {"results.json": b"{}"})
    assert files(tmp_path) == ["results.json"]


def test_a_list_that_came_with_the_folder_reaches_nothing_outside(tmp_path):
    (tmp_path / "outside").write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".written.json").write_text(json.dumps(["../outside", str(tmp_path / "outside")]))
    remove_files(folder)
    assert files(tmp_path) == ["outside"]


def test_comparisons_replace_comparisons_and_nothing_else(tmp_path):
    for name, run in (("a", labelled_run()), ("b", labelled_run()), ("c", labelled_run(results={}))):
        write_results(tmp_path / name, run)
    out = tmp_path / "out"
    write_comparison([tmp_path / "a", tmp_path / "b"], out)
    assert len(files(out)) > 2
    write_comparison([tmp_path / "c", tmp_path / "c"], out)
    assert files(out) == ["report.html", "tables/figures.csv"]
    before = files(tmp_path / "a")
    with pytest.raises(ConfigError, match="holds the results of a run"):
        write_comparison([tmp_path / "b", tmp_path / "c"], tmp_path / "a")
    with pytest.raises(ConfigError, match="holds the results of a run"):
        write_profiles(tmp_path / "a", [], not_applicable={}, command="", versions={})
    assert files(tmp_path / "a") == before


def test_a_file_of_another_program_is_not_overwritten(tmp_path):
    (tmp_path / "results.json").write_text("[1, 2]")
    with pytest.raises(ConfigError, match=r"results\.json was not written by pvbias"):
        write_results(tmp_path, labelled_run())
    assert (tmp_path / "results.json").read_text() == "[1, 2]"
