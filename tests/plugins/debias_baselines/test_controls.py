"""Controls of sharpening: by hand, their gradients, and that DRL's loss is one of them and a rest."""

import math

import pytest
import torch

from pvbias.engine import Step
from pvbias.errors import ConfigError
from pvbias.plugins.debias_baselines import EntropyPenalty, OtherClipDivergence, TemperedCrossEntropy

from ...engine.toys import tiny_recognizer
from .given import debias_cfg, given_step

P = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
LABELS = torch.tensor([0, 1])
CLASSIFICATION = -(math.log(0.5) + math.log(0.1)) / 2


def loss(objective, folder, *keys, logits=None):
    recognizer = tiny_recognizer()
    step = given_step(recognizer, P.log() if logits is None else logits, torch.zeros(2, 6), LABELS)
    (phase,) = objective(debias_cfg(folder, *keys), recognizer).phases()
    return phase.loss(step)


def test_entropy_penalty_by_hand(tmp_path):
    entropy = -(P * P.log()).sum().item() / 2
    values = loss(EntropyPenalty, tmp_path, "ENTROPY_PENALTY.WEIGHT", -0.3)
    assert values["entropy"].item() == pytest.approx(entropy)
    assert values["loss"].item() == pytest.approx(CLASSIFICATION - 0.3 * entropy)


def test_temperature_by_hand(tmp_path):
    """Twice the logarithms over a temperature of 2 are the logarithms."""
    values = loss(TemperedCrossEntropy, tmp_path, "TEMPERED.TEMPERATURE", 2.0, logits=2 * P.log())
    assert values["loss"].item() == pytest.approx(CLASSIFICATION)


def test_other_clip_by_hand(tmp_path):
    """Of two clips each is the other's."""
    values = loss(OtherClipDivergence, tmp_path, "OTHER_CLIP.LAMBDA", 0.7)
    distances = (P * (P.log() - P.flip(0).log())).sum(1)
    assert values["divergence"].item() == pytest.approx(distances.mean().item())
    assert values["loss"].item() == pytest.approx(CLASSIFICATION - 0.7 * distances.mean().item())


def test_other_clip_takes_another_clip(tmp_path):
    """One clip's divergence from itself is 0, and training would be plain cross-entropy under another name."""
    with pytest.raises(ConfigError, match=r"TRAIN\.BATCH_SIZE = 1: OtherClipDivergence"):
        OtherClipDivergence(debias_cfg(tmp_path, "TRAIN.BATCH_SIZE", 1), tiny_recognizer())


def test_gradients(tmp_path):
    """In the logits: of the entropy -p (ln p + H), of the divergence p (ln p / q - KL), q held; over 2 clips."""
    recognizer = tiny_recognizer()
    logits = P.log().requires_grad_()
    step = Step(clips=torch.zeros(2, 3, 4, 8, 8), labels=LABELS, recognizer=recognizer, epoch=0.0)
    step.__dict__["outputs"] = type("Given", (), {"logits": logits})()
    one_hot = torch.nn.functional.one_hot(LABELS, 3)
    entropy = -(P * P.log()).sum(1, keepdim=True)
    ratio = P.log() - P.flip(0).log()
    divergence = (P * ratio).sum(1, keepdim=True)
    for objective, expected in (
        (EntropyPenalty, P - one_hot - 0.5 * P * (P.log() + entropy)),
        (OtherClipDivergence, P - one_hot - 0.5 * P * (ratio - divergence)),
        (TemperedCrossEntropy, ((P.log() / 2).softmax(1) - one_hot) / 2),
    ):
        (phase,) = objective(debias_cfg(tmp_path), recognizer).phases()
        (found,) = torch.autograd.grad(phase.loss(step)["loss"], logits)
        torch.testing.assert_close(found, expected / 2)
