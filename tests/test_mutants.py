"""What ``make mutants`` plants, and what it says of it."""

import pytest

from . import mutants


def test_each_fault_is_listed_once_with_tests_that_there_are():
    faults = mutants.read_faults()
    assert len({fault.key for fault in faults}) == len(faults) >= 130
    for fault in faults:
        assert fault.old != fault.new
        assert fault.tests
        assert all((mutants.ROOT / test.partition("::")[0]).exists() for test in fault.tests)


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("pvbias/clips/pathways.py", ["tests/clips/test_pathways.py"]),
        ("pvbias/models/zoo_model.py", ["tests/models"]),
        ("plugins/drl/attacks.py", ["tests/plugins/drl"]),
        ("tools/list.py", ["tests/tools/test_list.py"]),
    ],
)
def test_the_tests_of_a_file(file, tests):
    assert mutants.tests_of(file) == tests


def test_the_table_has_what_is_noticed_and_what_is_not(tmp_path, monkeypatch):
    page = tmp_path / "CONTRIBUTING.md"
    page.write_text(f"before\n{mutants.BEGIN}old\n{mutants.END}after\n")
    monkeypatch.setattr(mutants, "TABLE_IN", page)
    common = {"old": "a", "tests": ()}
    faults = [
        mutants.Fault(file="pvbias/data/a.py", what="one", new="b", **common),
        mutants.Fault(file="pvbias/data/a.py", what="two", new="c", survives="Nobody can", **common),
        mutants.Fault(file="tools/a.py", what="three", new="d", **common),
    ]
    states = (mutants.NOTICED, mutants.SURVIVED, mutants.NOTICED)
    results = {fault.key: {"state": state} for fault, state in zip(faults, states, strict=True)}
    results[faults[0].key]["first"] = mutants.SURVIVED
    for _ in range(2):
        mutants.write_table(faults, results, listed=3, run="by hand")
        lines = page.read_text().splitlines()
        assert (lines[0], lines[-1]) == ("before", "after")
        assert "2 of 3 noticed (66.7%)." in lines
        assert any("first tried" in line and line.endswith("0 of 1 noticed (0.0%); by hand.") for line in lines)
        assert {"| pvbias/data | 2 | 1 |", "| tools | 1 | 1 |"} <= set(lines)
        assert "- `pvbias/data/a.py`: two. Nobody can." in lines
        assert "old" not in lines
