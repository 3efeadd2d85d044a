"""From a configuration to a recognizer; freezing by name."""

import pytest
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.errors import ConfigError
from pvbias.models import ZooModel, build_recognizer, freeze_parameters
from pvbias.registries import MODEL

SPEC = ClipSpec(num_frames=4, sampling_rate=2, crop_size=16, test_crop_size=18, short_side=20)


def build_toy(*, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """A module that remembers for which clips it was built."""
    module = nn.Sequential(nn.Conv3d(3, 4, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, num_classes))
    module.built_for = (num_frames, crop_size)
    return module


@pytest.fixture(autouse=True)
def toy_models():
    restore = MODEL.snapshot()
    MODEL.register(ZooModel(zoo="toys", build=build_toy, clip_spec=SPEC, head="3"), name="toy")
    MODEL.register(ZooModel(zoo="toys", build=build_toy, clip_spec=SPEC, head="3", fixed_size=True), name="rigid_toy")
    yield
    restore()


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME = "toy"
    cfg.MODEL.NUM_CLASSES = 7
    data = cfg.DATA
    data.NUM_FRAMES, data.SAMPLING_RATE, data.TARGET_FPS = 6, 3, 25.0
    data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE, data.TEST_SHORT_SIDE = 12, 14, 15
    data.MEAN, data.STD, data.MODALITY = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], "flow"
    return cfg


def test_the_configuration_decides_module_and_clips(cfg):
    recognizer = build_recognizer(cfg)
    assert recognizer.num_classes == 7
    assert recognizer.module.built_for == (6, 12)
    assert recognizer.clip_spec == ClipSpec(
        num_frames=6,
        sampling_rate=3,
        crop_size=12,
        test_crop_size=14,
        short_side=15,
        fps=25.0,
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        modality="flow",
    )
    assert all(parameter.requires_grad for parameter in recognizer.parameters())


def test_a_model_of_fixed_size_refuses_a_larger_test_crop(cfg):
    cfg.MODEL.MODEL_NAME = "rigid_toy"
    with pytest.raises(ConfigError, match=r"DATA\.TEST_CROP_SIZE = 14.*DATA\.TRAIN_CROP_SIZE = 12"):
        build_recognizer(cfg)
    cfg.DATA.TEST_CROP_SIZE = 12
    assert build_recognizer(cfg).clip_spec.test_crop_size == 12


def test_an_unknown_model_names_the_near_ones(cfg):
    cfg.MODEL.MODEL_NAME = "tou"
    with pytest.raises(ConfigError, match="'toy'"):
        build_recognizer(cfg)


def test_freezing_by_pattern(cfg):
    cfg.MODEL.FREEZE = [r"^0\.", "weight$"]
    recognizer = build_recognizer(cfg)
    free = [name for name, parameter in recognizer.module.named_parameters() if parameter.requires_grad]
    assert free == ["3.bias"]


def test_linear_evaluation_leaves_the_final_projection(cfg):
    cfg.MODEL.FREEZE = ["backbone"]
    recognizer = build_recognizer(cfg)
    free = [name for name, parameter in recognizer.module.named_parameters() if parameter.requires_grad]
    assert free == ["3.weight", "3.bias"]


@pytest.mark.parametrize(
    ("pattern", "message"), [("bloks", "'bloks' matches no parameter"), ("(", "not a regular expression")]
)
def test_a_pattern_that_cannot_be_meant_is_an_error(cfg, pattern, message):
    recognizer = build_recognizer(cfg)
    with pytest.raises(ConfigError, match=message):
        freeze_parameters(recognizer, ["weight", pattern])
    assert all(parameter.requires_grad for parameter in recognizer.parameters())
