"""Five lines of Python: a network of one's own, wrapped and measured."""

import json

import pytest
import torch
from torch import nn

import pvbias
from pvbias.config import complete
from pvbias.errors import ConfigError
from pvbias.evaluation import Accuracy
from pvbias.models import build_recognizer
from pvbias.registries import EVALUATOR
from pvbias.report import read_predictions
from pvbias.tools.main import main

SPEC = pvbias.ClipSpec(num_frames=4, sampling_rate=2, crop_size=16, test_crop_size=16, short_side=20, mean=(0.5,) * 3)

KEYS = (
    "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 BIAS.BOOTSTRAP_SAMPLES 200 "
    "BIAS.EVALUATORS [modulated_accuracy,dynamic_score]"
)


class Network(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
        )


def keys(data, out):
    return [*KEYS.split(), "DATA.TEST_SPLIT", str(data), "OUTPUT_DIR", str(out)]


def test_a_wrapped_network_is_measured(bar_videos, tmp_path):
    recognizer = pvbias.Recognizer.wrap(Network(), SPEC)
    results = pvbias.measure(pvbias.load_cfg(overrides=keys(bar_videos / "test.csv", tmp_path)), recognizer)
    assert set(results) == {"accuracy", "modulated_accuracy", "dynamic_score"}
    document = json.loads((tmp_path / "results.json").read_text())
    assert (document["run"]["model"], document["run"]["num_classes"]) == ("Network", 2)
    assert document["run"]["num_videos"] == 8
    assert document["run"]["sampling"].startswith("4 frames, every 2 ")
    assert "Network" in (tmp_path / "report.html").read_text()


def test_predictions_are_kept_by_the_one_name_of_each_modulation(bar_videos, tmp_path):
    """However an evaluator, or the configuration, writes it."""

    class Loud(Accuracy):
        def __init__(self, cfg, recognizer, class_names):
            super().__init__(cfg, recognizer, class_names)
            self.measure_on({"original": ["original"], "frozen": ["freeze(frame=first)"]})

    restore = EVALUATOR.snapshot()
    EVALUATOR.register(Loud, name="loud")
    overrides = [*keys(bar_videos / "test.csv", tmp_path), "BIAS.EVALUATORS", "[dynamic_score, loud]"]
    overrides += ["BIAS.MODULATIONS", "['shuffle( segments=2 )', 'freeze(frame=first)']"]
    try:
        results = pvbias.measure(pvbias.load_cfg(overrides=overrides), pvbias.Recognizer.wrap(Network(), SPEC))
    finally:
        restore()
    kept = {"freeze_first", "freeze_middle", "shuffle", "shuffle(segments=2)"}
    assert set(read_predictions(tmp_path).variants) == kept
    assert {figure.variant for figure in results["dynamic_score"].figures} == kept
    assert {figure.variant for figure in results["loud"].figures} == {"original", "frozen"}


def test_a_network_without_a_final_projection_is_measured_where_none_is_needed(bar_videos, tmp_path):
    class Similarities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, 3, padding=1)
            self.texts = nn.Parameter(torch.randn(2, 4))

        def forward(self, clip):
            features = nn.functional.normalize(self.conv(clip).relu().mean((2, 3, 4)), dim=1)
            return 10 * features @ nn.functional.normalize(self.texts, dim=1).T

    overrides = keys(bar_videos / "test.csv", tmp_path)
    overrides += ["BIAS.EVALUATORS", "[dynamic_score,modulated_accuracy,asdt,sample_clips,temporal_activation]"]
    recognizer = pvbias.Recognizer.wrap(Similarities(), SPEC)
    results = pvbias.measure(pvbias.load_cfg(overrides=overrides), recognizer)
    assert "has no final projection" in results["temporal_activation"].not_applicable
    assert not any(results[name].not_applicable for name in ("dynamic_score", "modulated_accuracy", "asdt"))


