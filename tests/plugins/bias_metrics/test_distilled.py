"""The distilled dynamic score and dataset bias, against closed forms and hand-worked cases."""

import json
import logging
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.config.solvers import complete_solvers
from pvbias.context import Context
from pvbias.data import BadVideoLog, VideoRecord
from pvbias.errors import DataError
from pvbias.evaluation import VideoViews, run_evaluators
from pvbias.models.recognizer import Recognizer
from pvbias.plugins import bias_metrics
from pvbias.registries import DATASET, EVALUATOR, STUDENT
from pvbias.runtime import choose_settings
from pvbias.tools.main import main
from tests.evaluation.toys import as_outputs

FRAMES, SIZE = 4, 8
SPEC = ClipSpec(num_frames=FRAMES, sampling_rate=1, crop_size=SIZE, test_crop_size=SIZE, short_side=SIZE, fps=10.0)


class PerFrame(nn.Module):
    """The mean over frames of a linear classifier of a frame's mean colour (the paper's eq. 1): log-probabilities."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, clips):
        frames = self.head(clips.mean((3, 4)).transpose(1, 2)).log_softmax(2)  # (N, T, K)
        return frames.logsumexp(1) - math.log(frames.shape[1])


class Order(nn.Module):
    """Sees how much brighter the first frame is than the last one, and nothing else."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.head.weight[0], 1.0)
        nn.init.constant_(self.head.weight[1], -1.0)

    def forward(self, clips):
        return self.head((clips[:, :, 0] - clips[:, :, -1]).mean((1, 2, 3))[:, None])


class Tiny(PerFrame):
    """The student; fails in a chosen forward of its training, or of its evaluation while it trains."""

    trained = evaluated = 0  # clips
    fail_at = {}  # noqa: RUF012

    def forward(self, clips):
        kind = "trained" if self.training else "evaluated"
        setattr(Tiny, kind, getattr(Tiny, kind) + len(clips))
        if getattr(Tiny, kind) >= self.fail_at.get(kind, math.inf):
            raise InterruptedError
        return super().forward(clips)


