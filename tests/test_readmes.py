"""The examples of all READMEs run: modules are written down as they say, and Python answers what they show."""

import doctest
import re
import sys
from pathlib import Path

import pytest

from pvbias.config.keys import DECLARED
from pvbias.registries import ALL

ROOT = Path(__file__).parents[1]
READMES = [path for folder in ("pvbias", "plugins", "projects") for path in sorted((ROOT / folder).rglob("README.md"))]
READMES += sorted((ROOT / "projects" / "guide").glob("*_*.md"))

#: A block that is a module: its first line is a comment with its path.
MODULE = re.compile(r"```python\n# (my_lab/\w+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture
def my_lab(tmp_path, monkeypatch):
    """Write a README's modules to where Python finds them; afterwards nothing of them is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    restore = [registry.snapshot() for registry in ALL.values()]
    declared = dict(DECLARED)

    def write(text):
        for path, source in MODULE.findall(text):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(source, encoding="utf-8")

    yield write
    for undo in restore:
        undo()
    DECLARED.clear()
    DECLARED.update(declared)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


def has_examples(readme):
    return ">>> " in readme.read_text(encoding="utf-8")


def page(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("readme", list(filter(has_examples, READMES)), ids=page)
def test_the_examples_run(readme, my_lab):
    my_lab(readme.read_text(encoding="utf-8"))
    failed, tried = doctest.testfile(str(readme), module_relative=False)
    assert (failed, tried > 0) == (0, True)
