"""Solvers of auxiliary networks: what a plugin leaves open is as in SOLVER."""

import pytest

from pvbias.config import complete, get_cfg
from pvbias.config.checks import check
from pvbias.config.keys import DECLARED
from pvbias.config.solvers import complete_solvers, declare_solver, solver_groups
from pvbias.errors import ConfigError
from pvbias.plugin_loading import load_plugins


@pytest.fixture
def cfg():
    load_plugins()  # names in the configuration are those of registries
    cfg = get_cfg()
    before = dict(DECLARED)
    declare_solver(cfg, "MY_LAB.CRITIC.SOLVER", "The critic's")
    yield cfg
    DECLARED.clear()
    DECLARED.update(before)


def test_what_is_left_open_is_as_in_solver(cfg):
    cfg.MY_LAB.CRITIC.SOLVER.BASE_LR, cfg.SOLVER.BASE_LR, cfg.SOLVER.MOMENTUM = 0.5, 0.25, 0.75
    complete_solvers(cfg)
    own = cfg.MY_LAB.CRITIC.SOLVER
    assert (own.BASE_LR, own.MOMENTUM, own.MAX_EPOCH) == (0.5, 0.75, cfg.SOLVER.MAX_EPOCH)
    assert own.keys() == cfg.SOLVER.keys()


def test_completing_a_configuration_completes_it(cfg):
    cfg.MODEL.MODEL_NAME = "x3d_xs"
    assert complete(cfg, num_classes=3).MY_LAB.CRITIC.SOLVER.BASE_LR == cfg.SOLVER.BASE_LR


def test_groups_are_those_of_the_configuration(cfg):
    assert solver_groups(cfg) == ["STUDENT.SOLVER", "MY_LAB.CRITIC.SOLVER"]
    assert solver_groups(get_cfg()) == ["STUDENT.SOLVER"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("BASE_LR", -1.0, r"my\.yaml: MY_LAB\.CRITIC\.SOLVER\.BASE_LR = -1\.0 must be above 0"),
        ("WARMUP_EPOCHS", 20.0, r"WARMUP_EPOCHS = 20\.0 is larger than MY_LAB\.CRITIC\.SOLVER\.MAX_EPOCH = 4\.0"),
        ("STEPS", [1], r"MY_LAB\.CRITIC\.SOLVER\.STEPS = \[1\] must start with 0"),
    ],
)
def test_it_is_checked_like_solver(cfg, key, value, message):
    cfg.MY_LAB.CRITIC.SOLVER.MAX_EPOCH = 4.0
    cfg.MY_LAB.CRITIC.SOLVER[key] = value
    with pytest.raises(ConfigError, match=message):
        check(cfg, {f"MY_LAB.CRITIC.SOLVER.{key}": "my.yaml"})
