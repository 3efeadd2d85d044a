"""Frame times against hand-worked cases."""

import numpy as np
import pytest

from pvbias.data import VideoRecord
from pvbias.data.sampling import TemporalSampling, part_of_video
from pvbias.video import BadVideoError

from ..video.videos import data_cfg


def sampling(tmp_path, **data):
    return TemporalSampling.from_cfg(data_cfg(tmp_path, **data))


def test_rate(tmp_path):
    clips = sampling(tmp_path, NUM_FRAMES=4, SAMPLING_RATE=3)
    assert clips.step == pytest.approx(0.1)
    assert clips.test_clips(0.0, 2.0) == pytest.approx(np.array([[0, 0.1, 0.2, 0.3], [1.6, 1.7, 1.8, 1.9]]))


def test_duration_is_the_same_for_any_number_of_frames(tmp_path):
    for frames in (4, 16):
        clips = sampling(tmp_path, TEMPORAL_SAMPLING="duration", CLIP_DURATION=1.0, NUM_FRAMES=frames)
        assert clips.span == pytest.approx(1.0)
        assert clips.test_clips(0.0, 3.0)[1] == pytest.approx(2.0 + np.arange(frames) / frames)


def test_windows_as_in_the_paper(tmp_path):
    # 32 frames, stride 16, 100 frames: windows at 0, 16, 32, 48, 64 (64 + 32 = 96 fits, 80 + 32 does not)
    clips = sampling(tmp_path, TEMPORAL_SAMPLING="windows", NUM_FRAMES=32, SAMPLING_RATE=1, WINDOW_STRIDE=16)
    times = clips.test_clips(0.0, 100 / 30)
    assert np.round(times[:, 0] * 30).astype(int).tolist() == [0, 16, 32, 48, 64]
    assert len(clips.test_clips(0.0, 96 / 30)) == 5
    assert len(clips.test_clips(0.0, 95 / 30)) == 4


def test_short_videos_loop(tmp_path):
    clips = sampling(tmp_path, NUM_FRAMES=8, SAMPLING_RATE=1)
    times = clips.test_clips(0.0, 3 / 30)
    assert np.round(times * 30).astype(int).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]] * 2
    part = clips.test_clips(1.0, 1.1)[0]
    assert np.round(part * 30).astype(int).tolist() == [30, 31, 32, 30, 31, 32, 30, 31]


def test_one_clip_is_in_the_middle(tmp_path):
    clips = TemporalSampling(num_frames=2, step=0.5, num_clips=1)
    assert clips.test_clips(2.0, 6.0) == pytest.approx(np.array([[3.5, 4.0]]))


def test_training_starts_are_uniform_and_inside(tmp_path):
    clips = TemporalSampling(num_frames=4, step=0.1)
    rng = np.random.default_rng(0)
    starts = np.array([clips.random_clip(1.0, 2.0, rng)[0] for _ in range(2000)])
    assert starts.min() >= 1.0
    assert starts.max() <= 1.6
    assert starts.mean() == pytest.approx(1.3, abs=0.02)


def test_the_part_of_a_video_that_is_meant():
    record = VideoRecord(path="v", name="v", start=2.0, end=50.0)
    assert part_of_video(record, 10.0) == (2.0, 10.0)
    assert part_of_video(VideoRecord(path="v", name="v"), 10.0) == (0.0, 10.0)
    with pytest.raises(BadVideoError, match=r"lasts 1\.500 s"):
        part_of_video(record, 1.5)
