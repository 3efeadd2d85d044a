"""A small configuration of generated videos, trainings with it, and a small student."""

import json

import torch

from pvbias.config import load_cfg
from pvbias.engine.seeding import seed_everything
from pvbias.run import run

#: Generated videos of digits that move along strokes, in 10 classes, and a network that takes milliseconds.
SMALL = """
MODEL: {MODEL_NAME: r3d_small}
DATA:
  {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 16, TEST_CROP_SIZE: 16, TEST_SHORT_SIDE: 16, RANDOM_FLIP: False}
DECOUPLED: {SIZE: 16, BRUSH_SIZE: 8, FRAMES: 16, LABEL: appearance, TRAIN_VIDEOS: 40, TEST_VIDEOS: 20}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 8}
TEST: {DATASET: brush_mnist, NUM_ENSEMBLE_VIEWS: 2, NUM_SPATIAL_CROPS: 1, ENABLE: False}
BIAS: {ENABLE: False}
SOLVER: {OPTIMIZING_METHOD: adamw, BASE_LR: 0.003, MAX_EPOCH: 1.0}
DATA_LOADER: {NUM_WORKERS: 0}
TENSORBOARD: {ENABLE: False}
"""


def small_cfg(folder, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(SMALL)
    return load_cfg(folder / "small.yaml", ["OUTPUT_DIR", str(folder / "run"), *map(str, overrides)])


def losses(cfg):
    """Those that a training logs."""
    seed_everything(cfg.RNG_SEED)  # as who launches a run does, for the model's weights
    run(cfg)
    with open(f"{cfg.OUTPUT_DIR}/train_log.jsonl", encoding="utf-8") as lines:
        logged = [line for line in map(json.loads, lines) if line["kind"] == "train"]
    found = [value for line in logged for name, value in line.items() if name.endswith("loss")]
    assert found
    return found


class MeanColour(torch.nn.Module):
    """A student that calls frames darker than mid-grey class 0, the others class 1; surer the further from it."""

    def __init__(self, cfg, num_classes):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(()))
        self.num_classes = num_classes

    def forward(self, clips):
        score = self.slope.abs() * (clips.mean((1, 3, 4)) - 0.5)  # (N, T)
        others = torch.full((*score.shape, self.num_classes - 2), -20.0)
        logits = torch.cat([-score[..., None], score[..., None], others], -1)
        return logits.log_softmax(-1).exp().mean(1).log()
