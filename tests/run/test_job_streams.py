"""A run whose objective takes clips of a second stream, from the configuration to the checkpoint."""

import sys
from types import ModuleType

import pytest
import torch

from pvbias.config import load_cfg
from pvbias.config.stream_keys import declare_stream
from pvbias.engine import Objective, Phase
from pvbias.errors import ConfigError, DataError
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE
from pvbias.run import run

#: Names of the target's videos that steps saw.
seen: list = []


class Adapting(Objective):
    """Cross-entropy beside the mean logits of the target."""

    needs = Needs(streams=("train", "target"))

    def phases(self):
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step):
        target = step.streams["target"]
        seen.extend(target.names)
        gap = (step.logits.mean(0) - target.logits.mean(0)).square().sum()
        return {"loss": torch.nn.functional.cross_entropy(step.logits, step.labels) + gap, "gap": gap}


@pytest.fixture(autouse=True)
def plugin(monkeypatch):
    restore = OBJECTIVE.snapshot()
    OBJECTIVE.register(Adapting)
    module = ModuleType("adaptation")
    module.add_config = lambda cfg: declare_stream(cfg, "target", labelled=False)
    monkeypatch.setitem(sys.modules, "adaptation", module)
    seen.clear()
    yield
    restore()


SETTINGS = """
PLUGINS: [adaptation]
MODEL: {MODEL_NAME: r3d_small}
OBJECTIVE: {NAME: Adapting}
DATA:
  NUM_FRAMES: 4
  SAMPLING_RATE: 4
  TRAIN_CROP_SIZE: 16
  TEST_SHORT_SIDE: 20
  RANDOM_FLIP: False
  STREAMS: {target: {DATASET: brush_mnist, SPLIT: test, BATCH_SIZE: 2}}
DECOUPLED: {SIZE: 16, BRUSH_SIZE: 8, FRAMES: 16, LABEL: motion, TRAIN_VIDEOS: 8, TEST_VIDEOS: 6}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 4}
SOLVER: {BASE_LR: 0.01, MAX_EPOCH: 2.0}
DATA_LOADER: {NUM_WORKERS: 0}
TENSORBOARD: {ENABLE: False}
TEST: {ENABLE: False}
BIAS: {ENABLE: False}
"""


@pytest.fixture
def configured(tmp_path):
    def load(*overrides):
        (tmp_path / "run.yaml").write_text(SETTINGS)
        return load_cfg(tmp_path / "run.yaml", ["OUTPUT_DIR", str(tmp_path / "run"), *overrides])

    return load


def test_videos_of_a_split_are_the_target(configured, tmp_path):
    run(configured())
    assert len(seen) == 2 * 2 * 2
    assert all("/test/" in name for name in seen)
    assert len({*seen[:6]}) == 6  # three mini-batches are the target's epoch, whatever the training's
    assert list((tmp_path / "run" / "checkpoints").glob("*.pyth"))
    with pytest.raises(ConfigError, match=r"target\.SPLIT: was 'brush_mnist.*/test: .*is 'brush_mnist.*/val"):
        run(configured("DATA.STREAMS.target.SPLIT", "val"))


def test_files_of_a_stream_that_are_not_there_end_the_run_before_it_trains(configured, tmp_path):
    (tmp_path / "target.csv").write_text("a.mp4\nb.mp4\n")
    listed = ("DATA.STREAMS.target.DATASET", "videos", "DATA.STREAMS.target.SPLIT", str(tmp_path / "target.csv"))
    with pytest.raises(DataError, match=r"2 of the 2 videos of .*target\.csv cannot be used \(missing 2\)"):
        run(configured(*listed))
    assert not seen


def test_labels_of_a_labelled_stream_have_to_be_the_models_classes(configured, tmp_path):
    (tmp_path / "target.csv").write_text("a.mp4 three\nb.mp4 four\n")
    listed = ("DATA.STREAMS.target.DATASET", "videos", "DATA.STREAMS.target.SPLIT", str(tmp_path / "target.csv"))
    with pytest.raises(DataError, match=r"target\.csv has 2 classes by name .*the model 10 outputs"):
        run(configured(*listed, "DATA.STREAMS.target.LABELLED", "True"))
