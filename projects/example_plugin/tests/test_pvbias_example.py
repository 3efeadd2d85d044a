"""The plugin's own tests: what it registers is there wherever the package is installed, and does what it says."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pvbias_example import ArrowOfTime, AttentionHead, Confidence
from torch import nn

from pvbias import ClipSpec, Recognizer, load_cfg
from pvbias.config import complete
from pvbias.engine import Step
from pvbias.errors import ConfigError
from pvbias.evaluation import VideoViews
from pvbias.models import Outputs, build_recognizer
from pvbias.registries import EVALUATOR, METRIC, MODEL, OBJECTIVE
from pvbias.report import read_results
from pvbias.report.console import headline_table
from pvbias.run import run

#: Probabilities 3/4 and 1/4, 1/2 and 1/2.
SURE, UNSURE = [math.log(3.0), 0.0], [0.0, 0.0]


def tiny_recognizer() -> Recognizer:
    spec = ClipSpec(num_frames=2, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
    return Recognizer.wrap(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), spec)


def test_installing_the_package_is_all_it_takes() -> None:
    load_cfg()  # names no plugin
    for registry, name in (
        (MODEL, "frames_mean"),
        (MODEL, "frames_attention"),
        (OBJECTIVE, "ArrowOfTime"),
        (EVALUATOR, "confidence"),
        (METRIC, "confidence/confidence"),
    ):
        assert registry.origin(name).startswith("pvbias_example.")


@pytest.mark.parametrize("name", ["frames_mean", "frames_attention"])
def test_models_take_clips_of_any_size_and_see_one_frame_at_a_time_first(name: str) -> None:
    recognizer = build_recognizer(complete(load_cfg(None, ["MODEL.MODEL_NAME", name]), num_classes=5))
    assert recognizer.num_classes == 5
    assert recognizer(torch.rand(2, 3, 4, 16, 24)).shape == (2, 5)
    assert recognizer.num_frame_stages == 1


def test_attention_by_hand() -> None:
    """Two frames of one feature, 1 and 3, with scores ln(1) and ln(3): weights 1/4 and 3/4, mean 2.5."""
    head = AttentionHead(1, 1)
    head.score.weight.data.fill_(math.log(3) / 2)
    head.projection.weight.data.fill_(1.0)
    head.projection.bias.data.fill_(0.0)
    features = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 3, 3)
    assert head(features).item() == pytest.approx(2.5)


def arrow_of_time(weight: float) -> Callable[[Step], dict[str, torch.Tensor]]:
    cfg = load_cfg(None, ["EXAMPLE.WEIGHT", str(weight)])
    (phase,) = ArrowOfTime(cfg, tiny_recognizer()).phases()
    return phase.loss


def test_the_objective_by_hand() -> None:
    # Sure of clips that grow brighter, unsure of the others: half the difference between red in the second frame and in
    # the first, times ln 3, and the same again.
    recognizer = tiny_recognizer()
    projection = recognizer.head
    torch.nn.init.zeros_(projection.weight)
    projection.weight.data[0, :2] = math.log(3.0) / 2 * torch.tensor([-1.0, 1.0]) * recognizer.std[0, 0]
    projection.bias.data[:] = torch.tensor([math.log(3.0) / 2, 0.0])
    clips = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1, 1).expand(1, 3, 2, 1, 1)
    step = Step(clips=clips, labels=torch.tensor([1]), recognizer=recognizer, epoch=0.0)
    losses = arrow_of_time(weight=0.5)(step)
    # 3/4 * 1/2 + 1/4 * 1/2
    assert losses["agreement"].item() == pytest.approx(0.5)
    assert losses["loss"].item() == pytest.approx(math.log(4) + 0.5 * 0.5)
    with pytest.raises(ConfigError, match=r"EXAMPLE\.WEIGHT"):
        arrow_of_time(weight=-1.0)


def test_the_evaluator_by_hand() -> None:
    evaluator = Confidence(load_cfg(), tiny_recognizer(), class_names=())
    views = torch.zeros(2, 3, 2, 1, 1, dtype=torch.uint8)
    for index, frozen in enumerate((UNSURE, SURE)):
        logits = {
            "original": torch.tensor([SURE, SURE[::-1]]),  # sure of different things: 3/4 by view, 1/2 of the mean
            "freeze_middle": torch.tensor([frozen, frozen]),
        }
        evaluator.process(
            VideoViews(index=index, name=str(index), label=None, clips=views),
            {name: Outputs({"": each}) for name, each in logits.items()},
        )
    figures = {(figure.variant, figure.level): figure.value for figure in evaluator.evaluate().figures}
    assert figures == pytest.approx(
        {
            ("original", "clip"): 75.0,
            ("original", "video"): 50.0,
            ("freeze_middle", "clip"): 62.5,
            ("freeze_middle", "video"): 62.5,
        }
    )


def test_training_and_measuring_with_all_of_it(tmp_path: Path) -> None:
    cfg = load_cfg(
        overrides="MODEL.MODEL_NAME frames_attention OBJECTIVE.NAME ArrowOfTime BIAS.EVALUATORS [confidence] "
        "TRAIN.DATASET brush_mnist TEST.DATASET brush_mnist DECOUPLED.LABEL motion DECOUPLED.SIZE 16 "
        "DECOUPLED.FRAMES 8 DECOUPLED.TRAIN_VIDEOS 4 DECOUPLED.TEST_VIDEOS 3 TRAIN.BATCH_SIZE 2 "
        "DATA.TRAIN_CROP_SIZE 16 DATA.TRAIN_JITTER_SCALES [16,16] DATA.RANDOM_FLIP False DATA_LOADER.NUM_WORKERS 0 "
        "SOLVER.MAX_EPOCH 1.0 TENSORBOARD.ENABLE False TEST.NUM_SPATIAL_CROPS 1 TEST.NUM_ENSEMBLE_VIEWS 1 "
        f"OUTPUT_DIR {tmp_path}".split()
    )
    run(cfg)
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert [figure["count"] for figure in results["confidence"]["figures"]] == [3] * 4
    assert "confidence, frozen, %" in headline_table([read_results(tmp_path)])
