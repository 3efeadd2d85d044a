"""ALBAR: by hand, beside the numbers of the released code, its second derivatives, and what it leaves alone."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.engine import CrossEntropy, Step
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.plugins.debias_baselines import ALBAR
from pvbias.plugins.debias_baselines.albar import PENALTY_NORMS, gradient_penalty, negative_entropy

from ...engine.toys import SPEC, FakeLoader, make_trainer, tiny_recognizer, weights
from .given import debias_cfg, waves


def step_of(recognizer, clips, labels):
    names = [f"{n}.mp4" for n in range(len(clips))]
    return Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, names=names)


class Mean(nn.Module):
    """A linear classifier of a clip's mean colour."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 2, bias=False)

    def forward(self, clip):
        return self.proj(clip.mean((2, 3, 4)))


@pytest.mark.parametrize(("norm", "cells"), [("columns", 4 * 8), ("clips", 4 * 8 * 8)])
def test_by_hand(norm, cells, tmp_path):
    """The sum of logits has the gradient s_c / 256 for each of the 4 x 8 x 8 normalised values of the channel c, with s
    the sums of the weights (1, 2, 2): of ``cells`` of them the norm is 3 sqrt(cells) / 256."""
    recognizer = Recognizer(Mean(), clip_spec=SPEC, head="proj")
    with torch.no_grad():
        recognizer.module.proj.weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 2.0]]))
    keys = ("ALBAR.STILL_WEIGHT", 0.5, "ALBAR.ENTROPY_WEIGHT", 2.0, "ALBAR.PENALTY_NORM", norm, "ALBAR.FRAME", "first")
    (phase,) = ALBAR(debias_cfg(tmp_path, *keys), recognizer).phases()
    clips = torch.rand(1, 3, 4, 8, 8)
    values = phase.loss(step_of(recognizer, clips, torch.tensor([0])))
    with torch.no_grad():
        p, still = (recognizer(x).softmax(1)[0] for x in (clips, clips[:, :, :1].expand(-1, -1, 4, -1, -1)))
    penalty = 3 * math.sqrt(cells) / 256
    assert values["gradient_penalty"].item() == pytest.approx(penalty, rel=1e-4)
    entropy = (still * still.log()).sum()
    expected = -p[0].log() + 0.5 * still[0].log() + 2 * entropy + 10 * penalty
    assert values["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    # d |s| / d w_kc = s_c / |s|, for both classes.
    recognizer.zero_grad()
    values["gradient_penalty"].backward()
    found = recognizer.module.proj.weight.grad
    expected = torch.tensor([1.0, 2.0, 2.0]) / 3 * math.sqrt(cells) / 256
    torch.testing.assert_close(found, expected.expand(2, 3), rtol=1e-4, atol=1e-7)


def test_beside_the_released_code():
    """UCF-CRCV/ALBAR at c6751fa, entropy_loss.py and the loss of train.py, on the same tensors."""
    layer, clips = 0.1 * waves(3, 120, rate=0.9), waves(2, 3, 2, 4, 5, rate=0.11).requires_grad_()
    labels, moving = torch.tensor([0, 1]), 2 * waves(4, 3, rate=1.0)[:2]
    logits = torch.tanh(clips.flatten(1) @ layer.T)
    entropy = negative_entropy(logits)
    penalty = gradient_penalty(logits, clips, torch.ones(1, 3, 1, 1, 1), PENALTY_NORMS["columns"])
    assert entropy.item() == pytest.approx(-1.0981068682, rel=1e-9)
    assert penalty.item() == pytest.approx(0.6047242307, rel=1e-9)
    loss = F.cross_entropy(moving, labels) - F.cross_entropy(logits, labels) + 4.25 * entropy + 10 * penalty
    assert loss.item() == pytest.approx(1.6539854669, rel=1e-9)


@pytest.mark.parametrize("norm", list(PENALTY_NORMS))
def test_gradients_against_finite_differences(norm):
    clips, std = waves(2, 3, 2, 3, 3, rate=0.11), torch.tensor([0.2, 0.3, 0.5]).view(1, 3, 1, 1, 1)

    def penalty(weight):
        still = clips.clone().requires_grad_()
        logits = F.conv3d(still, weight, padding=1).tanh().mean((2, 3, 4))
        return gradient_penalty(logits, still, std, PENALTY_NORMS[norm])

    assert torch.autograd.gradcheck(penalty, (0.1 * waves(2, 3, 3, 3, 3, rate=0.9).requires_grad_(),))
    assert torch.autograd.gradcheck(negative_entropy, (waves(4, 3, rate=1.0).requires_grad_(),))


def test_a_mini_batch_in_two_parts_is_one(tmp_path):
    """Second derivatives accumulate as the others do."""
    trained = []
    for size, parts in ((8, 1), (4, 2)):
        cfg = debias_cfg(tmp_path, "TRAIN.ACCUMULATE_STEPS", parts, "SOLVER.MAX_EPOCH", 1.0)
        batches = [batch for batch in FakeLoader(1, batch_size=8).epoch(0)]
        loader = Parts(batches[0], 8 // size)
        trainer = make_trainer(cfg, tiny_recognizer(), ALBAR, loader)
        trainer.train()
        trained.append(weights(trainer.recognizer))
    torch.testing.assert_close(trained[0], trained[1], rtol=0, atol=1e-6)


class Parts:
    """A mini-batch as several of equal size."""

    def __init__(self, batch, count):
        self.batch, self.count = batch, count

    def __len__(self):
        return self.count

    def epoch(self, epoch, start=0):
        size = len(self.batch.names) // self.count
        for number in range(self.count):
            part = slice(number * size, (number + 1) * size)
            yield type(self.batch)(
                clips=self.batch.clips[part], labels=self.batch.labels[part], names=self.batch.names[part], bad=[]
            )


def test_with_weights_of_zero_it_is_cross_entropy_bit_for_bit(tmp_path):
    off = [part for name in ("STILL", "ENTROPY", "PENALTY") for part in (f"ALBAR.{name}_WEIGHT", 0.0)]
    states = []
    for objective in (CrossEntropy, ALBAR):
        recognizer = tiny_recognizer(norm=True, dropout=0.5)
        make_trainer(debias_cfg(tmp_path, *off), recognizer, objective, FakeLoader(2)).train()
        states.append(recognizer.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_still_clips_leave_no_trace_in_batch_norm(tmp_path):
    recognizer = tiny_recognizer(norm=True).train()
    (phase,) = ALBAR(debias_cfg(tmp_path), recognizer).phases()
    clips = torch.rand(4, 3, 4, 8, 8)
    other = tiny_recognizer(norm=True).train()
    phase.loss(step_of(recognizer, clips, torch.tensor([0, 1, 2, 0])))["loss"].backward()
    other(clips)
    assert torch.equal(recognizer.module.norm.running_mean, other.module.norm.running_mean)
    assert torch.equal(recognizer.module.norm.running_var, other.module.norm.running_var)


def test_synchronised_batch_norm_is_refused_in_several_processes(tmp_path, monkeypatch):
    cfg = debias_cfg(tmp_path, "BN.NORM_TYPE", "sync_batchnorm")
    ALBAR(cfg, tiny_recognizer(norm=True))
    monkeypatch.setattr("pvbias.plugins.debias_baselines.albar.get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match="no second derivative"):
        ALBAR(cfg, tiny_recognizer(norm=True))
    cfg.ALBAR.PENALTY_WEIGHT = 0.0
    ALBAR(cfg, tiny_recognizer(norm=True))
