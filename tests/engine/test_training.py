import json
import logging

import pytest
import torch
from fvcore.common.config import CfgNode

from pvbias.config import get_cfg
from pvbias.data import BadVideo
from pvbias.engine import newest_checkpoint, train, training
from pvbias.errors import ConfigError, DataError, WeightsError
from pvbias.registries import OBJECTIVE

from .toys import FakeLoader, TeacherAndStudent, TinyNet, make_cfg, tiny_recognizer, weights


class NoVideos:
    records = ()
    class_names = ()
    description = "no videos"


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def registered():
    restore = OBJECTIVE.snapshot()
    OBJECTIVE.register(TeacherAndStudent)
    yield
    restore()


@pytest.fixture
def fit(monkeypatch):
    """``fit(cfg, recognizer, ...)``: train on generated mini-batches."""

    def run(cfg, recognizer, loader=None, validate=None):
        monkeypatch.setattr(training, "build_train_loader", lambda *_, **__: FakeLoader() if loader is None else loader)
        return train(cfg, recognizer, NoVideos(), validate=validate)

    return run


def four_epochs(folder, *overrides):
    return make_cfg(folder, "SOLVER.MAX_EPOCH", 4.0, "SOLVER.WARMUP_EPOCHS", 1.5, *overrides)


def stop_after(epochs):
    """A validation that interrupts the run after so many epochs."""
    done = []

    def validate():
        done.append(1)
        if len(done) == epochs:
            raise Interrupted
        return {"top1": float(len(done))}

    return validate


@pytest.mark.parametrize(
    ("objective", "method"), [("CrossEntropy", "sgd"), ("TeacherAndStudent", "adamw")], ids=["sgd", "two phases, adamw"]
)
def test_a_resumed_run_is_the_uninterrupted_run_bit_for_bit(tmp_path, fit, objective, method):
    overrides = ("OBJECTIVE.NAME", objective, "SOLVER.OPTIMIZING_METHOD", method, "TRAIN.EVAL_PERIOD", 1)
    whole = tiny_recognizer(norm=True, dropout=0.5)
    fit(four_epochs(tmp_path / "whole", *overrides), whole)

    with pytest.raises(Interrupted):
        fit(
            four_epochs(tmp_path / "parts", *overrides), tiny_recognizer(norm=True, dropout=0.5), validate=stop_after(2)
        )
    resumed, loader = tiny_recognizer(norm=True, dropout=0.5, seed=99), FakeLoader()
    torch.rand(17)  # the generators are somewhere else
    summary = fit(four_epochs(tmp_path / "parts", *overrides), resumed, loader=loader)

    assert summary.resumed_from == tmp_path / "parts/checkpoints/checkpoint_epoch_00002.pyth"
    assert (summary.epochs, summary.iterations, loader.epochs) == (4, 12, [2, 3])
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name
    last = [
        torch.load(tmp_path / run / "checkpoints/checkpoint_epoch_00004.pyth", weights_only=True)
        for run in ("whole", "parts")
    ]
    for key in ("optimizer_state", "other_optimizer_states", "objective_state"):
        assert str(last[0][key]) == str(last[1][key]), key


def test_dropout_matters_in_the_test_above(tmp_path, fit):
    recognizers = [tiny_recognizer(dropout=0.5) for _ in range(2)]
    for seed, recognizer in enumerate(recognizers):
        fit(make_cfg(tmp_path / str(seed), "RNG_SEED", seed), recognizer)
    assert not torch.equal(weights(recognizers[0]), weights(recognizers[1]))


def test_checkpoint_is_slowfasts(tmp_path, fit):
    recognizer = tiny_recognizer(norm=True)
    summary = fit(make_cfg(tmp_path, "MEMORY_FORMAT", "channels_last_3d"), recognizer)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "checkpoint_epoch_00001.pyth",
        "checkpoint_epoch_00002.pyth",
    ]
    checkpoint = torch.load(summary.checkpoint, weights_only=True)
    assert checkpoint["epoch"] == 1  # SlowFast counts the finished epoch from 0
    assert CfgNode.load_cfg(checkpoint["cfg"]).SOLVER.MAX_EPOCH == 2.0
    bare = TinyNet(norm=True)
    bare.load_state_dict(checkpoint["model_state"], strict=True)
    assert torch.equal(weights(bare), weights(recognizer))
    optimizer = torch.optim.SGD(bare.parameters(), lr=1)
    optimizer.load_state_dict(checkpoint["optimizer_state"])
    assert newest_checkpoint(str(tmp_path)) == summary.checkpoint


def test_checkpoint_period_and_auto_resume_off(tmp_path, fit):
    cfg = make_cfg(tmp_path, "SOLVER.MAX_EPOCH", 5.0, "TRAIN.CHECKPOINT_PERIOD", 2)
    fit(cfg, tiny_recognizer())
    numbers = [int(path.stem[-5:]) for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert numbers == [2, 4, 5]

    again = FakeLoader()
    assert fit(cfg, tiny_recognizer(), loader=again).resumed_from is not None
    assert again.epochs == []  # nothing was left to do
    cfg.TRAIN.AUTO_RESUME = False
    assert fit(cfg, tiny_recognizer(), loader=again).resumed_from is None
    assert again.epochs == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["half", "empty", "text", "weights only"])