def test_the_figures_are_those_of_the_command(bar_videos, tmp_path):
    """A catalogue model on the same clips: given from Python, and built and loaded by the command."""
    size = ["MODEL.MODEL_NAME", "r3d_small", "DATA.NUM_FRAMES", "4", "DATA.TRAIN_CROP_SIZE", "16"]
    recognizer = build_recognizer(complete(pvbias.load_cfg(overrides=size), num_classes=2))
    torch.save({"model_state": recognizer.module.state_dict()}, tmp_path / "weights.pyth")
    data = bar_videos / "test.csv"
    command = f"measure --model r3d_small --weights {tmp_path / 'weights.pyth'} --data {data} --out {tmp_path / 'a'}"
    assert main([*command.split(), "--set", *size, *KEYS.split()]) == 0
    pvbias.measure(pvbias.load_cfg(overrides=[*size, *keys(data, tmp_path / "b")]), recognizer)
    by_command, by_python = (json.loads((tmp_path / run / "results.json").read_text()) for run in "ab")
    assert by_python["results"] == by_command["results"]
    assert by_python["run"]["model"] == by_command["run"]["model"] == "r3d_small"


def test_measuring_leaves_each_module_in_its_mode(bar_videos, tmp_path):
    network = nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    network.train()
    network[1].eval()  # a frozen BatchNorm
    statistics = network[1].running_mean.clone()
    recognizer = pvbias.Recognizer.wrap(network, SPEC)
    pvbias.measure(pvbias.load_cfg(overrides=keys(bar_videos / "test.csv", tmp_path)), recognizer)
    assert [module.training for module in network] == [True, False, True, True, True]
    assert recognizer.training
    assert torch.equal(network[1].running_mean, statistics)


def test_the_command_measures_at_the_crop_size_it_is_given(bar_videos, tmp_path):
    """r3d_small takes crops of 64 of a short side of 64."""
    size = ["MODEL.MODEL_NAME", "r3d_small", "DATA.NUM_FRAMES", "4"]
    recognizer = build_recognizer(complete(pvbias.load_cfg(overrides=size), num_classes=2))
    torch.save({"model_state": recognizer.module.state_dict()}, tmp_path / "weights.pyth")
    command = f"measure --model r3d_small --weights {tmp_path / 'weights.pyth'} --data {bar_videos / 'test.csv'}"
    assert main([*command.split(), "--out", str(tmp_path), "--crop-size", "24", "--set", *size, *KEYS.split()]) == 0
    data = pvbias.load_cfg(tmp_path / "config.yaml").DATA
    assert (data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE) == (24, 24)
    assert data.TEST_SHORT_SIDE == 24


def test_measuring_again_replaces_results_of_the_same_model_only(bar_videos, tmp_path):
    def measure(network, *more):
        recognizer = pvbias.Recognizer.wrap(network, SPEC)
        return pvbias.measure(pvbias.load_cfg(overrides=[*keys(bar_videos / "test.csv", tmp_path), *more]), recognizer)

    measure(Network())
    assert (tmp_path / "predictions.npz").exists()
    assert list((tmp_path / "tables").glob("accuracy_*"))
    measure(Network(), "TEST.ENABLE", "False", "BIAS.EVALUATORS", "[dynamic_score]")
    assert not (tmp_path / "predictions.npz").exists()
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["figures.csv"]
    before = (tmp_path / "results.json").read_bytes()

    class Other(Network):
        pass

    with pytest.raises(ConfigError, match=r"holds results of another model: of Network .* now Other"):
        measure(Other())
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("contradiction", "message"),
    [
        (["DATA.MEAN", "[0.4, 0.4, 0.4]"], r"DATA\.MEAN = .*0\.4.*recognizer is .*0\.5"),
        (["MODEL.NUM_CLASSES", "3"], r"MODEL\.NUM_CLASSES = 3.*is 2"),
        (["TEST.ENABLE", "False", "BIAS.ENABLE", "False"], "nothing to measure"),
    ],
)
def test_a_configuration_that_contradicts_the_recognizer(bar_videos, tmp_path, contradiction, message):
    cfg = pvbias.load_cfg(overrides=[*keys(bar_videos / "test.csv", tmp_path / "out"), *contradiction])
    with pytest.raises(ConfigError, match=message):
        pvbias.measure(cfg, pvbias.Recognizer.wrap(Network(), SPEC))
    assert not (tmp_path / "out").exists()


def test_the_top_level_has_what_it_lists():
    assert all(hasattr(pvbias, name) for name in pvbias.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        pvbias.Recogniser  # noqa: B018
