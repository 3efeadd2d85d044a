"""Configurations that pass by what is remembered are those that a check with all plugins gives; no other one passes."""

import os
import re
import sys
from typing import ClassVar

import pytest

from pvbias import config
from pvbias.config import loading, remembered, solvers
from pvbias.config.effects import flat
from pvbias.errors import ConfigError

PLUGIN = """
from pvbias.config.keys import Rule, at_least, declare, one_of, registered
from pvbias.config.solvers import declare_solver
from pvbias.registries import DECODER

FOREIGN_KEYS = {"MY_OLD.KEY": ""}


def add_config(cfg):
    cfg.OBJECTIVE.LABEL_SMOOTHING = 0.25
    declare(cfg, "MY_LAB.MARGIN", 8.0, "A margin.", at_least(0))
    declare(cfg, "MY_LAB.STEPS", None, "Steps.", one_of(1, 2), kind=int)
    declare(cfg, "MY_LAB.ODD", 1, "An odd number.", Rule(lambda value: value % 2 == 1, "must be odd", "odd"))
    declare(cfg, "MY_LAB.DECODER", "rev2net_flow", "A decoder.", registered(DECODER))
    declare_solver(cfg, "MY_LAB.SOLVER", "Mine: the")
"""


@pytest.fixture
def login_node(monkeypatch):
    """A process that has not imported torch, as far as memory can tell; ``login_node()`` is the next one."""
    monkeypatch.setattr(remembered, "_pays", lambda: True)
    monkeypatch.setattr(remembered, "Kept", Kept)
    Kept.files.clear()
    remembered._recall.cache_clear()
    yield remembered._recall.cache_clear
    remembered._recall.cache_clear()


class Kept:
    """What is kept, by what it depends on beside the installation: that is looked at in the tests of `pvbias list`."""

    files: ClassVar[dict] = {}

    def __init__(self, *parts):
        self.key = repr(parts)

    def read(self):
        return self.files.get(self.key)

    def write(self, value):
        self.files[self.key] = value


@pytest.fixture
def imports(monkeypatch):
    """The checks with all plugins that there were."""
    found = []
    full = loading.load_cfg

    def load_cfg(*arguments):
        found.append(arguments)
        return full(*arguments)

    monkeypatch.setattr(loading, "load_cfg", load_cfg)
    return found


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A user's plugin, beside its folder."""
    file = tmp_path / "my_remembered_plugin.py"
    file.write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield file
    sys.modules.pop(file.stem)


def same(found, wanted):
    assert [(key, repr(value)) for key, value in flat(found)] == [(key, repr(value)) for key, value in flat(wanted)]
    assert found.dump() == wanted.dump()


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ([], ["SOLVER.BASE_LR", "1e-3", "SLURM.TIME", "1-00", "DATA.MEAN", "[1, 1, 1]", "OBJECTIVE.NAME", "Rev2Net"]),
        ([], ["OBJECTIVE.NAME", "[CrossEntropy, DRLFreeze]", "MODEL.MODEL_NAME", "x3d_s", "DRL.LAMBDA", "2"]),
        (["BIAS.MODULATIONS", "[shuffle, 'freeze(frame=first)']"],) * 2,
        (["MODEL.MODEL_NAME", "PTVX3D", "X3D.WIDTH_FACTOR", "2.0"],) * 2,
        (["MODEL.MODEL_NAME", "PTVMViT"], ["MODEL.MODEL_NAME", "PTVMViT", "OUTPUT_DIR", "there"]),
        (["MODEL.EXTRA_HEADS", "[scene=3]"], ["MODEL.EXTRA_HEADS", "[scene=3]", "TRAIN.BATCH_SIZE", "8"]),
    ],
)
def test_what_passes_is_what_a_full_check_gives(login_node, imports, first, later):
    remembered.load_cfg(overrides=first)
    login_node()
    imports.clear()
    found = remembered.load_cfg(overrides=later)
    assert imports == []
    same(found, config.load_cfg(overrides=later))
    remembered.check(found)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.BASE_LR", "-1"], "command line: SOLVER.BASE_LR = -1.0 must be above 0"),
        (["SOLVER.BASE_LRR", "1"], "command line: unknown key SOLVER.BASE_LRR. Did you mean"),
        (["OBJECTIVE.NAME", "DRLFrez"], "OBJECTIVE.NAME: No OBJECTIVE is called 'DRLFrez'. Did you mean 'DRLFreeze'"),
        (["MODEL.MODEL_NAME", "x3d"], "MODEL.MODEL_NAME: No MODEL is called 'x3d'"),
        (["MODEL.MODEL_NAME", "PTVX3D", "RESNET.TRANS_FUNC", "none"], "RESNET.TRANS_FUNC = 'none' must be"),
        (["BIAS.MODULATIONS", "[freeze, shuffel]"], "No MODULATION is called 'shuffel'"),
        (["DATA.MODULATION", "shuffle(segments=9)", "DATA.NUM_FRAMES", "4"], "DATA.MODULATION"),
        (["SLURM.TIME", "12:00:99"], "SLURM.TIME"),
    ],
)
def test_what_is_wrong_is_said_as_ever(login_node, overrides, message):
    remembered.load_cfg(overrides=["MODEL.MODEL_NAME", "PTVX3D"])
    login_node()
    for _ in range(2):
        with pytest.raises(ConfigError, match=re.escape(message)):
            remembered.load_cfg(overrides=overrides)


