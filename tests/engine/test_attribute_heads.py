"""Training further heads to tell the values of attributes, and measuring them afterwards."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.config import load_cfg
from pvbias.data import VideoRecord
from pvbias.engine import AttributeHeads, Step
from pvbias.engine.composition import build_objective
from pvbias.errors import ConfigError, DataError, WeightsError
from pvbias.evaluation import Evaluator, Figure, Result
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.plugin_loading import load_plugins
from pvbias.registries import EVALUATOR
from pvbias.run import run

from .toys import SPEC, TinyNet, make_cfg

#: With this a training can be made longer.
CONSTANT = ("SOLVER.LR_POLICY", "steps_with_relative_lrs")

SCENES = ["gym", 4, "beach", None, "gym"]


class FakeContext:
    """Records with the attributes of :data:`SCENES`."""

    def source(self, split):
        assert split == "train"
        return self

    @property
    def records(self):
        return [
            VideoRecord(path=f"{number}", name=f"{number}", attributes={} if scene is None else {"scene": scene})
            for number, scene in enumerate(SCENES)
        ]


def recognizer_with(**heads):
    torch.manual_seed(0)
    return Recognizer(TinyNet(), clip_spec=SPEC, head="proj", extra_heads=heads)


def step_of(recognizer, scenes):
    torch.manual_seed(1)
    return Step(
        clips=torch.rand(len(scenes), 3, 4, 8, 8),
        labels=torch.tensor([0, 1, 2, 0, 1])[: len(scenes)],
        recognizer=recognizer,
        epoch=0.0,
        attributes=[{} if scene is None else {"scene": scene} for scene in scenes],
    )


def test_the_loss_is_the_mean_over_the_videos_that_have_the_attribute(tmp_path):
    recognizer = recognizer_with(scene=3)
    objective = AttributeHeads(make_cfg(tmp_path), recognizer)
    assert objective.needs == Needs(attributes=("scene",), splits=("train",))
    objective.prepare(FakeContext())
    assert recognizer.head_classes == {"scene": (4, "beach", "gym")}
    (phase,) = objective.phases()
    step = step_of(recognizer, SCENES)
    terms = phase.loss(step)
    log_p = step.outputs.heads["scene"].log_softmax(1)
    by_hand = -(log_p[0, 2] + log_p[1, 0] + log_p[2, 1] + log_p[4, 2]) / 4
    torch.testing.assert_close(terms["scene_loss"], by_hand)
    torch.testing.assert_close(terms["loss"], F.cross_entropy(step.logits, step.labels) + by_hand)


def test_no_video_of_the_mini_batch_has_the_attribute(tmp_path):
    recognizer = recognizer_with(scene=3)
    objective = AttributeHeads(make_cfg(tmp_path), recognizer)
    objective.prepare(FakeContext())
    step = step_of(recognizer, [None, None])
    terms = objective.phases()[0].loss(step)
    assert terms["scene_loss"] == 0
    terms["loss"].backward()
    assert all(not parameter.grad.any() for parameter in recognizer.extra_heads.parameters())


def test_as_a_term_the_classification_loss_is_there_once(tmp_path):
    recognizer = recognizer_with(scene=3)
    cfg = make_cfg(tmp_path, "OBJECTIVE.NAME", "CrossEntropy + AttributeHeads", "OBJECTIVE.WEIGHTS", [1.0, 0.5])
    objective = build_objective(cfg, recognizer)
    objective.prepare(FakeContext())
    terms = objective.phases()[0].loss(step_of(recognizer, SCENES))
    expected = terms["CrossEntropy/loss"] + 0.5 * terms["AttributeHeads/scene_loss"]
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["AttributeHeads/loss"], terms["AttributeHeads/scene_loss"])


def test_heads_that_are_not_named_too_small_or_not_there(tmp_path):
    with pytest.raises(ConfigError, match="none is named"):
        AttributeHeads(make_cfg(tmp_path), recognizer_with())
    with pytest.raises(ConfigError, match=r"scene=2, .* has 3 values \(4, 'beach', 'gym'\): write scene=3"):
        AttributeHeads(make_cfg(tmp_path), recognizer_with(scene=2)).prepare(FakeContext())


class TwoHeads(TinyNet):
    """Has a head "scene" of two classes itself."""

    def __init__(self):
        super().__init__()
        self.scene = nn.Linear(6, 2)

    def forward(self, clip):
        features = self.conv(clip).mean((2, 3, 4))
        return {"action": self.proj(features), "scene": self.scene(features)}


@pytest.mark.parametrize(
    ("module", "head", "message"),
    [
        (TinyNet, "scene", r"the model has no head 'scene'\. MODEL\.EXTRA_HEADS \[scene=CLASSES\] adds it"),
        (TwoHeads, "scenes", "the model has no head 'scenes'. Did you mean 'scene'"),
        (TwoHeads, "action", "'action' is the model's first head, which learns the labels. The others: scene"),
    ],
)
def test_heads_that_the_model_does_not_have_are_noticed_before_training(module, head, message, tmp_path):
    model = Recognizer(module(), clip_spec=SPEC, head="proj")
    with pytest.raises(ConfigError, match=message):
        AttributeHeads(make_cfg(tmp_path, "OBJECTIVE.ATTRIBUTE_HEADS", [head]), model)


def test_a_model_s_own_head(tmp_path):
    model = Recognizer(TwoHeads(), clip_spec=SPEC, head="proj").train()
    objective = AttributeHeads(make_cfg(tmp_path, "OBJECTIVE.ATTRIBUTE_HEADS", ["scene"]), model)
    assert model.training
    with pytest.raises(ConfigError, match=r"head 'scene' has 2 classes, .* has 3 values \(4, 'beach', 'gym'\)"):
        objective.prepare(FakeContext())


class SceneAccuracy(Evaluator):
    """Percentage of videos whose scene the head tells from the clean clips."""

    needs = Needs(modulations=("original",), attributes=("scene",))

    def process(self, video, outputs):
        predicted = int(outputs["original"].heads["scene"].softmax(1).mean(0).argmax())
        self.rows[video.index] = self.recognizer.head_classes["scene"][predicted] == video.attributes["scene"]

    def evaluate(self):
        value = 100 * float(np.mean(list(self.rows.values())))
        return Result(
            figures=[Figure(name="scene_top1", value=value, unit="%", level="video", count=len(self.rows))],
            tables={"classes": [{"name": name} for name in self.recognizer.head_classes["scene"]]},
        )


@pytest.fixture
def bars_with_scenes(bar_videos, tmp_path):
    """The bar videos with an attribute that says what the label does, one video without it."""
    for split in ("train", "test"):
        lines = []
        for number, line in enumerate((bar_videos / f"{split}.csv").read_text().splitlines()):
            path, label = line.split()
            row = {"path": str(bar_videos / path), "label": int(label)}
            if split == "test" or number:
                row["scene"] = ("shore", "gym")[int(label)]
            lines.append(json.dumps(row))
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    return tmp_path


def keys_for(folder, out, *more):
    return [
        *("MODEL.MODEL_NAME", "r3d_small", "DATA.NUM_FRAMES", "4", "DATA.TRAIN_CROP_SIZE", "16"),
        *("MODEL.EXTRA_HEADS", "[scene=2]", "OBJECTIVE.NAME", "[CrossEntropy, AttributeHeads]"),
        *("DATA.TRAIN_SPLIT", str(folder / "train.jsonl"), "DATA.TEST_SPLIT", str(folder / "test.jsonl")),
        *("TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1", "DATA_LOADER.NUM_WORKERS", "0"),
        *(
            "BIAS.BOOTSTRAP_SAMPLES",
            "200",
            "BIAS.EVALUATORS",
            "[dynamic_score,scene_accuracy]",
            "TRAIN.EVAL_PERIOD",
            "0",
        ),
        *("TRAIN.BATCH_SIZE", "4", "SOLVER.MAX_EPOCH", "2", "TENSORBOARD.ENABLE", "False", "OUTPUT_DIR", str(out)),
        *more,
    ]


def result_of(out):
    return json.loads((out / "results.json").read_text())["results"]


@pytest.fixture
def registered():
    load_plugins([])  # now, for those that they register to stay
    restore = EVALUATOR.snapshot()
    EVALUATOR.register(SceneAccuracy, name="scene_accuracy")
    yield
    restore()


def test_a_run_trains_keeps_resumes_and_measures_its_scene_head(bars_with_scenes, registered, caplog, tmp_path):
    run(load_cfg(None, keys_for(bars_with_scenes, tmp_path / "whole")))
    found = result_of(tmp_path / "whole")
    assert found["scene_accuracy"]["tables"] == {"classes": [{"name": "gym"}, {"name": "shore"}]}
    (path,) = (tmp_path / "whole/checkpoints").glob("checkpoint_epoch_00002.pyth")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["head_classes"] == {"scene": ["gym", "shore"]}
    assert checkpoint["extra_heads"]["scene_head.weight"].shape[0] == 2
    assert not any("scene" in name for name in checkpoint["model_state"])

    # gone on with after an epoch, it comes to the same heads
    run(load_cfg(None, keys_for(bars_with_scenes, tmp_path / "parts", "SOLVER.MAX_EPOCH", "1", *CONSTANT)))
    run(load_cfg(None, keys_for(bars_with_scenes, tmp_path / "parts", *CONSTANT)))
    run(load_cfg(None, keys_for(bars_with_scenes, tmp_path / "at once", *CONSTANT)))
    both = [
        torch.load(tmp_path / name / "checkpoints/checkpoint_epoch_00002.pyth", weights_only=True)["extra_heads"]
        for name in ("parts", "at once")
    ]
    torch.testing.assert_close(both[0], both[1], rtol=0, atol=0)

    # measured alone, the figures are those of the run that trained
    measured = keys_for(bars_with_scenes, tmp_path / "again", "TRAIN.ENABLE", "False")
    run(load_cfg(None, [*measured, "TEST.CHECKPOINT_FILE_PATH", str(path)]))
    assert result_of(tmp_path / "again")["scene_accuracy"] == found["scene_accuracy"]
    assert result_of(tmp_path / "again")["dynamic_score"]["figures"] == found["dynamic_score"]["figures"]

    # weights without the head are not measured with a random one
    torch.save({"model_state": checkpoint["model_state"]}, tmp_path / "zoo.pyth")
    without = keys_for(bars_with_scenes, tmp_path / "zoo", "TRAIN.ENABLE", "False")
    with pytest.raises(WeightsError, match=r"MODEL\.EXTRA_HEADS has scene=2"):
        run(load_cfg(None, [*without, "TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "zoo.pyth")]))

    # a training that starts from them says that its own heads begin anew
    fine_tuned = keys_for(bars_with_scenes, tmp_path / "fine-tuned", "TRAIN.CHECKPOINT_FILE_PATH", str(path))
    with caplog.at_level("WARNING"):
        run(load_cfg(None, fine_tuned))
    assert "heads beside the model's own (scene), which a training does not take over: those of MODEL" in caplog.text


def test_an_attribute_that_no_video_has(bars_with_scenes, registered, tmp_path):
    keys = keys_for(bars_with_scenes, tmp_path / "run", "MODEL.EXTRA_HEADS", "[scenes=2]")
    with pytest.raises(DataError, match=r"OBJECTIVE\.NAME .* asks for 'scenes'"):
        run(load_cfg(None, keys))