class Fixed(nn.Module):
    """Says (0.6, 0.4) of dark clips and (0.25, 0.75) of bright ones; its training changes nothing."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, clips):
        bright = clips.mean((1, 2, 3, 4))[:, None] > 0.5
        return torch.where(bright, torch.tensor([0.25, 0.75]), torch.tensor([0.6, 0.4])).log() + 0 * self.nothing


class Colours:
    """Videos of as many frames as a clip has, each of one colour drawn anew.

    ``labels``: "none"; "random"; or "shown": the first channel is bright in class 0 and dark in class 1.
    """

    class_names = ()
    description = "colours"

    def __init__(self, split, count, labels):
        numbers = [None if labels == "none" else index % 2 for index in range(count)]
        self.shown = labels == "shown"
        self.records = [
            VideoRecord(path=f"{split}/{index}", name=f"{split}/{index}", label=label)
            for index, label in enumerate(numbers)
        ]

    def open(self, record):
        split, _, number = record.name.partition("/")
        return ColourVideo(np.random.default_rng([len(split), int(number)]), int(number) % 2 if self.shown else None)


class ColourVideo:
    timestamps = np.arange(FRAMES) / 10
    duration = FRAMES / 10

    def __init__(self, rng, shown):
        colours = rng.integers(256, size=(FRAMES, 3))
        if shown is not None:
            colours[:, 0] = 255 * (1 - shown)
        self.frames = np.broadcast_to(colours[:, None, None], (FRAMES, SIZE, SIZE, 3)).astype(np.uint8)

    def read(self, times, size):
        return self.frames[np.searchsorted(self.timestamps, np.asarray(times) + 1e-3, side="right") - 1]

    def close(self):
        pass


def register():
    for labels in ("none", "random", "shown"):
        DATASET.register(lambda cfg, split, labels=labels: Colours(split, 40, labels), name=f"colours_{labels}")
    STUDENT.register(lambda cfg, num_classes: Tiny(num_classes), name="tiny")
    STUDENT.register(lambda cfg, num_classes: Fixed(), name="fixed")


@pytest.fixture(autouse=True)
def registered():
    restore = DATASET.snapshot(), STUDENT.snapshot()
    register()
    Tiny.trained = Tiny.evaluated = 0
    Tiny.fail_at = {}
    yield
    for undo in restore:
        undo()


def config(folder, *, labels="none", epochs=15.0, **student):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.NUM_GPUS, cfg.TENSORBOARD.ENABLE = str(folder), 0, False
    cfg.MODEL.NUM_CLASSES, cfg.DATA_LOADER.NUM_WORKERS = 2, 0
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS = FRAMES, 1, 10.0
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = SIZE
    cfg.DATA.TRAIN_JITTER_SCALES = [SIZE, SIZE]
    cfg.TRAIN.DATASET = cfg.TEST.DATASET = f"colours_{labels}"
    cfg.TEST.NUM_ENSEMBLE_VIEWS = cfg.TEST.NUM_SPATIAL_CROPS = 1
    cfg.TRAIN.BATCH_SIZE = 6
    cfg.BIAS.BOOTSTRAP_SAMPLES = 100
    cfg.STUDENT.NAME = "tiny"
    for key, value in {"BASE_LR": 0.3, "OPTIMIZING_METHOD": "adam", "MAX_EPOCH": epochs, **student}.items():
        cfg.STUDENT.SOLVER[key] = value
    complete_solvers(cfg)
    return cfg


def recognizer(module=None, *, seed=0):
    torch.manual_seed(seed)
    if module is None:
        module = PerFrame(2)
        nn.init.normal_(module.head.weight)
    return Recognizer(module, clip_spec=SPEC, head="head")


def measure(cfg, evaluator, model=None, *, labels=None):
    """The result on 40 test videos; ``labels``: those of the test videos, if others than those of the training."""
    model = model or recognizer()
    measured = EVALUATOR.get(evaluator)(cfg, model, ())
    settings = choose_settings(cfg, model, training=False)
    settings.place(model)
    source = Colours("test", 40, labels or cfg.TEST.DATASET.partition("_")[2])
    bad_log = BadVideoLog(cfg.OUTPUT_DIR, 0.1)
    results = run_evaluators(
        cfg, model, source, {evaluator: measured}, settings=settings, bad_log=bad_log, progress=False
    )
    return results.get(evaluator), measured


def values(result):
    return {(figure.name, figure.level): figure.value for figure in result.figures}


def students(folder):
    return sorted(path.name for path in (folder / "fitted").iterdir())


def test_a_per_frame_recognizer_is_matched(tmp_path):
    """f is one of the classifiers that the minimum is over."""
    result, _ = measure(config(tmp_path), "dynamic_score_distill")
    assert values(result)["dynamic_score", "clip"] < 0.01
    assert values(result)["agreement", "clip"] > 90
    assert {figure.variant for figure in result.figures} == {"distill"}
    figure = result.figures[0]
    assert figure.interval[0] <= figure.value <= figure.interval[1]
    assert figure.count == 40


def test_a_recognizer_of_the_order_is_not(tmp_path):
    """Frames alone do not tell which came first, so the best student says one half: KL(p || 1/2) = ln 2 - H(p)."""
    model = recognizer(Order())
    deficits = []
    for record in Colours("test", 40, "none").records:
        frames = torch.tensor(Colours("test", 40, "none").open(record).frames).permute(3, 0, 1, 2)[None]
        p = model(frames).softmax(1)
        deficits.append((math.log(2) + (p * p.log()).sum()).item())
    result, measured = measure(config(tmp_path), "dynamic_score_distill", model)
    expected = sum(deficits) / len(deficits)
    assert expected > 0.2
    assert values(result)["dynamic_score", "clip"] == pytest.approx(expected, rel=0.15)
    table = result.tables["student_training"]
    assert [row["epoch"] for row in table] == list(range(1, 16))
    best = min(range(15), key=lambda epoch: table[epoch]["held_out_loss"])
    assert [row["best"] for row in table] == [epoch == best for epoch in range(15)]
    assert not measured.student.training


@pytest.mark.parametrize(("labels", "low", "high"), [("shown", 0.0, 0.05), ("random", 0.6, 0.8)])
def test_dataset_bias_is_what_frames_give_away_of_the_labels(tmp_path, labels, low, high):
    """Nothing to give away: ln 2 = 0.69."""
    result, _ = measure(config(tmp_path, labels=labels), "dataset_bias")
    assert low <= values(result)["dataset_bias", "clip"] < high
    assert (values(result)["student_top1", "video"] == 100) == (labels == "shown")


def test_dataset_bias_has_the_classes_of_the_labels(tmp_path):
    """... and not the recognizer's five, of which it knows nothing either."""
    cfg = config(tmp_path, labels="shown", epochs=1.0)
    cfg.MODEL.NUM_CLASSES = 5
    first, measured = measure(cfg, "dataset_bias", recognizer(PerFrame(5)))
    assert measured.student.num_classes == 2
    again, _ = measure(cfg, "dataset_bias", recognizer(PerFrame(5), seed=7))
    assert again.figures == first.figures
    assert len(students(tmp_path)) == 1

    with pytest.raises(DataError, match=r"'x' has the label 3.*are 0 to 1"):
        measured.process(
            VideoViews(index=0, name="x", label=3, clips=clip(0)), as_outputs({"original": torch.zeros(1, 5)})
        )


