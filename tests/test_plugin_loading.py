"""Registries and plugins: nothing half registered, and messages that say what to do."""

import importlib.metadata
import sys

import pytest

from pvbias.errors import ConfigError
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODULATION, Registry


@pytest.fixture
def make_plugin(tmp_path, monkeypatch):
    """Write a module that can be imported for the length of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name: str, text: str) -> str:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(tmp_path).parents[:-1]:
            (tmp_path / parent / "__init__.py").touch()
        path.write_text(text)
        made.append(name.split(".")[0])
        return name

    load_plugins()  # what is installed is there before the snapshot
    restore = MODULATION.snapshot()
    yield make
    restore()
    for name in [name for name in sys.modules if name.split(".")[0] in made]:
        del sys.modules[name]


REGISTER = "from pvbias.registries import MODULATION\nMODULATION.register(lambda clips, seeds: clips, name='{}')\n"


def test_a_named_plugin_registers(make_plugin):
    name = make_plugin("lab.good", REGISTER.format("of_the_lab"))
    modules = load_plugins([name])
    assert "of_the_lab" in MODULATION
    assert name in [module.__name__ for module in modules]
    assert MODULATION.origin("of_the_lab") == "lab.good"
    load_plugins([name])  # a second time is the same module, not a second registration


def test_a_failing_plugin_says_why_and_leaves_nothing_behind(make_plugin):
    make_plugin("half.inner", REGISTER.format("half_inner"))
    name = make_plugin("half.plugin", "import half.inner\n" + REGISTER.format("half_outer") + "1 / 0\n")
    with pytest.raises(ConfigError, match=r"PLUGINS: 'half\.plugin'.*ZeroDivisionError"):
        load_plugins([name])
    assert "half_inner" not in MODULATION
    assert "half_outer" not in MODULATION
    assert not [module for module in sys.modules if module.startswith("half.plugin")]


def test_a_broken_installed_plugin_is_reported_and_left_out(make_plugin, monkeypatch, caplog):
    name = make_plugin("broken_package", "raise RuntimeError('no such driver')\n")
    point = importlib.metadata.EntryPoint(name="broken", value=name, group="pvbias.plugins")
    monkeypatch.setattr("pvbias.plugin_loading.entry_points", lambda group: [point])
    assert load_plugins() == []
    assert "broken_package" in caplog.text
    assert "no such driver" in caplog.text


def test_a_name_registered_twice_says_where_both_come_from():
    registry = Registry("THING")
    registry.register(make_from("lab_a"), name="thing")
    with pytest.raises(ConfigError, match=r"THING 'thing' is registered twice: by lab_a and by lab_b"):
        registry.register(make_from("lab_b"), name="thing")


def make_from(module):
    def thing():
        """A thing."""

    thing.__module__ = module
    return thing


def test_an_unknown_name_lists_the_near_ones():
    registry = Registry("THING")
    for name in ("slow_r50", "slowfast_r50", "x3d_s"):
        registry.register(object(), name=name)
    with pytest.raises(ConfigError, match=r"No THING is called 'slow_r5'\. Did you mean 'slow_r50'"):
        registry.get("slow_r5")
    with pytest.raises(ConfigError, match="Known: slow_r50, slowfast_r50, x3d_s"):
        registry.get("qqq")


def test_a_failed_sub_import_does_not_block_a_second_try(make_plugin, tmp_path):
    make_plugin("again.inner", REGISTER.format("again_inner"))
    name = make_plugin("again.plugin", "import again.inner\n1 / 0\n")
    with pytest.raises(ConfigError):
        load_plugins([name])
    (tmp_path / "again" / "plugin.py").write_text("import again.inner  # mended\n")
    load_plugins([name])
    assert "again_inner" in MODULATION
