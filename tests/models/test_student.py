"""Students with features, and one without."""

import pytest
from torch import nn

from pvbias.config import get_cfg
from pvbias.errors import ConfigError
from pvbias.models import Student, build_student, embedding_width
from pvbias.registries import STUDENT


class WithFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(7, 3)

    def outputs(self, clips, features=()):
        raise NotImplementedError


def test_what_gives_no_features_is_refused():
    restore = STUDENT.snapshot()
    STUDENT.register(lambda cfg, num_classes: WithFeatures(), name="with_features")
    STUDENT.register(lambda cfg, num_classes: nn.Flatten(), name="without")
    cfg = get_cfg()
    try:
        cfg.STUDENT.NAME = "with_features"
        student = build_student(cfg, 3)
        assert isinstance(student, Student)
        assert embedding_width(student) == 7
        cfg.STUDENT.NAME = "without"
        with pytest.raises(ConfigError, match=r"STUDENT\.NAME = 'without' gives predictions and no features"):
            build_student(cfg, 3)
    finally:
        restore()