def clip(*greys):
    return torch.stack([torch.full((3, FRAMES, SIZE, SIZE), grey, dtype=torch.uint8) for grey in greys])


def prepared(cfg, evaluator, model):
    measured = EVALUATOR.get(evaluator)(cfg, model.eval(), ())
    measured.prepare(Context(cfg, choose_settings(cfg, model, training=False)))
    return measured


def test_distilled_score_by_hand(tmp_path):
    """Two views of one video; all of them together are said to be the mean of the two."""
    cfg = config(tmp_path, epochs=1.0)
    cfg.STUDENT.NAME = "fixed"
    measured = prepared(cfg, "dynamic_score_distill", recognizer())
    logits = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).log() + 3
    measured.process(VideoViews(index=0, name="x", label=None, clips=clip(10, 250)), as_outputs({"original": logits}))
    found = values(measured.evaluate())
    first = 0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    second = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert found["dynamic_score", "clip"] == pytest.approx((first + second) / 2, rel=1e-5)
    together = 0.7 * math.log(0.7 / 0.425) + 0.3 * math.log(0.3 / 0.575)
    assert found["dynamic_score", "video"] == pytest.approx(together, rel=1e-5)
    assert found["agreement", "clip"] == 50
    assert found["agreement", "video"] == 0


def test_dataset_bias_by_hand(tmp_path):
    cfg = config(tmp_path, labels="shown", epochs=1.0)
    cfg.STUDENT.NAME = "fixed"
    measured = prepared(cfg, "dataset_bias", recognizer())
    for index, label in enumerate((1, None)):
        views = VideoViews(index=index, name=str(index), label=label, clips=clip(10, 250))
        measured.process(views, as_outputs({"original": torch.zeros(2, 2)}))
    result = measured.evaluate()
    found = values(result)
    assert found["dataset_bias", "clip"] == pytest.approx(-(math.log(0.4) + math.log(0.75)) / 2, rel=1e-5)
    assert found["dataset_bias", "video"] == pytest.approx(-math.log((0.4 + 0.75) / 2), rel=1e-5)
    assert found["student_top1", "clip"] == 50
    assert found["student_top1", "video"] == 100
    assert {figure.note for figure in result.figures} == {"1 videos without a label are left out"}
    del measured.rows[0]
    assert "None of the 1 videos has a label" in measured.evaluate().not_applicable


def test_a_finished_student_is_not_trained_again(tmp_path, caplog):
    cfg = config(tmp_path, epochs=3.0)
    first, _ = measure(cfg, "dynamic_score_distill")
    Tiny.trained = 0
    torch.rand(5)
    with caplog.at_level(logging.INFO):
        second, _ = measure(cfg, "dynamic_score_distill")
    assert Tiny.trained == 0
    assert "finished, and is not trained again" in caplog.text
    assert second == first
    (student,) = students(tmp_path)
    assert student.startswith("dynamic_score_distill-")


