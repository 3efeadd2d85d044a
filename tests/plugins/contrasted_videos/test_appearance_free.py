"""Appearance-free videos: frames of independent noise, which moves as the flow says."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.contrasted_videos import AppearanceFreeAccuracy, FlowingNoise
from pvbias.plugins.contrasted_videos.appearance_free import flowing_noise

from .toys import Shifting, Squares, Static, config, figures, recognizer


def frames(*flows):
    return np.stack(list(flowing_noise(iter(flows), np.random.default_rng(3)))).astype(int)


def test_what_moves_takes_its_noise_along():
    """A square of 4 x 4 pixels goes 2 to the right and 1 down, three times; the rest stands still."""
    flows = []
    for step in range(4):
        flow = np.zeros((12, 16, 2), np.float32)
        flow[1 + step : 5 + step, 2 + 2 * step : 6 + 2 * step] = 2, 1
        flows.append(flow)
    made = frames(*flows)
    for step in range(4):
        np.testing.assert_array_equal(made[step, 1 + step : 5 + step, 2 + 2 * step : 6 + 2 * step], made[0, 1:5, 2:6])
    never = np.ones((12, 16), bool)
    for step in range(4):
        never[1 + step : 5 + step, 2 + 2 * step : 6 + 2 * step] = False
    for step in range(1, 4):
        np.testing.assert_array_equal(made[step][never], made[0][never])
    # Where it has been, there is noise that was not there.
    left = made[1, 1:5, 2:6][np.add.outer(np.arange(4), np.zeros(4)) == 0]
    assert (left != made[0, 1, 2:6]).mean() > 0.8


@pytest.mark.parametrize("speed", [0.3, 0.5, 1.7])
def test_parts_of_a_pixel_add_up(speed):
    flow = np.zeros((4, 40, 2), np.float32)
    flow[..., 0] = speed
    made = frames(*[flow] * 11)
    shift = round(10 * speed)
    np.testing.assert_array_equal(made[10, :, shift:], made[0, :, : 40 - shift])


def test_a_frame_by_itself_is_uniform_noise():
    """Whatever the flow: here all pixels flee from the middle, and some meet."""
    rows, columns = np.indices((64, 64)) - 31.5
    flow = np.stack([columns * np.cos(rows), rows * 0.2], axis=-1).astype(np.float32)
    last = frames(*[flow] * 8)[-1]
    # Nothing is there twice, but for chance: of 16.8 million colours half a pair is expected.
    assert len(np.unique(last.reshape(-1, 3), axis=0)) > 64 * 64 - 4
    counts = np.bincount(last.ravel() // 16, minlength=16)
    expected = last.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 38  # chi squared, 15 degrees of freedom, 0.1 %
    neighbours = np.corrcoef(last[:, :-1].ravel(), last[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(last.size)


def test_a_frame_is_the_same_whatever_else_is_read():
    source = Squares("way")
    track, record = FlowingNoise(config(), source), source.records[5]
    with closing(track.open(record, source.open(record))) as opened:
        together = opened.read([1.9, 0.4, 0.4, 1.0], lambda *_: (8, 8))
        for number, time in enumerate([1.9, 0.4, 0.4, 1.0]):
            np.testing.assert_array_equal(opened.read([time], lambda *_: (8, 8))[0], together[number])
    other = track.open(source.records[6], source.open(record)).read([0.4], lambda *_: (8, 8))
    assert (other[0] != together[1]).mean() > 0.9


def test_where_nothing_moves_a_part_of_a_video_stands_still():
    """From its first frame on, which has begun before the part does: frames come every 0.1 s, and the part at 0.43 s,
    when frame 4 is shown, whose flow is 0 up to frame 7."""
    source = Squares("way")
    record = replace(source.records[0], start=0.43)
    with closing(FlowingNoise(config(), source).open(record, source.open(record))) as opened:
        first, *others = opened.read([0.43, 0.53, 0.63, 0.73], lambda height, width: (height, width))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_motion_is_what_is_left(tmp_path):
    found, _ = figures(AppearanceFreeAccuracy(config(), recognizer(Shifting()), ()), tmp_path, Squares("way"))
    assert found["top1", "video", "appearance_free"] == 100
    found, _ = figures(AppearanceFreeAccuracy(config(), recognizer(Static()), ()), tmp_path, Squares("colour"))
    assert found["top1", "video", "original"] == 100
    assert found["top1", "video", "appearance_free"] == pytest.approx(100 / 6)


def test_videos_without_flow_are_refused(tmp_path):
    source = Squares("way")
    unknown = type(
        "Unknown", (), {"records": source.records, "class_names": (), "description": "", "open": source.open}
    )
    with pytest.raises(ConfigError, match=r"DATA\.FLOW_DIR is empty, and optical flow is needed"):
        figures(AppearanceFreeAccuracy(config(), recognizer(Static()), ()), tmp_path, unknown())
