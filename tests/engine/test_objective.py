"""A step's two forwards: nothing but the clips differs between them."""

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from pvbias.engine import Step
from pvbias.models import Recognizer

from .toys import CLASSES, SPEC, TinyNet, tiny_recognizer


class Stochastic(TinyNet):
    """Leaves out values (dropout) and whole clips' branches (stochastic depth)."""

    def __init__(self):
        super().__init__(dropout=0.5)
        self.branch, self.depth = nn.Conv3d(3, 3, 1), StochasticDepth(0.5, "row")

    def forward(self, clip):
        return super().forward(clip + self.depth(self.branch(clip)))


def make_step(clips, recognizer=None):
    torch.manual_seed(0)
    recognizer = recognizer or Recognizer(Stochastic(), clip_spec=SPEC, head="proj").train()
    labels = torch.arange(len(clips)) % CLASSES
    return Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, names=["name"] * len(clips))


def still_clips(number=8):
    return torch.rand(number, 3, 1, 8, 8).expand(-1, -1, 4, -1, -1).contiguous()


@pytest.mark.parametrize("clean_first", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_same_clips_give_the_same_logits(clean_first, frozen):
    step = make_step(still_clips())
    if clean_first:
        assert step.logits.requires_grad
    torch.rand(3)  # an objective may draw between the two
    frames = torch.full((8,), 2) if frozen else None
    constant = step.constant_logits(step.clips, frames=frames)
    torch.rand(3)
    # Of the frame alone to rounding, which is far less than one value left out or in.
    close = {"rtol": 1e-5, "atol": 1e-6} if frozen else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(step.logits, constant, **close)
    assert not constant.requires_grad
    torch.testing.assert_close(step.constant_logits(step.clips), constant, **close)
    assert not torch.equal(step.recognizer(step.clips), constant)  # which does draw anew


def test_other_clips_see_the_same_masks():
    """Of a network whose logits are sums of what dropout leaves: where f(x) lost all, f(x~) did, too."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.proj = nn.Dropout(0.5), nn.Linear(1, CLASSES, bias=False)

        def forward(self, clip):
            return self.proj(self.dropout(clip.mean((1, 2, 3, 4))[:, None]))

    step = make_step(torch.rand(64, 3, 4, 8, 8), Recognizer(Sum(), clip_spec=SPEC, head="proj").train())
    left_out = step.logits.sum(1) == 0
    assert 0 < left_out.sum() < 64
    assert torch.equal(step.constant_logits(step.clips.flip(2) / 2 + 0.4).sum(1) == 0, left_out)


def test_the_random_numbers_after_it_are_those_of_the_clean_forward_alone():
    states = []
    for compare in (True, False):
        step = make_step(torch.rand(8, 3, 4, 8, 8))
        torch.manual_seed(1)
        _ = step.logits
        if compare:
            step.constant_logits(step.clips.flip(2))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_statistics_are_those_of_the_clean_clips():
    """And the other clips are normalised with their own: twice as bright, and the logits stay."""
    clips = torch.rand(8, 3, 4, 8, 8) / 2
    recognizer = tiny_recognizer(norm=True).train()
    recognizer.module.conv.padding = (0, 0, 0)  # zeros do not grow brighter
    recognizer.module.norm.eps = 1e-12
    step = make_step(clips, recognizer)
    before = {name: value.clone() for name, value in recognizer.state_dict().items()}
    twice = step.constant_logits(clips * 2)
    assert all(torch.equal(before[name], value) for name, value in recognizer.state_dict().items())
    torch.testing.assert_close(step.logits, twice, rtol=0, atol=1e-5)
    assert not torch.equal(before["module.norm.running_mean"], recognizer.module.norm.running_mean)
