"""Training with several streams: what a step sees, in windows and when the run is stopped and goes on; what has to be
configured, and what makes another training."""

import logging

import pytest
import torch

from pvbias.config.stream_keys import complete_streams, declare_stream
from pvbias.data import build_train_loader
from pvbias.engine import CrossEntropy, Objective, Phase, newest_checkpoint, train
from pvbias.errors import ConfigError
from pvbias.interruption import Interrupted, request_stop
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE

from ..data.test_streams import Videos
from .toys import make_cfg, tiny_recognizer, weights

#: Names that the steps of the process saw: (of the first stream, of the target).
seen: list = []


class Adapting(Objective):
    """Cross-entropy, and the same mean logits on both streams."""

    needs = Needs(streams=("train", "target"))

    def phases(self):
        modules = {"recognizer": self.base_recognizer}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step):
        target = step.streams["target"]
        assert step.streams["train"] is step
        with pytest.raises(ConfigError, match="has no labels"):
            _ = target.labels
        seen.append((list(step.names), list(target.names)))
        gap = (step.logits.mean(0) - target.logits.mean(0)).square().sum()
        loss = torch.nn.functional.cross_entropy(step.logits, step.labels) + gap
        return {"loss": loss, "gap": gap}


@pytest.fixture(autouse=True)
def registered():
    restore = OBJECTIVE.snapshot()
    OBJECTIVE.register(Adapting)
    seen.clear()
    yield
    restore()


def configured(folder, *overrides, split="target.csv", objective="Adapting"):
    cfg = make_cfg(
        folder,
        *("OBJECTIVE.NAME", objective, "DATA_LOADER.NUM_WORKERS", 0, "DATA.TARGET_FPS", 30.0),
        *("DATA.NUM_FRAMES", 4, "DATA.SAMPLING_RATE", 1, "DATA.TRAIN_CROP_SIZE", 8, "DATA.MAX_BAD_FRACTION", 0.9),
        *("DATA.TRAIN_JITTER_SCALES", [8, 10], "SOLVER.MAX_EPOCH", 3.0, "TRAIN.CHECKPOINT_MINUTES", 0.0),
        *overrides,
    )
    declare_stream(cfg, "target", labelled=False)
    cfg.DATA.STREAMS.target.update({"SPLIT": split, "BATCH_SIZE": 2})
    complete_streams(cfg)
    return cfg


def sources():
    return Videos("s", 17), {"target": Videos("t", 7, labels=False)}


def fit(cfg, recognizer):
    first, streams = sources()
    return train(cfg, recognizer, first, streams=streams)


def expected(cfg, epochs=3):
    """What the loader gives, in order."""
    first, streams = sources()
    loader = build_train_loader(cfg, first, rank=0, world_size=1, streams=streams)
    return [(batch.names, batch.streams["target"].names) for epoch in range(epochs) for batch in loader.epoch(epoch)]


@pytest.mark.parametrize("window", [1, 3])
def test_each_step_takes_the_next_mini_batch_of_each_stream(tmp_path, window):
    cfg = configured(tmp_path, "TRAIN.ACCUMULATE_STEPS", window)
    summary = fit(cfg, tiny_recognizer())
    assert seen == expected(cfg)
    assert summary.iterations == 3 * -(-4 // window)
    assert summary.metrics["gap"] >= 0


@pytest.mark.parametrize("window", [1, 2])
def test_a_run_that_is_stopped_anywhere_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, window):
    alone = tiny_recognizer(norm=True, dropout=0.5)
    fit(configured(tmp_path / "alone", "TRAIN.ACCUMULATE_STEPS", window), alone)
    whole = list(seen)
    for stop in range(window, len(whole), 3 * window):
        seen.clear()
        cfg = configured(tmp_path / f"stopped{stop}", "TRAIN.ACCUMULATE_STEPS", window)
        loss = Adapting._loss

        def stopping(self, step, stop=stop, loss=loss):
            if len(seen) == stop - 1:
                request_stop()
            return loss(self, step)

        with monkeypatch.context() as patch:
            patch.setattr(Adapting, "_loss", stopping)
            with pytest.raises(Interrupted):
                fit(cfg, tiny_recognizer(norm=True, dropout=0.5))
        assert seen == whole[:stop]
        again = tiny_recognizer(norm=True, dropout=0.5)
        fit(cfg, again)
        assert seen == whole
        assert torch.equal(weights(again), weights(alone))


def test_bad_videos_of_every_stream_are_counted(tmp_path):
    first, streams = Videos("s", 16), {"target": Videos("t", 6, labels=False, bad=(2,))}
    summary = train(configured(tmp_path), tiny_recognizer(), first, streams=streams)
    assert summary.bad_videos["bad_files"] == 1
    # 4 + 2 clips a step, and the bad ones.
    assert summary.bad_videos["read"] == 12 * 6 + summary.bad_videos["bad"]
    assert '"split": "target"' in (tmp_path / "bad_videos.jsonl").read_text()


def test_a_stream_that_is_needed_has_to_be_configured(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"'Adapting' needs clips of the stream 'target': set DATA\.STREAMS\.target"):
        train(configured(tmp_path, split=""), tiny_recognizer(), sources()[0])
    monkeypatch.setattr(Adapting, "needs", Needs(streams=("train", "other")))
    with pytest.raises(ConfigError, match=r"stream 'other': its plugin has to declare .*declare_stream\(cfg,"):
        fit(configured(tmp_path), tiny_recognizer())


def test_a_stream_that_nobody_needs_is_not_read(tmp_path, caplog):
    first, streams = sources()
    with caplog.at_level(logging.WARNING):
        train(configured(tmp_path, objective=CrossEntropy.__name__), tiny_recognizer(), first, streams=streams)
    assert "'CrossEntropy' has no use for DATA.STREAMS.target.SPLIT" in caplog.text
    assert first.opened
    assert not streams["target"].opened


def test_other_videos_in_a_stream_make_another_training(tmp_path):
    fit(configured(tmp_path, "SOLVER.MAX_EPOCH", 1.0), tiny_recognizer())
    assert newest_checkpoint(tmp_path)
    first, _ = sources()
    with pytest.raises(ConfigError, match=r"DATA\.STREAMS\.target\.SPLIT: was 't \(7 videos\)'.*is 't \(8 videos\)'"):
        train(
            configured(tmp_path, "SOLVER.MAX_EPOCH", 1.0),
            tiny_recognizer(),
            first,
            streams={"target": Videos("t", 8, labels=False)},
        )
    cfg = configured(tmp_path, "SOLVER.MAX_EPOCH", 1.0)
    cfg.DATA.STREAMS.target.BATCH_SIZE = 3
    with pytest.raises(ConfigError, match=r"DATA\.STREAMS\.target\.BATCH_SIZE: was 2, is 3"):
        fit(cfg, tiny_recognizer())
    fit(configured(tmp_path, "SOLVER.MAX_EPOCH", 1.0), tiny_recognizer())  # the same one again
