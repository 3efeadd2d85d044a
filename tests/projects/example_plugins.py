"""What the tests of projects/example_plugins share: the folder on Python's path, and a small configuration."""

import sys
from contextlib import contextmanager
from pathlib import Path

from pvbias.config import load_cfg
from pvbias.config.keys import DECLARED
from pvbias.registries import ALL

PROJECTS = Path(__file__).parents[2] / "projects"

#: Generated videos of digits that move along strokes, in 10 classes, and a network that takes milliseconds.
SMALL = """
MODEL: {MODEL_NAME: r3d_small}
DATA:
  {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 16, TEST_CROP_SIZE: 16, TEST_SHORT_SIDE: 16, RANDOM_FLIP: False}
DECOUPLED: {SIZE: 16, BRUSH_SIZE: 8, FRAMES: 16, LABEL: appearance, TRAIN_VIDEOS: 40, TEST_VIDEOS: 20}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 8}
TEST: {DATASET: brush_mnist, NUM_ENSEMBLE_VIEWS: 2, NUM_SPATIAL_CROPS: 1}
SOLVER: {OPTIMIZING_METHOD: adamw, BASE_LR: 0.003, MAX_EPOCH: 1.0}
DATA_LOADER: {NUM_WORKERS: 0}
TENSORBOARD: {ENABLE: False}
"""


@contextmanager
def importable():
    """The example plugins where Python finds them; afterwards nothing of them is registered or declared."""
    load_cfg()  # what the built-in ones register and declare stays
    restore = [registry.snapshot() for registry in ALL.values()]
    declared = dict(DECLARED)
    sys.path.insert(0, str(PROJECTS))
    try:
        yield
    finally:
        sys.path.remove(str(PROJECTS))
        for undo in restore:
            undo()
        for key in DECLARED.keys() - declared.keys():
            del DECLARED[key]
        for name in [name for name in sys.modules if name.partition(".")[0] == "example_plugins"]:
            del sys.modules[name]


def configured(folder, plugin, *overrides):
    """The small configuration with one of the plugins."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(SMALL)
    named = ("PLUGINS", f"['example_plugins.{plugin}']", "OUTPUT_DIR", str(folder / "run"))
    return load_cfg(folder / "small.yaml", [*named, *map(str, overrides)])