def test_what_makes_another_student(tmp_path):
    cfg = config(tmp_path, epochs=1.0)
    model = recognizer()
    measure(cfg, "dynamic_score_distill", model)
    cfg.TEST.BATCH_SIZE, cfg.DATA.PATH_PREFIX, cfg.BIAS.BOOTSTRAP_SAMPLES = 3, "elsewhere", 200
    measure(cfg, "dynamic_score_distill", model)
    assert len(students(tmp_path)) == 1
    with torch.no_grad():
        model.head.bias[0].add_(1e-6)
    measure(cfg, "dynamic_score_distill", model)
    assert len(students(tmp_path)) == 2
    cfg.RNG_SEED = 1
    measure(cfg, "dynamic_score_distill", model)
    cfg.STUDENT.SOLVER.BASE_LR = 0.2
    measure(cfg, "dynamic_score_distill", model)
    cfg.TRAIN.DATASET = "colours_shown"
    measure(cfg, "dynamic_score_distill", model)  # same names; the labels, which differ, take no part
    assert len(students(tmp_path)) == 4
    measure(cfg, "dataset_bias", model)
    assert len(students(tmp_path)) == 5


@pytest.mark.parametrize(
    ("fail_at", "left"),
    [({"trained": 50}, 3), ({"evaluated": 8}, 2)],
    ids=["in an epoch", "before it is measured"],
)
def test_an_interrupted_training_goes_on_to_the_same_student(tmp_path, fail_at, left):
    """36 clips an epoch, and 4 held out: both fail in the second epoch."""
    whole, _ = measure(config(tmp_path / "whole", epochs=4.0), "dynamic_score_distill")
    Tiny.trained, Tiny.evaluated, Tiny.fail_at = 0, 0, fail_at
    with pytest.raises(InterruptedError):
        measure(config(tmp_path / "parts", epochs=4.0), "dynamic_score_distill")
    Tiny.trained, Tiny.fail_at = 0, {}
    parts, _ = measure(config(tmp_path / "parts", epochs=4.0), "dynamic_score_distill")
    assert Tiny.trained == left * 36  # what was trained is kept
    assert parts == whole
    saved = [torch.load(next((tmp_path / run).glob("fitted/*/network.pyth"))) for run in ("whole", "parts")]
    assert torch.equal(saved[0]["model_state"]["head.weight"], saved[1]["model_state"]["head.weight"])


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    """With a learning rate that makes it worse from the fourth epoch on: the student of three epochs."""
    cfg = config(tmp_path, epochs=6.0, LR_POLICY="steps_with_relative_lrs", STEPS=[0, 3], LRS=[1.0, 300.0])
    result, measured = measure(cfg, "dynamic_score_distill")
    losses = [row["held_out_loss"] for row in result.tables["student_training"]]
    assert losses[-1] > 2 * min(losses)
    early = config(tmp_path / "early", epochs=3.0, LR_POLICY="steps_with_relative_lrs")
    expected, other = measure(early, "dynamic_score_distill")
    assert torch.equal(measured.student.module.head.weight, other.student.module.head.weight)
    assert expected.figures == result.figures


