"""Clips whose frames tell their numbers."""

import torch


def numbered_clips(num_clips: int = 3, num_frames: int = 5) -> torch.Tensor:
    """uint8 clips (N, 3, T, 2, 4) whose every pixel is ``10 * clip + frame``."""
    numbers = 10 * torch.arange(num_clips)[:, None] + torch.arange(num_frames)
    return numbers[:, None, :, None, None].expand(-1, 3, -1, 2, 4).to(torch.uint8).contiguous()


def frame_numbers(clips: torch.Tensor) -> list[list[int]]:
    """The numbers that :func:`numbered_clips` wrote, after checking that frames are still uniform."""
    assert torch.equal(clips, clips[:, :1, :, :1, :1].expand_as(clips))
    return clips[:, 0, :, 0, 0].tolist()
