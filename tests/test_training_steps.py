"""A step of training with every objective, in each precision that a CPU has, through the command line."""

import pytest
import torch
from pytorchvideo.models.hub import x3d_xs

from pvbias.plugin_loading import load_plugins
from pvbias.registries import OBJECTIVE
from pvbias.tools.main import main

load_plugins([])

#: A zoo model at a size that two slow cores do not notice, on generated videos, whose optical flow is known.
SETTINGS = """
MODEL: {MODEL_NAME: x3d_xs}
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 32, TEST_SHORT_SIDE: 40, RANDOM_FLIP: False}
DECOUPLED: {SIZE: 32, BRUSH_SIZE: 8, FRAMES: 16, LABEL: motion, TRAIN_VIDEOS: 4}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 4}
SOLVER: {BASE_LR: 0.01, MAX_EPOCH: 1.0}
STUDENT: {NAME: squeezenet1_1}
DATA_LOADER: {NUM_WORKERS: 0}
TEST: {ENABLE: False}
BIAS: {ENABLE: False}
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint in the zoo's format, random weights, 10 classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "x3d_xs.pyth"
    torch.save({"model_state": x3d_xs(model_num_class=10).state_dict()}, path)
    return path


def target_of(objective):
    """Of an objective with a second stream: its videos."""
    if "target" not in OBJECTIVE.get(objective).needs.streams:
        return {}
    return {"DATA.STREAMS.target.DATASET": "brush_mnist", "DATA.STREAMS.target.SPLIT": "val"}


@pytest.mark.smoke
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("objective", [name for name, _ in OBJECTIVE if name != "StudentDistillation"])
def test_a_step_of_every_objective(objective, precision, start, tmp_path):
    (tmp_path / "step.yaml").write_text(SETTINGS)
    keys = {
        "OBJECTIVE.NAME": objective,
        "PRECISION": precision,
        "TRAIN.CHECKPOINT_FILE_PATH": start,
        "OUTPUT_DIR": tmp_path / "run",
        **target_of(objective),
        "MODEL.EXTRA_HEADS": "[appearance=10]" if objective == "AttributeHeads" else "[]",
        "SCENE_ADVERSARY.ATTRIBUTE": "appearance",
    }
    assert (
        main(["run", "--cfg", str(tmp_path / "step.yaml"), *(str(part) for pair in keys.items() for part in pair)]) == 0
    )
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.pyth")
    trained = torch.load(checkpoint, weights_only=True)["model_state"]
    before = torch.load(start, weights_only=True)["model_state"]
    assert all(bool(value.isfinite().all()) for value in trained.values())
    assert any(not torch.equal(value, before[name]) for name, value in trained.items() if name.endswith("weight"))