def test_a_configuration_that_was_changed_is_checked_again(login_node):
    cfg = remembered.load_cfg()
    cfg.SLURM.TIME = "30 minutes"
    with pytest.raises(ConfigError, match=r"SBATCH_TIMELIMIT: SLURM\.TIME = '30 minutes' must be"):
        remembered.check(cfg, {"SLURM.TIME": "SBATCH_TIMELIMIT"})


def test_a_plugin_that_the_configuration_names(login_node, imports, plugin):
    named = ["PLUGINS", "[my_remembered_plugin]"]
    remembered.load_cfg(overrides=named)
    login_node()
    imports.clear()
    later = [*named, "MY_LAB.STEPS", "2", "MY_LAB.DECODER", "rev2net_frames", "MY_LAB.SOLVER.BASE_LR", "0.5"]
    found = remembered.load_cfg(overrides=later)
    assert (imports, found.MY_LAB.STEPS, found.OBJECTIVE.LABEL_SMOOTHING) == ([], 2, 0.25)
    same(found, config.load_cfg(overrides=later))
    imports.clear()
    for _ in range(2):  # a rule of its own: looked at once for each value
        login_node()
        assert remembered.load_cfg(overrides=[*named, "MY_LAB.ODD", "3"]).MY_LAB.ODD == 3
    assert len(imports) == 1
    for key, value in (("ODD", "4"), ("MARGIN", "-1"), ("STEPS", "3"), ("DECODER", "none")):
        with pytest.raises(ConfigError, match=f"MY_LAB.{key}"):
            remembered.load_cfg(overrides=[*named, f"MY_LAB.{key}", value])
    # Without it there are no such keys.
    with pytest.raises(ConfigError, match="unknown key MY_LAB"):
        remembered.load_cfg(overrides=["MY_LAB.ODD", "3"])


def test_what_was_not_imported_is_declared_for_the_run(login_node, imports, plugin):
    """As in a job's process, which has the configuration from the one that submitted it."""
    named = ["PLUGINS", "[my_remembered_plugin]", "MODEL.MODEL_NAME", "x3d_s"]
    remembered.load_cfg(overrides=named)
    solvers.GROUPS.pop("MY_LAB.SOLVER")
    login_node()
    cfg = remembered.load_cfg(overrides=named)
    assert "MY_LAB.SOLVER" not in solvers.GROUPS
    loading.import_all(cfg)
    assert config.complete(cfg, num_classes=2).MY_LAB.SOLVER.BASE_LR == cfg.SOLVER.BASE_LR


def test_a_plugin_that_has_changed_is_imported_again(login_node, imports, plugin):
    named = ["PLUGINS", "[my_remembered_plugin]"]
    remembered.load_cfg(overrides=named)
    os.utime(plugin, ns=(1, 1))
    imports.clear()
    for count in (1, 1):
        login_node()
        remembered.load_cfg(overrides=named)
        assert len(imports) == count


def test_weights_of_a_zoo_are_known(login_node):
    cfg = remembered.load_cfg()
    assert not remembered.is_in_catalogue(cfg, "zoo://pytorchvideo/x3d_s/kinetics400")
    login_node()
    assert remembered.is_in_catalogue(cfg, "zoo://pytorchvideo/x3d_s/kinetics400")
    assert not remembered.is_in_catalogue(cfg, "zoo://pytorchvideo/x3d_s/kinetics")
