"""StillMix as an example plugin: what is mixed by hand, which frames are in the bank, with any objective."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from pvbias.config import complete
from pvbias.context import Context
from pvbias.engine import MiniBatch
from pvbias.engine.seeding import seed_everything
from pvbias.engine.transform import apply_transforms
from pvbias.errors import DataError
from pvbias.models import build_recognizer
from pvbias.registries import DATASET, STUDENT, TRANSFORM
from pvbias.run import run
from pvbias.runtime import choose_settings

from .example_plugins import configured, importable


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


class Greys:
    """Still videos of one grey each, level 8 * n; the label says dark (0) or bright (1), but of three it is wrong."""

    class_names, description = (), "greys"
    wrong = (2, 12, 30)

    def __init__(self, cfg, split):
        (first, *_) = DATASET.get("brush_mnist")(cfg, split).records
        self.records = [
            dataclasses.replace(first, path=f"grey:{n}", name=f"{n}", label=int((n >= 16) != (n in self.wrong)))
            for n in range(32)
        ]

    def open(self, record):
        return Grey(8 * int(record.name))


class Grey:
    timestamps, duration = np.arange(8) / 30, 8 / 30

    def __init__(self, level):
        self.level = level

    def read(self, times, size):
        return np.full((len(times), *size(16, 16), 3), self.level, np.uint8)

    def close(self):
        pass


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        DATASET.register(Greys, name="greys")
        STUDENT.register(MeanColour, name="mean_colour")
        yield


def still_mix(folder, *overrides):
    common = ("TRAIN.TRANSFORMS", "['still_mix']", "STUDENT.NAME", "mean_colour", "TRAIN.DATASET", "greys")
    off = ("TEST.ENABLE", False, "BIAS.ENABLE", False)
    return configured(folder, "still_mix", *common, *off, *overrides)


def made(folder, *overrides):
    cfg = complete(still_mix(folder, *overrides), num_classes=10)
    recognizer = build_recognizer(cfg)
    return TRANSFORM.get("still_mix")(cfg, recognizer), Context(cfg, choose_settings(cfg, recognizer, training=True))


def batch_of(count=200, **fields):
    names = [f"{n}.mp4" for n in range(count)]
    clips = torch.linspace(0, 1, 4).view(1, 1, 4, 1, 1).expand(count, 3, 4, 8, 8).contiguous()
    return MiniBatch(clips=clips, labels=torch.arange(count) % 3, names=names, **fields)


def mixed(transform, batch):
    return apply_transforms([transform], batch, rng_seed=0, epoch=0.5)


def test_clips_are_mixed_and_labels_stay(tmp_path):
    """A white frame and lambda of a half, or nearly: half of the clips go from 0 .. 1 to 1/2 .. 1."""
    transform, _ = made(tmp_path, "STILL_MIX.ALPHA", 1e6)
    transform.bank = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    batch = batch_of()
    found = mixed(transform, batch)
    assert found.labels is batch.labels
    is_mixed = found.clips[:, 0, 0, 0, 0] > 0
    assert 80 < is_mixed.sum() < 120  # of 200, by coin
    torch.testing.assert_close(found.clips[~is_mixed], batch.clips[~is_mixed])
    torch.testing.assert_close(found.clips[is_mixed], 0.5 + 0.5 * batch.clips[is_mixed], atol=0.01, rtol=0)


def test_weights_are_of_the_beta_distribution(tmp_path):
    """Beta(200, 200): mean 1/2, variance 1 / (4 * 401)."""
    transform, _ = made(tmp_path, "STILL_MIX.PROB", 1.0)
    transform.bank = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)  # of another size
    weights = 1 - mixed(transform, batch_of(2000)).clips[:, 0, 0, 0, 0].double()
    assert weights.mean().item() == pytest.approx(0.5, abs=0.002)
    assert weights.var().item() == pytest.approx(1 / 1604, rel=0.1)


def test_a_clip_is_mixed_alike_in_any_mini_batch(tmp_path):
    transform, _ = made(tmp_path)
    transform.bank = torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8)
    all_of_them, some = batch_of(), batch_of(30)
    assert torch.equal(mixed(transform, all_of_them).clips[:30], mixed(transform, some).clips)


def test_the_bank_has_frames_that_the_network_is_right_about_and_sure_of(tmp_path):
    """The surest half of the 29 that are labelled as they look, in two views: the very dark and the very bright."""
    transform, context = made(tmp_path)
    transform.prepare(context)
    assert transform.bank.shape[1:] == (3, 16, 16)
    distances = sorted((abs(8 * n - 127.5), 8 * n) for n in range(32) if n not in Greys.wrong)
    expected = sorted(level for _, level in distances[-15:])
    levels = transform.bank[:, 0, 0, 0].tolist()
    assert sorted(set(levels)) == expected
    assert len(levels) == 2 * len(expected)
    # Found again, and not by the network being trained again.
    again, context = made(tmp_path)
    context.fit = refuse(context.fit)
    again.prepare(context)
    assert torch.equal(again.bank, transform.bank)


def refuse(fit):
    def fitted(network, source, loss, **options):
        def refused(step):
            raise AssertionError("trained again")

        return fit(network, source, refused, **options)

    return fitted


def test_a_small_bank(tmp_path):
    transform, context = made(tmp_path, "STILL_MIX.BANK_SIZE", 5, "STILL_MIX.QUANTILE", 0.0)
    transform.prepare(context)
    assert len(transform.bank) == 5


def test_a_network_that_is_never_right(tmp_path, monkeypatch):
    monkeypatch.setattr(Greys, "wrong", range(32))
    transform, context = made(tmp_path)
    with pytest.raises(DataError, match="right about no training frame"):
        transform.prepare(context)


@pytest.mark.parametrize("objective", ["CrossEntropy", "DRLDistill", "CrossEntropy + DRLShuffle"])
def test_with_any_objective(tmp_path, objective):
    trained = {}
    for probability in (0.0, 1.0):
        cfg = still_mix(tmp_path / str(probability), "OBJECTIVE.NAME", objective, "STILL_MIX.PROB", probability)
        seed_everything(cfg.RNG_SEED)  # as who launches a run does, for the model's weights
        run(cfg)
        with open(f"{cfg.OUTPUT_DIR}/train_log.jsonl", encoding="utf-8") as lines:
            logged = [json.loads(line) for line in lines]
        trained[probability] = [value for line in logged for name, value in line.items() if name.endswith("loss")]
        assert trained[probability]
    assert trained[0.0] != trained[1.0]
