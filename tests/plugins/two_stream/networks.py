"""Two-stream networks, and data that they can be trained and measured on."""

import torch

from pvbias.config import complete, load_cfg
from pvbias.models import build_recognizer
from pvbias.registries import MODEL

CLASSES = 5

#: Made-up videos, whose flow is known, and a step of training on them.
DATA = """
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 32, TEST_SHORT_SIDE: 40}
DECOUPLED: {SIZE: 32, BRUSH_SIZE: 8, FRAMES: 16, LABEL: motion, TRAIN_VIDEOS: 4, TEST_VIDEOS: 4}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 4}
TEST: {DATASET: brush_mnist, NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}
SOLVER: {BASE_LR: 0.01, MAX_EPOCH: 1.0}
STUDENT: {NAME: squeezenet1_1}
DATA_LOADER: {NUM_WORKERS: 0}
"""


def two_stream(rgb, flow, *, frames, side, flow_frames=1, overrides=()):
    keys = ["MODEL.MODEL_NAME", "TwoStream", "TWO_STREAM.RGB", rgb, "TWO_STREAM.FLOW", flow]
    keys += ["TWO_STREAM.FLOW_FRAMES", str(flow_frames), "DATA.NUM_FRAMES", str(frames)]
    keys += ["DATA.TRAIN_CROP_SIZE", str(side), "DATA.TEST_CROP_SIZE", str(side), *overrides]
    return build_recognizer(complete(load_cfg(overrides=keys), num_classes=CLASSES))


def save_model(name, path, *, classes=CLASSES, seed=0, **more):
    """Random weights of a model, as the zoo publishes them; the module."""
    torch.manual_seed(seed)
    spec = MODEL.get(name).clip_spec
    module = MODEL.get(name).build(num_classes=classes, num_frames=spec.num_frames, crop_size=spec.crop_size)
    torch.save({"model_state": module.state_dict(), **more}, path)
    return module
