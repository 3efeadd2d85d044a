"""Which packets are frames, whose times are doubtful, and what takes the place of a frame that is lost."""

import numpy as np
import pytest

from pvbias.video.display_times import NO_TIMESTAMP, doubtful_times, frames_of_packets, stand_ins


def test_frames_begin_with_the_first_key_frame():
    pts = np.array([30, 40, 100, 80, 90, 130, 110, 120])
    is_key = np.array([False, False, True, False, False, False, False, False])
    hidden = np.zeros(8, bool)
    assert frames_of_packets(pts, is_key, hidden).tolist() == [2, 6, 7, 5]
    hidden[6] = True
    assert frames_of_packets(pts, is_key, hidden).tolist() == [2, 7, 5]


@pytest.mark.parametrize(
    ("dts", "doubt"),
    [([0, 1, 2, 3, 4], ""), ([0, 1, 3, 2, 4], "its decoding times fall"), ([0, NO_TIMESTAMP, 2, 3, 4], "")],
)
def test_decoding_times_that_fall_are_doubtful(dts, doubt):
    shown = np.arange(5)
    assert doubtful_times(shown, shown, np.array(dts), 0.04, reordering=False) == doubt


def test_a_lost_frame_is_replaced_by_the_one_before_it():
    promised = np.array([0, 10, 20, 30, 70])
    assert stand_ins(promised, [0, None, 30], 25).tolist() == [0, 0, 0, 2, -1]
    assert stand_ins(promised, [30, 0], 10).tolist() == [1, 1, 0, 0, -1]
