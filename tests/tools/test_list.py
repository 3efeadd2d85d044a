"""`pvbias list models`, and what the models cost, against figures published by their authors and by torchvision."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torchvision.models import get_model_weights

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.models.cost import count_cost
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.tools.main import main

load_plugins(["pvbias.plugins.classic_models", "pvbias.plugins.pytorchvideo_zoo", "pvbias.plugins.torchvision_zoo"])

# Millions of parameters and GFLOPs: PyTorchVideo's model zoo page.
AT_TEST_CROP = {
    "slow_r50": (32.45, 54.52),
    "slowfast_r50": (34.57, 65.71),
    "mvit_base_16x4": (36.61, 70.80),
}
# The same: SlowFast's MODEL_ZOO.md.
AT_TRAINING_CROP = {"x3d_xs": (3.8, 0.60), "x3d_s": (3.8, 1.96)}


@pytest.mark.parametrize("name", AT_TEST_CROP)
def test_costs_are_the_published_ones_at_the_test_crop(name):
    millions, gflops = AT_TEST_CROP[name]
    cost = count_cost(MODEL.get(name))
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.005)
    assert cost.multiply_adds / 1e9 == pytest.approx(gflops, rel=0.004)


@pytest.mark.parametrize("name", AT_TRAINING_CROP)
def test_costs_are_the_published_ones_at_the_training_crop(name):
    millions, gflops = AT_TRAINING_CROP[name]
    model = MODEL.get(name)
    cost = count_cost(model, crop_size=model.clip_spec.crop_size)
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert cost.multiply_adds / 1e9 == pytest.approx(gflops, abs=0.006)


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "mc3_18"])
def test_costs_are_those_that_torchvision_documents(name):
    documented = get_model_weights(name).DEFAULT.meta
    cost = count_cost(MODEL.get(f"torchvision_{name}"))
    assert cost.parameters == documented["num_params"]
    assert cost.multiply_adds / 1e9 == pytest.approx(documented["_ops"], abs=0.001)


def test_fvcore_counts_the_same_convolutions_and_products():
    """fvcore goes through a traced program with real numbers, this through shapes."""
    model = MODEL.get("r3d_small")
    module = model.build(num_classes=2, num_frames=16, crop_size=64).eval()
    counted = FlopCountAnalysis(module, torch.zeros(1, 3, 16, 64, 64)).unsupported_ops_warnings(False).by_operator()
    cost = count_cost(model, crop_size=64, num_classes=2)
    assert cost.multiply_adds == sum(counted[kind] for kind in ("conv", "linear", "matmul"))


class Judge(nn.Module):
    """9 weights in 3 outputs, on pixels that it looks at one by one: not without numbers."""

    def __init__(self, num_classes):
        super().__init__()
        self.proj = nn.Linear(3, num_classes)

    def forward(self, clip):
        assert float(clip.mean()) == 0
        return self.proj(clip.mean((2, 3, 4)))


SPEC = ClipSpec(num_frames=2, sampling_rate=3, crop_size=4, test_crop_size=6, short_side=6)


def judge(**changes):
    def build(*, num_classes, num_frames, crop_size):
        return Judge(num_classes)

    return ZooModel(**{"zoo": "toys", "build": build, "clip_spec": SPEC, "head": "proj", **changes})


def test_a_module_that_looks_at_values_is_counted_with_values():
    cost = count_cost(judge(), num_classes=5)
    assert cost.parameters == 5 * (3 + 1)
    assert cost.multiply_adds == 5 * 3


@pytest.fixture
def toys(monkeypatch):
    """A catalogue of one."""
    monkeypatch.setattr(MODEL, "_obj_map", {})
    monkeypatch.setattr(MODEL, "_origins", {})
    MODEL.register(judge(), name="judge")


def test_models_are_listed_with_where_they_come_from(capsys, toys):
    assert main(["list", "models"]) == 0
    heads, _, row, _, legend = capsys.readouterr().out.splitlines()
    assert "GFLOPs" not in heads
    assert "zoo://ZOO/NAME/WEIGHTS" in legend
    assert row.split() == ["judge", "toys", __name__, "2", "x", "3", "4", "/", "6"]


def test_costs_are_listed_on_demand(capsys, toys):
    assert main(["list", "models", "--cost"]) == 0
    heads, _, row, *_, legend = capsys.readouterr().out.splitlines()
    assert "parameters (M)" in heads
    assert "GFLOPs, test crop" in heads
    assert row.split()[-2:] == ["0.00", "0.00"]
    assert "400 classes" in legend


def test_an_empty_catalogue_and_costs_of_what_has_none(capsys, toys, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        main(["list", "objectives", "--cost"])
    assert stopped.value.code == 2
    assert "--cost: models have one" in capsys.readouterr().err
    monkeypatch.setattr(MODEL, "_obj_map", {})
    assert main(["list", "models"]) == 0
    assert capsys.readouterr().out == "No models are registered.\n"


def test_other_entries_are_listed_with_what_they_are(capsys):
    assert main(["list", "evaluators"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("asdt ")]
    assert "ASDT of each layer (Algorithm 1)" in row
    assert row.endswith("pvbias.plugins.bias_metrics.kernel_measures")


def test_keys_are_listed_with_those_of_plugins(capsys):
    assert main(["list", "keys"]) == 0
    text = capsys.readouterr().out
    assert "BASE_LR:" in text
    assert "SELF_CONVOLUTION_DELTA: 0.0" in text
    assert "TWO_STREAM.FLOW_FRAMES: None  (frames at DATA.TARGET_FPS, >= 1)\n    (MODEL.MODEL_NAME TwoStream)" in text
