"""Debiasing objectives as wholes: two processes, interrupted runs, from a configuration, beside other terms."""

import dataclasses
import json
import types
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from pvbias.config import load_cfg
from pvbias.distributed import get_rank, get_world_size
from pvbias.engine import launch
from pvbias.engine.checkpoint import resume, save_checkpoint
from pvbias.engine.seeding import seed_everything
from pvbias.plugins.debias_baselines import (
    ALBAR,
    EntropyPenalty,
    LearnedMixin,
    OtherClipDivergence,
    ReBias,
    RUBi,
    SceneAdversary,
    TemperedCrossEntropy,
)
from pvbias.registries import STUDENT
from pvbias.run import run

from ..engine.toys import FakeLoader, make_trainer, tiny_recognizer, weights
from .debias_baselines.given import debias_cfg

ALL = [RUBi, LearnedMixin, ReBias, SceneAdversary, ALBAR, EntropyPenalty, TemperedCrossEntropy, OtherClipDivergence]
#: Those that have something to keep beside the recognizer.
WITH_NETWORKS = ALL[:4]


@pytest.fixture(autouse=True)
def registered():
    restore = STUDENT.snapshot()
    yield
    restore()


class Shares(FakeLoader):
    """Each process has its part of a mini-batch, one after the other, as the loader of videos gives them."""

    def epoch(self, epoch, start=0):
        size = self.batch_size // self.world_size
        part = slice(self.rank * size, (self.rank + 1) * size)
        for batch in FakeLoader(self.length, self.batch_size).epoch(epoch, start):
            places = [{"scene": int(label) % 2} for label in batch.labels]
            shares = {"clips": batch.clips, "labels": batch.labels, "names": batch.names, "attributes": places}
            yield dataclasses.replace(batch, **{name: values[part] for name, values in shares.items()})


def made(objective, cfg, recognizer):
    """An objective that has seen two scenes, if it looks for scenes."""
    built = objective(cfg, recognizer)
    if objective is SceneAdversary:
        records = [types.SimpleNamespace(attributes={"scene": scene}) for scene in (0, 1)]
        built.prepare(types.SimpleNamespace(source=lambda split: types.SimpleNamespace(records=records)))
    return built


def train_all(cfg):
    """Train with each objective; process 0 writes the weights."""
    results = {}
    for objective in ALL:
        loader = Shares(2, rank=get_rank(), world_size=get_world_size())
        cfg = debias_cfg(cfg.OUTPUT_DIR, "NUM_GPUS", cfg.NUM_GPUS, "REBIAS.WEIGHT", 3.0)
        trainer = make_trainer(cfg, tiny_recognizer(), partial(made, objective), loader)
        if objective is ReBias:  # about the distances of these features, so that HSIC has its say
            trainer.objective.squared_widths = torch.tensor([0.02, 1.0])
        trainer.train()
        results[objective.__name__] = weights(nn.ModuleList([trainer.recognizer, trainer.objective]))
    if get_rank() == 0:
        torch.save(results, Path(cfg.OUTPUT_DIR) / f"weights_{get_world_size()}.pt")


def test_two_processes_take_the_steps_of_one(tmp_path):
    cfg = debias_cfg(tmp_path)
    launch(train_all, cfg)
    cfg.NUM_GPUS = 2
    launch(train_all, cfg)
    one, two = (torch.load(tmp_path / f"weights_{count}.pt") for count in (1, 2))
    assert set(one) == {objective.__name__ for objective in ALL}
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=0, atol=2e-6, msg=name)


@pytest.mark.parametrize("objective", [*WITH_NETWORKS, ALBAR])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(objective, tmp_path):
    def trainer(folder):
        cfg = debias_cfg(folder, "STUDENT.NAME", "noisy", "SOLVER.MAX_EPOCH", 2.0, "SOLVER.LR_POLICY", "cosine")
        recognizer = tiny_recognizer(norm=True, dropout=0.5)
        torch.manual_seed(5)
        return make_trainer(cfg, recognizer, partial(made, objective), Shares(2))

    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "parts")
    first.max_epochs = 1  # stopped after one of two epochs
    first.train()
    save_checkpoint(first)
    second = trainer(tmp_path / "parts")
    assert resume(second) is not None
    second.train()
    for a, b in ((whole.recognizer, second.recognizer), (whole.objective, second.objective)):
        assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


#: Generated videos of digits, and a network that takes milliseconds.
SMALL = """
MODEL: {MODEL_NAME: r3d_small}
DATA:
  {NUM_FRAMES: 4, SAMPLING_RATE: 4, TRAIN_CROP_SIZE: 16, TEST_CROP_SIZE: 16, TEST_SHORT_SIDE: 16, RANDOM_FLIP: False}
DECOUPLED: {SIZE: 16, BRUSH_SIZE: 8, FRAMES: 16, LABEL: appearance, TRAIN_VIDEOS: 16}
TRAIN: {DATASET: brush_mnist, BATCH_SIZE: 8}
STUDENT: {NAME: small}
TEST: {ENABLE: False}
BIAS: {ENABLE: False}
SOLVER: {BASE_LR: 0.003, MAX_EPOCH: 1.0}
DATA_LOADER: {NUM_WORKERS: 0}
TENSORBOARD: {ENABLE: False}
"""


def logged(folder, name, *overrides):
    """The last line of the training of a run from a configuration."""
    folder.mkdir()
    debias_cfg(folder)  # which registers the student
    (folder / "small.yaml").write_text(SMALL)
    cfg = load_cfg(folder / "small.yaml", ["OBJECTIVE.NAME", name, "OUTPUT_DIR", str(folder / "run"), *overrides])
    seed_everything(cfg.RNG_SEED)  # as who launches a run does, for the model's weights
    run(cfg)
    lines = map(json.loads, (folder / "run/train_log.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "train"][-1]


def test_the_bias_of_learned_mixin_is_trained_first(tmp_path):
    """And is then constant: what is in the checkpoint is what was kept before the first step."""
    logged(tmp_path / "mixin", "LearnedMixin", "STUDENT.SOLVER.MAX_EPOCH", "3.0")
    (kept,) = (tmp_path / "mixin/run/fitted").glob("learned_mixin-*/network.pyth")
    (last,) = (tmp_path / "mixin/run/checkpoints").glob("*.pyth")
    first, state = (torch.load(file, weights_only=True) for file in (kept, last))
    losses = [epoch["training_loss"] for epoch in first["epochs"]]
    assert losses[2] < losses[0]
    for name, value in first["model_state"].items():
        assert torch.equal(state["objective_state"][f"student.{name}"], value)


def test_beside_another_term(tmp_path):
    """The classification loss is RUBi's alone: CrossEntropy is no term beside it, and the entropy of DRLFreeze is."""
    line = logged(tmp_path / "joint", "RUBi + DRLFreeze")
    loss = line["recognizer/RUBi/loss"] + line["recognizer/DRLFreeze/loss"]
    assert line["recognizer/loss"] == pytest.approx(loss, rel=1e-5)
