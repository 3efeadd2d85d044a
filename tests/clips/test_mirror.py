"""Mirrored clips."""

import pytest
import torch

from pvbias.clips import modulation
from pvbias.errors import ConfigError


def test_left_is_right_in_every_frame():
    clips = torch.arange(2 * 3 * 4 * 2 * 5, dtype=torch.int32).view(2, 3, 4, 2, 5)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        given = clips.contiguous(memory_format=layout)
        mirrored = modulation("mirror")(given, [0, 1])
        assert mirrored[1, 2, 3, 1].tolist() == clips[1, 2, 3, 1].tolist()[::-1]
        assert torch.equal(mirrored.flip(-1), clips)
        assert mirrored.is_contiguous(memory_format=layout)
    with pytest.raises(ConfigError, match="RGB"):
        modulation("mirror").check_modality("flow")
