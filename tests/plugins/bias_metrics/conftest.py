"""The configuration that the evaluators of predictions are tested with."""

import pytest

from pvbias.config import get_cfg


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.BIAS.BOOTSTRAP_SAMPLES = 200
    return cfg
