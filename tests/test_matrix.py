"""What ``make test-matrix`` makes environments of."""

import importlib.metadata
import platform
import re

import pytest

from . import matrix


def test_the_oldest_set_is_what_the_package_requires():
    """Read from the source, and by setuptools: every requirement has a lower bound but the tools without a meaning."""
    required = importlib.metadata.requires("pvbias")
    bounds = dict(re.match(r"([\w.-]+)[^>]*>=([\w.]+)", line).groups() for line in required if ">=" in line)
    assert dict(line.split("==") for line in matrix.oldest_versions()) == bounds
    assert {re.match(r"[\w-]+", line)[0] for line in required} - bounds.keys() == {
        *("types-PyYAML", "build"),
        *("torchcodec", "decord"),
    }


def test_an_environment_tells_the_versions_of_what_is_installed_into_it(monkeypatch):
    asked = []
    monkeypatch.setattr(matrix.Environment, "_python", lambda self, *arguments: asked.extend(arguments) or "{}")
    matrix.Environment("python", "3.12", oldest=False).versions()
    assert {"torch", "pytest", "transformers"} <= set(asked)
    assert not {"sphinx", "furo", "myst-parser"} & set(asked)  # of an extra that no environment is made with


def test_this_python_is_found_and_another_version_is_not(monkeypatch, tmp_path):
    version = ".".join(platform.python_version_tuple()[:2])
    assert matrix.find_python("3.0") is None
    shim = tmp_path / f"python{version}"  # of pyenv, for a version that is not active
    shim.write_text("#!/bin/sh\necho 'pyenv: not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert matrix.find_python(version) is None


@pytest.mark.parametrize(
    ("names", "ends", "expected"),
    [
        ([], False, ["3.10-oldest", "3.10-newest", "3.12-newest"]),
        ([], True, ["3.10-oldest", "3.12-newest"]),
        (["3.12-oldest"], False, ["3.12-oldest"]),
        (["3.13-newest"], False, []),
    ],
)
def test_the_environments_are_those_whose_python_is_here(monkeypatch, capsys, names, ends, expected):
    here = {"3.10": "/a/python3.10", "3.12": "/a/python3.12"}
    monkeypatch.setattr(matrix, "find_python", here.get)
    assert [environment.name for environment in matrix.choose(names, ends=ends)] == expected
    assert ("There is no Python" in capsys.readouterr().out) == ("3.12-oldest" not in names)


def test_none_of_the_pythons_asked_for_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(matrix, "find_python", lambda version: None)
    assert matrix.main([]) == 2
    assert "None of the Pythons" in capsys.readouterr().out


def test_the_table_replaces_the_one_before(monkeypatch, tmp_path):
    page = tmp_path / "CONTRIBUTING.md"
    page.write_text(f"before\n{matrix.BEGIN}old\n{matrix.END}after\n")
    monkeypatch.setattr(matrix, "TABLE_IN", page)
    monkeypatch.setattr(matrix.Environment, "versions", lambda self: {"Python": self.version, "torch": "2.6.0"})
    ran = [(matrix.Environment("python", version, oldest=False), "9 passed") for version in ("3.10", "3.12")]
    for _ in range(2):
        matrix.write_table(ran)
        lines = page.read_text().splitlines()
        assert (lines[0], lines[-1]) == ("before", "after")
        assert "| Python | 3.10 | 3.12 |" in lines
        assert "| smoke tests | 9 passed | 9 passed |" in lines
        assert "old" not in lines
