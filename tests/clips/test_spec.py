"""The clip specification."""

import pytest

from pvbias.clips import ClipSpec


def test_clip_spec_duration_and_replace():
    spec = ClipSpec(num_frames=8, sampling_rate=8, crop_size=224, test_crop_size=256, short_side=256)
    assert spec.duration == pytest.approx(64 / 30)
    assert spec.replace(fps=32.0).duration == 2.0
    assert spec.fps == 30.0
