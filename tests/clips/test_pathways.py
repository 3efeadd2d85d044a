"""Pathway packing."""

import pytest
import torch

from pvbias.clips import single_pathway, slow_fast_pathways


def clip_of(num_frames: int) -> torch.Tensor:
    return torch.arange(num_frames, dtype=torch.float32).view(1, 1, -1, 1, 1).expand(2, 3, -1, 2, 2).contiguous()


def test_single_pathway_is_the_clip_itself():
    clip = clip_of(4)
    assert single_pathway(clip) is clip


@pytest.mark.parametrize(
    ("num_frames", "alpha", "slow"),
    # SlowFast: linspace(0, T - 1, T // alpha), cut to whole numbers.
    [(32, 4, [0, 4, 8, 13, 17, 22, 26, 31]), (8, 4, [0, 7]), (4, 4, [0]), (3, 1, [0, 1, 2])],
)
def test_slow_pathway_spreads_its_frames_over_the_clip(num_frames, alpha, slow):
    clip = clip_of(num_frames)
    packed = slow_fast_pathways(alpha=alpha)(clip)
    assert packed[0][0, 0, :, 0, 0].tolist() == slow
    assert packed[1] is clip


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_slow_pathway_keeps_the_memory_layout_and_the_gradient(layout):
    clip = torch.rand(2, 3, 8, 4, 4).contiguous(memory_format=layout).requires_grad_()
    slow, _ = slow_fast_pathways(alpha=4)(clip)
    assert slow.is_contiguous(memory_format=layout)
    slow.sum().backward()
    assert clip.grad is not None
    assert clip.grad.sum(dim=(0, 1, 3, 4)).tolist() == [96, 0, 0, 0, 0, 0, 0, 96]  # 2 x 3 x 4 x 4 pixels of frames 0, 7
