"""The package README: its examples run, and its modulation becomes a plugin."""

import doctest
import re
from pathlib import Path

import pytest

import pvbias
from pvbias.clips import modulation
from pvbias.config import load_cfg
from pvbias.registries import MODULATION

README = Path(pvbias.__file__).parent / "clips" / "README.md"


def test_what_python_says():
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 3
    assert failed == 0


@pytest.fixture
def my_lab(tmp_path, monkeypatch):
    """The example's module, where Python finds it."""
    (source,) = re.findall(r"```python\n(# my_lab/palindrome.py\n.*?)```", README.read_text(encoding="utf-8"), re.S)
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "palindrome.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    restore = MODULATION.snapshot()
    yield "my_lab.palindrome"
    restore()


def test_one_of_your_own(my_lab):
    cfg = load_cfg(None, ["PLUGINS", f"['{my_lab}']", "BIAS.MODULATIONS", "['palindrome(times=2)']"])
    (spec,) = cfg.BIAS.MODULATIONS
    made = modulation(spec)
    assert (made.spec, made.label) == ("palindrome(times=2)", "played to and fro 2 times")
    assert made.frames(9, [0]).tolist() == [[0, 4, 8, 4, 0, 4, 8, 4, 0]]
    MODULATION.register(type(made)(times=3), name="waltz")
    assert modulation("palindrome(times=3)").spec == "waltz"


@pytest.mark.parametrize("spec", re.findall(r"^\| `([^`]+)`", README.read_text(encoding="utf-8"), re.M))
def test_the_specs_that_it_lists(spec):
    assert modulation(spec).spec == spec
