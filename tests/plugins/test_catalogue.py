"""The architectures of the catalogue: from a checkpoint of other classes through a measurement and steps of training
back to where it came from."""

import re

import pytest
import torch
from torch import nn

from pvbias.config import complete, load_cfg
from pvbias.data import BadVideoLog, TrainBatch, build_source
from pvbias.engine import Trainer
from pvbias.evaluation import run_evaluators
from pvbias.models import build_recognizer
from pvbias.models.shapes import build_shapes
from pvbias.plugin_loading import load_plugins
from pvbias.registries import EVALUATOR, MODEL, OBJECTIVE
from pvbias.runtime import choose_settings
from pvbias.zoo import load_weights, save_weights

load_plugins([])

#: (frames, crop), as small as the architecture takes, by the start of the name; else 3 and 32.
SIZES = {
    "slowfast": (8, 32),
    "mvit": (2, 32),
    "c2d": (2, 32),
    "i3d": (2, 32),
    "inception": (8, 32),
    "s3dg": (4, 32),
    "torchvision_s3d": (8, 32),
    "torchvision_mvit": (2, 32),
    "torchvision_swin": (2, 32),
}
#: Left out: what is only deeper than others, or of the same layers for other clips. The plugins' own tests look at all,
#: without weights.
LEFT_OUT = re.compile(
    r"(slowfast.*|r3d_|ts[nm]_r)(34|101)|r3d_50|tsn_r50|tsm_r18$|r2plus1d_34_32|x3d_[sml]|swin3d_[sb]|mvit_base_32x3"
)
NAMES = [name for name, _ in MODEL if not LEFT_OUT.search(name)]
#: The one that all of it is in: two forward passes and a student. Each of them for a model of each kind: its frames
#: apart from each other in the first stages, in no stage, two pathways, a transformer.
OBJECTIVES = ("DRLFreeze",)
ALL_OBJECTIVES = (*OBJECTIVES, "CrossEntropy", "DRLDistill", "DRLAdversarial", "DRLShuffle")
KINDS = ("c2d_r50", "x3d_xs", "slowfast_r50", "mvit_base_16x4")
#: A convolutional network and a transformer: processors without bf16 take ten times as long as for fp32.
HALF = ["x3d_xs", "torchvision_swin3d_t"]


class OneBatch:
    """A loader of a single mini-batch of two clips."""

    def __init__(self, frames, crop):
        clips = torch.randint(256, (2, 3, frames, crop, crop), dtype=torch.uint8)
        self.batch = TrainBatch(clips=clips, labels=torch.tensor([2, 5]), names=["a.mp4", "b.mp4"], bad=[])

    def __len__(self):
        return 1

    def epoch(self, epoch, start=0):
        yield self.batch


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "fp32") for name in NAMES), *((name, "bf16") for name in HALF)]
)
def test_from_a_checkpoint_through_measuring_and_training_and_back(name, precision, tmp_path):
    model = MODEL.get(name)
    frames, crop = next((size for start, size in SIZES.items() if name.startswith(start)), (3, 32))
    keys = {
        "MODEL.MODEL_NAME": name,
        "DATA.NUM_FRAMES": frames,
        "DATA.TRAIN_CROP_SIZE": crop,
        "DATA.TEST_CROP_SIZE": crop,
        "DATA.TEST_SHORT_SIDE": crop,
        "PRECISION": precision,
        "STUDENT.NAME": "squeezenet1_1",
        "STUDENT.NUM_FRAMES": 1,
        "SOLVER.MAX_EPOCH": 1.0,
        "SOLVER.BASE_LR": 1e-3,
        "TEST.DATASET": "brush_mnist",
        "TEST.NUM_ENSEMBLE_VIEWS": 1,
        "DECOUPLED.SIZE": 32,
        "DECOUPLED.BRUSH_SIZE": 8,
        "DECOUPLED.FRAMES": 2 * frames,
        "DECOUPLED.LABEL": "motion",
        "DECOUPLED.TEST_VIDEOS": 2,
        "DATA_LOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": tmp_path,
    }
    cfg = complete(load_cfg(None, [str(part) for pair in keys.items() for part in pair]), num_classes=10)
    recognizer = build_recognizer(cfg)

    path = tmp_path / "weights.pyth"
    clips = model.clip_spec.replace(num_frames=frames, crop_size=crop)
    theirs = build_shapes(model, num_classes=11, clip_spec=clips).state_dict()
    head = {key for key in theirs if key.startswith(f"{recognizer.head_name}.")}
    ours = recognizer.module.state_dict()
    # Other weights than it has, without the time that drawing them takes.
    other = {key: value * 1.001 if value.is_floating_point() else value for key, value in ours.items()}
    other |= {key: torch.zeros(theirs[key].shape) for key in head}
    assert other.keys() == theirs.keys()
    torch.save({"model_state": other}, path)
    report = load_weights(recognizer, str(path))
    assert report.initialised.keys() == report.skipped.keys() == head != set()
    loaded = recognizer.module.state_dict()
    assert all(torch.equal(loaded[key], other[key]) for key in other.keys() - head)

    clip = torch.randint(256, (1, 3, frames, crop, crop), dtype=torch.uint8)
    with torch.no_grad():
        logits = recognizer.eval()(clip)
        if isinstance(recognizer.head, nn.Linear):
            torch.testing.assert_close(recognizer.head(recognizer.embed(clip)), logits, rtol=1e-4, atol=1e-4)
        assert torch.equal(recognizer(clip.float() / 255), logits)

    settings = choose_settings(cfg, recognizer, training=True)
    settings.place(recognizer)
    # Before the training: after steps of two clips BatchNorm's statistics are no good for evaluation.
    evaluators = {"dynamic_score": EVALUATOR.get("dynamic_score")(cfg, recognizer, [])}
    bad_log = BadVideoLog(tmp_path, max_fraction=0.0)
    results = run_evaluators(
        cfg, recognizer, build_source(cfg, "test"), evaluators, settings=settings, bad_log=bad_log, progress=False
    )
    assert all(figure.value is not None and figure.count == 2 for figure in results["dynamic_score"].figures)

    for objective in ALL_OBJECTIVES if name in KINDS else OBJECTIVES:
        made = settings.place(OBJECTIVE.get(objective)(cfg, recognizer))
        before = recognizer.head.weight.detach().clone()
        Trainer(cfg, recognizer, made, OneBatch(frames, crop), settings).train()
        assert not torch.equal(recognizer.head.weight, before)
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all() for parameter in recognizer.parameters()
        )
        assert recognizer.head.weight.dtype == torch.float32

    # The module's own weights, under its own names: what its zoo loads.
    save_weights(recognizer, path)
    theirs = build_shapes(model, num_classes=10, clip_spec=clips)
    theirs.load_state_dict(torch.load(path, weights_only=True)["model_state"], strict=True, assign=True)
    path.unlink()