def test_a_broken_checkpoint_is_passed_over_by_name(tmp_path, fit, caplog, damage):
    fit(make_cfg(tmp_path), tiny_recognizer())
    broken = tmp_path / "checkpoints/checkpoint_epoch_00002.pyth"
    whole = broken.read_bytes()
    contents = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"not a checkpoint"}
    if damage == "weights only":
        torch.save({"model_state": tiny_recognizer().module.state_dict()}, broken)
    else:
        broken.write_bytes(contents[damage])
    with caplog.at_level(logging.WARNING):
        summary = fit(make_cfg(tmp_path), tiny_recognizer(), loader=(loader := FakeLoader()))
    assert summary.resumed_from.name == "checkpoint_epoch_00001.pyth"
    assert loader.epochs == [1]
    assert str(broken) in caplog.text


def test_a_checkpoint_of_another_model_is_an_error(tmp_path, fit):
    fit(make_cfg(tmp_path), tiny_recognizer())
    with pytest.raises(WeightsError, match=r"does not fit this run's model.*AUTO_RESUME"):
        fit(make_cfg(tmp_path), tiny_recognizer(norm=True))


def test_validation_and_log(tmp_path, fit):
    recognizer = tiny_recognizer(dropout=0.5)

    def validate():
        recognizer.eval()  # the trainer has to bring it back to training mode itself
        return {"top1": 12.5}

    overrides = ("SOLVER.MAX_EPOCH", 3.0, "TRAIN.EVAL_PERIOD", 2, "TENSORBOARD.ENABLE", True)
    summary = fit(make_cfg(tmp_path, *overrides), recognizer, validate=validate)
    assert summary.validation == {"top1": 12.5}
    assert recognizer.training is False
    lines = [json.loads(line) for line in (tmp_path / "train_log.jsonl").read_text().splitlines()]
    validations = [(line["epoch"], line["top1"]) for line in lines if line["kind"] == "validation"]
    assert validations == [(2.0, 12.5), (3.0, 12.5)]
    assert summary.metrics["loss"] == lines[-2]["loss"]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation/top1")] == [6, 9]
    assert {"train/loss", "train/top1", "train/lr"} <= set(events.Tags()["scalars"])


def test_precise_batch_norm_is_the_mean_over_mini_batches(tmp_path, fit):
    recognizer = tiny_recognizer(norm=True)
    cfg = make_cfg(tmp_path, "BN.USE_PRECISE_STATS", True, "SOLVER.MAX_EPOCH", 1.0)
    fit(cfg, recognizer)
    with torch.no_grad():
        clips = torch.cat([batch.clips for batch in FakeLoader().epoch(0)])
        before_norm = recognizer.module.conv(recognizer.normalize(clips)).movedim(1, 0).flatten(1)
    norm = recognizer.module.norm
    torch.testing.assert_close(norm.running_mean, before_norm.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, before_norm.var(1, unbiased=False), rtol=1e-4, atol=1e-5)


def test_batch_norm_over_all_processes_needs_batch_norm(tmp_path, fit):
    cfg = make_cfg(tmp_path, "BN.NORM_TYPE", "sync_batchnorm", "SOLVER.MAX_EPOCH", 1.0)
    with pytest.raises(ConfigError, match=r"BN\.NORM_TYPE = 'sync_batchnorm': the model has no BatchNorm"):
        fit(cfg, tiny_recognizer())
    fit(cfg, recognizer := tiny_recognizer(norm=True))
    fit(make_cfg(tmp_path / "plain", "SOLVER.MAX_EPOCH", 1.0), plain := tiny_recognizer(norm=True))
    assert torch.equal(weights(recognizer), weights(plain))  # of one process


def test_bad_videos_are_listed_and_too_many_end_the_run(tmp_path, fit):
    bad = BadVideo(index=7, path="/videos/torn.mp4", name="torn.mp4", cause="decoder error", detail="at 1.2 s")
    cfg = make_cfg(tmp_path, "DATA.MAX_BAD_FRACTION", 0.5)
    summary = fit(cfg, tiny_recognizer(), loader=FakeLoader(bad=(bad,)))
    assert summary.bad_videos["bad_files"] == 1
    assert "torn.mp4" in (tmp_path / "bad_videos.jsonl").read_text()

    cfg = make_cfg(tmp_path / "strict", "DATA.MAX_BAD_FRACTION", 0.1)
    with pytest.raises(DataError, match=r"torn\.mp4"):
        fit(cfg, tiny_recognizer(), loader=FakeLoader(bad=(bad,)))


def test_nothing_to_train_on(tmp_path, fit):
    class Empty(FakeLoader):
        def __len__(self):
            return 0

    with pytest.raises(DataError, match=r"no mini-batch to train on.*TRAIN.BATCH_SIZE is 4"):
        fit(make_cfg(tmp_path), tiny_recognizer(), loader=Empty())


def test_defaults_are_left_alone(tmp_path, fit):
    cfg = make_cfg(tmp_path)
    before = cfg.dump()
    fit(cfg, tiny_recognizer())
    assert cfg.dump() == before
    assert get_cfg().TRAIN.AUTO_RESUME is True
