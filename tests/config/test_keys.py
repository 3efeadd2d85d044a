"""Keys are declared once: what `pvbias list keys` shows is what is checked."""

import pytest

from pvbias.config import get_cfg, load_cfg
from pvbias.config.effects import flat
from pvbias.config.keys import DECLARED, at_least, declare, one_of, pair
from pvbias.errors import ConfigError

NUMBERS = {
    "DATA.NUM_FRAMES": ("frames", ">= 1"),
    "DATA.CLIP_DURATION": ("seconds", "> 0"),
    "DATA.TRAIN_CROP_SIZE": ("pixels", ">= 1"),
    "SLURM.MEM_GB": ("GB", ">= 0"),
    "SOLVER.MOMENTUM": ("", "[0, 1)"),
    "STUDENT.SOLVER.MAX_EPOCH": ("epochs", "> 0"),
    "DRL.EPSILON": ("grey levels of 255", ">= 0"),
    "DECOUPLED.BRUSH_SIZE": ("pixels", ">= 1"),
}


def test_every_key_of_the_core_and_of_the_plugins_is_declared():
    cfg = load_cfg()

    missing = [key for key, _ in flat(cfg) if key not in DECLARED or len(DECLARED[key].about) < 5]

    assert not missing


@pytest.mark.parametrize("key", NUMBERS)
def test_units_and_ranges(key):
    load_cfg()

    assert (DECLARED[key].unit, DECLARED[key].rule.short) == NUMBERS[key]


def test_defaults_have_the_type_and_range_that_are_declared():
    for key, default in flat(load_cfg()):
        known = DECLARED[key]
        if default is None:
            assert known.optional
        else:
            assert type(default) is known.kind
            assert known.rule.holds(default)


def test_the_tree_is_the_one_that_other_programs_know():
    """fvcore's, with SlowFast's names: it can be dumped, cloned and frozen."""
    cfg = get_cfg()

    assert type(cfg).__module__ == "fvcore.common.config"
    assert cfg.clone() == cfg
    assert "BASE_LR: 0.1" in cfg.dump()


@pytest.mark.parametrize(
    ("rule", "good", "bad", "message"),
    [
        (at_least(2), 2, 1, " = 1 must be at least 2"),
        (at_least(2), 2, "many", " must be a whole number or None"),
        (one_of("a", "b"), "b", "c", " = 'c' must be one of 'a', 'b'"),
        (pair(0, 1), [0.25, 1], [0.5, 0.25], r" = .* must be \[min, max\] with 0 <= min <= max <= 1"),
    ],
)
def test_a_plugin_declares_keys_of_its_own(tmp_path, monkeypatch, rule, good, bad, message):
    """They are read in their type and checked as those of the core, and None is a value where it is the default."""
    plugin = tmp_path / "declares_keys.py"
    plugin.write_text("from tests.config.test_keys import add_config\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(add_config, "rule", rule, raising=False)
    monkeypatch.setattr(add_config, "kind", type(good), raising=False)

    def load(value):
        return load_cfg(overrides=["PLUGINS", "[declares_keys]", "MINE.DEEP.KEY", str(value)]).MINE.DEEP.KEY

    assert load(good) == good
    assert load(None) is None
    with pytest.raises(ConfigError, match=rf"command line: MINE\.DEEP\.KEY{message}"):
        load(bad)


def add_config(cfg):
    """What the plugin of the test above adds."""
    declare(cfg, "MINE.DEEP.KEY", None, "A key.", add_config.rule, unit="things", kind=add_config.kind)


def test_a_key_without_a_type_is_refused():
    with pytest.raises(TypeError, match="`kind`"):
        declare(get_cfg(), "MINE", None, "A key.")