def test_the_recognizer_is_left_as_it_was(tmp_path):
    """BatchNorm in training mode, parameters that want gradients: nothing of it is touched."""
    torch.manual_seed(0)
    module = PerFrame(2)
    module.norm = nn.BatchNorm3d(3)
    module.register_forward_pre_hook(lambda module, args: (module.norm(args[0]),))
    model = recognizer(module)
    model.head.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cfg = config(tmp_path, epochs=2.0)
    cfg.BN.USE_PRECISE_STATS = cfg.BN.FREEZE = True
    model.train()
    measure(cfg, "dynamic_score_distill", model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert [parameter.requires_grad for parameter in (model.head.weight, model.head.bias)] == [True, False]
    assert all(parameter.grad is None for parameter in model.parameters())
    (checkpoint,) = tmp_path.glob("fitted/*/checkpoints/*")
    assert torch.load(checkpoint)["model_state"].keys() == {"head.weight", "head.bias"}


def test_what_cannot_be_trained_on(tmp_path):
    cfg = config(tmp_path)
    cfg.TRAIN.DATASET, cfg.DATA.TRAIN_SPLIT = "videos", str(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"training videos cannot be had.*nowhere\.csv.*--train-data"):
        measure(cfg, "dynamic_score_distill", labels="none")
    with pytest.raises(DataError, match=r"labels of colours, and 'train/0' has none"):
        measure(config(tmp_path, labels="none"), "dataset_bias")
    assert not (tmp_path / "fitted").exists()


def test_neither_is_measured_by_default():
    cfg = get_cfg()
    bias_metrics.add_config(cfg)
    assert not {"dynamic_score_distill", "dataset_bias"} & set(cfg.BIAS.EVALUATORS)


def _process(rank, store, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    register()
    result, measured = measure(config(folder, epochs=2.0), "dynamic_score_distill")
    torch.save((result, measured.student.module.state_dict(), measured.fitted.epochs), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_the_student_of_one(tmp_path):
    result, measured = measure(config(tmp_path / "one", epochs=2.0), "dynamic_score_distill")
    (tmp_path / "two").mkdir()
    torch.multiprocessing.start_processes(
        _process, (str(tmp_path / "store"), str(tmp_path / "two")), nprocs=2, start_method="forkserver"
    )
    (found, student, epochs), (nothing, other, same) = (
        torch.load(tmp_path / "two" / f"{rank}.pt", weights_only=False) for rank in (0, 1)
    )
    assert nothing is None
    assert epochs == same
    for name, value in measured.student.module.state_dict().items():
        assert torch.equal(student[name], other[name])
        torch.testing.assert_close(student[name], value, rtol=0, atol=1e-5)
    assert values(found) == pytest.approx(values(result), abs=1e-4)
    assert [row["held_out_loss"] for row in epochs] == pytest.approx(
        [row["held_out_loss"] for row in measured.fitted.epochs], abs=1e-4
    )


def test_from_the_command_line(tmp_path, bar_videos):
    """The labels are directions, which no frame shows; all three scores come out beside dataset bias."""
    from pytorchvideo.models.hub import x3d_xs

    torch.manual_seed(0)
    torch.save({"model_state": x3d_xs(model_num_class=2).state_dict()}, tmp_path / "x3d_xs.pyth")
    small = [
        "DATA.NUM_FRAMES",
        "4",
        "DATA.SAMPLING_RATE",
        "4",
        "DATA.TRAIN_CROP_SIZE",
        "32",
        "DATA.TEST_SHORT_SIDE",
        "40",
    ]
    student = [
        "STUDENT.NAME",
        "tiny",
        "STUDENT.SOLVER.MAX_EPOCH",
        "1.0",
        "TRAIN.BATCH_SIZE",
        "4",
        "TENSORBOARD.ENABLE",
        "False",
    ]
    arguments = ["measure", "--model", "x3d_xs", "--weights", str(tmp_path / "x3d_xs.pyth"), "--workers", "0"]
    arguments += ["--data", str(bar_videos / "test.csv"), "--out", str(tmp_path / "out")]
    metrics = ["--metrics", "dynamic_score", "dynamic_score_distill", "dataset_bias"]
    keys = ["--set", *small, *student, "BIAS.BOOTSTRAP_SAMPLES", "100", "NUM_GPUS", "0"]
    assert main([*arguments, "--train-data", str(bar_videos / "train.csv"), *metrics, *keys]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    scores = [f["variant"] for r in results.values() for f in r["figures"] if f["name"] == "dynamic_score"]
    assert set(scores) == {"distill", "freeze_middle", "shuffle"}
    assert results["dataset_bias"]["figures"][0]["value"] > 0
    assert len(students(tmp_path / "out")) == 2
    assert main([*arguments, "--train-data", str(tmp_path / "nowhere.csv"), *metrics, *keys]) == 3
