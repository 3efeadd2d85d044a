"""No figures of a final projection that nothing has trained."""

import json
import shlex

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import build_recognizer
from pvbias.run import run
from pvbias.tools.main import main

MODEL = "MODEL.MODEL_NAME r3d_small DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 16"
KEYS = (
    f"{MODEL} TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 BIAS.BOOTSTRAP_SAMPLES 200 "
    "BIAS.EVALUATORS [dynamic_score,asdt]"
)


def network(num_classes=2):
    torch.manual_seed(0)
    return build_recognizer(complete(load_cfg(overrides=MODEL.split()), num_classes=num_classes)).module.state_dict()


@pytest.fixture
def measure(bar_videos, tmp_path):
    """``measure(weights, more keys)``: a run that trains nothing; what it wrote."""

    def measure(weights, keys=""):
        if weights is not None:
            torch.save(weights, tmp_path / "weights.pyth")
            keys += f" TEST.CHECKPOINT_FILE_PATH {tmp_path / 'weights.pyth'}"
        keys += f" TRAIN.ENABLE False DATA.TEST_SPLIT {bar_videos / 'test.csv'} OUTPUT_DIR {tmp_path / 'run'}"
        run(load_cfg(overrides=[*KEYS.split(), *shlex.split(keys)]))
        return json.loads((tmp_path / "run/results.json").read_text())

    return measure


def test_another_class_count_than_the_files_is_not_measured(measure, tmp_path):
    with pytest.raises(
        WeightsError, match=r"accuracy, dynamic_score would measure.*2 classes in the file, 10 in the mod"
    ):
        measure(network(), "MODEL.NUM_CLASSES 10")
    assert not (tmp_path / "run/results.json").exists()


def test_a_backbone_is_measured_by_what_looks_at_weights_alone(measure):
    backbone = {name: value for name, value in network().items() if not name.startswith("blocks.5.proj")}
    with pytest.raises(WeightsError, match=r"no final projection for r3d_small \(blocks\.5\.proj\.weight\)"):
        measure(backbone)
    with pytest.raises(WeightsError, match=r"random weights. The file has no head: train one"):
        measure(backbone, "MODEL.NUM_CLASSES 2")
    left_over = backbone | {"neck.weight": torch.ones(7, 7), "fc.weight": torch.ones(2, 9)}
    with pytest.raises(WeightsError, match=r"does not know: .*fc\.weight.*names blocks\.5\.proj\.weight and \.bias"):
        measure(left_over, "MODEL.NUM_CLASSES 2")
    written = measure(backbone, "MODEL.NUM_CLASSES 2 TEST.ENABLE False BIAS.EVALUATORS [asdt]")
    assert list(written["results"]) == ["asdt"]


def test_a_head_of_another_name_is_measured(measure):
    """The checkpoints of the DRL authors have ``module.head.weight``."""
    named = {f"module.{name.replace('blocks.5.proj', 'head')}": value for name, value in network().items()}
    own = measure(network())["results"]
    assert measure({"state_dict": named})["results"] == own


def test_random_weights_can_be_measured_on_purpose_and_the_page_says_so(measure, tmp_path):
    assert measure(None)["run"]["weights"] == "random initialisation"
    assert "random initialisation" in (tmp_path / "run/report.html").read_text()


def test_what_inspect_suggests_works(bar_videos, tmp_path, capsys, monkeypatch):
    """For a file with a space in its name, and for averaged weights beside the plain ones."""
    monkeypatch.chdir(tmp_path)
    cfg = complete(load_cfg(overrides=MODEL.split()), num_classes=2).dump()
    torch.save({"model": network(), "model_ema": network(), "cfg": cfg}, "my weights.pth")
    assert main(["inspect", "my weights.pth", "--key", "model_ema"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "pvbias measure" in line]
    line = line.replace("VIDEOS", str(bar_videos / "test.csv")).replace("RUN", "run")
    assert main([*shlex.split(line)[1:], *KEYS.split()]) == 0
    written = json.loads((tmp_path / "run/results.json").read_text())
    assert "taken from 'model_ema'" in written["run"]["load_summary"]
    assert written["run"]["sampling"].startswith("4 frames")


@pytest.mark.parametrize(
    ("key", "value"),
    [("MEAN", "[114.8,107.7,99.5]"), ("STD", "[58.4,57.1,57.4]"), ("MEAN", "[-0.1,0,0]"), ("STD", "[0,1,1]")],
)
def test_normalisation_for_another_range_is_an_error(key, value):
    with pytest.raises(ConfigError, match=rf"DATA\.{key} = .*RGB in \[0, 1\].*\[0, 255\].*divided by 255"):
        load_cfg(overrides=[f"DATA.{key}", value])
