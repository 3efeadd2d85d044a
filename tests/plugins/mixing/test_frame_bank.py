"""The bank of frames: those that a 2D network is right about and sure of, chosen once."""

import dataclasses

import numpy as np
import pytest
import torch

from pvbias.config import complete
from pvbias.context import Context
from pvbias.errors import DataError
from pvbias.models import build_recognizer
from pvbias.plugins.mixing import StillMix
from pvbias.registries import DATASET, STUDENT
from pvbias.runtime import choose_settings

from .small import MeanColour, small_cfg


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
def registered():
    restore = [registry.snapshot() for registry in (DATASET, STUDENT)]
    DATASET.register(Greys, name="greys")
    STUDENT.register(MeanColour, name="mean_colour")
    yield
    for undo in restore:
        undo()


def made(folder, *overrides):
    names = ("STUDENT.NAME", "mean_colour", "STUDENT.SOLVER.BASE_LR", 0.001, "TRAIN.DATASET", "greys")
    cfg = complete(small_cfg(folder, *names, *overrides), num_classes=10)
    recognizer = build_recognizer(cfg)
    return StillMix(cfg, recognizer), Context(cfg, choose_settings(cfg, recognizer, training=True))


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
