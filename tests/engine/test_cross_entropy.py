import math
import types

import pytest
import torch

from pvbias.engine import CrossEntropy, Step
from pvbias.models import Outputs

from .toys import make_cfg, tiny_recognizer


def run(labels, logits, smoothing=0.0):
    cfg = make_cfg("unused", "OBJECTIVE.LABEL_SMOOTHING", smoothing)
    (phase,) = CrossEntropy(cfg, tiny_recognizer()).phases()
    assert phase.name == "recognizer"
    recognizer = types.SimpleNamespace(outputs=lambda clips, features: Outputs({"": logits}))
    return phase.loss(Step(clips=torch.zeros(2, 3, 4, 8, 8), labels=labels, recognizer=recognizer, epoch=0.0))


LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))


def test_indices():
    losses = run(torch.tensor([0, 1]), LOGITS)
    assert losses["loss"].item() == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert losses["top1"].item() == 50.0


def test_soft_targets():
    losses = run(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64), LOGITS)
    expected = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25) + math.log(0.8)) / 2
    assert losses["loss"].item() == pytest.approx(expected)
    assert losses["top1"].item() == 100.0


def test_label_smoothing_by_hand():
    losses = run(torch.tensor([0, 2]), LOGITS, smoothing=0.3)
    first = -(0.8 * math.log(0.5) + 0.1 * math.log(0.25) + 0.1 * math.log(0.25))
    second = -(0.1 * math.log(0.1) + 0.1 * math.log(0.1) + 0.8 * math.log(0.8))
    assert losses["loss"].item() == pytest.approx((first + second) / 2)


def test_label_smoothing_below_zero_by_hand():
    """s = -0.3: 1.3 - 0.1 for the label, -0.1 for the two others."""
    losses = run(torch.tensor([0, 2]), LOGITS, smoothing=-0.3)
    first = -(1.2 * math.log(0.5) - 0.1 * math.log(0.25) - 0.1 * math.log(0.25))
    second = -(-0.1 * math.log(0.1) - 0.1 * math.log(0.1) + 1.2 * math.log(0.8))
    assert losses["loss"].item() == pytest.approx((first + second) / 2)
    soft = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert run(soft, LOGITS, smoothing=-0.3)["loss"].item() == pytest.approx(losses["loss"].item())


def test_half_precision_logits_are_not_scored_in_half_precision():
    logits = torch.tensor([[20.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert run(torch.tensor([0]), logits)["loss"].item() == pytest.approx(math.log1p(2 * math.exp(-20)), abs=1e-7)
