"""Tables of a paper beside a study's, and the options of studies on real data sets."""

import pytest

from pvbias.errors import ConfigError
from pvbias.run.study import Study
from pvbias.run.study_tables import read_weights, side_by_side, write_tables


def test_the_papers_figures_beside_ours():
    rows = {"one": [(1.5, []), (None, [0.25])], "two": [(2.0, [1.0, 3.0]), (12.345, [])]}
    lines = side_by_side("name", ("score", "accuracy"), rows, digits=(1, 2)).splitlines()
    assert lines == [
        "| name | score | ours | accuracy | ours |",
        "|---|---|---|---|---|",
        "| one | 1.5 |  |  | 0.25 |",
        "| two | 2.0 | 2.0 (1.0 to 3.0) | 12.35 |  |",
    ]


def test_weights_by_the_name_of_a_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pyth").touch()
    given = ["one=mine.pyth", "two=zoo://pytorchvideo/x3d_s/kinetics400"]
    assert read_weights(given, ["one", "two"]) == {
        "one": str(tmp_path / "mine.pyth"),
        "two": "zoo://pytorchvideo/x3d_s/kinetics400",
    }
    for wrong, message in (("mine.pyth", "must be NAME=FILE"), ("three=mine.pyth", "no training is called 'three'")):
        with pytest.raises(ConfigError, match=message):
            read_weights([wrong], ["one", "two"])


def test_tables_are_written_and_printed_but_for_dry_runs(tmp_path, capsys):
    write_tables(Study(out=tmp_path / "out"), {"table1": lambda: "| a |"})
    assert (tmp_path / "out" / "table1.md").read_text(encoding="utf-8") == "| a |\n"
    assert "table1\n\n| a |" in capsys.readouterr().out
    write_tables(Study(out=tmp_path / "dry", dry_run=True), {"table1": lambda: "| a |"})
    assert not (tmp_path / "dry").exists()
