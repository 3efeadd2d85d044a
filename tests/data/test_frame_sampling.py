"""Ways to choose frames by number, on cases worked by hand."""

import numpy as np
import pytest

from pvbias.data.frame_sampling import (
    ConsecutiveFrames,
    EvenWindows,
    LoopedStride,
    Segments,
    SpreadOverFrames,
    SpreadOverSeconds,
    begun_in_steps,
)


def frames(rule, count, fps=30.0, start=0.0, end=None):
    """Numbers of the frames of the test clips of a video, or of a part of it."""
    timestamps = np.arange(count) / fps
    times = rule.test_clips(start, count / fps if end is None else end, timestamps)
    return np.searchsorted(timestamps, times).tolist()


def training_clips(rule, count, fps=30.0, clips=2000):
    """Distinct training clips of a video, sorted."""
    timestamps, rng = np.arange(count) / fps, np.random.default_rng(0)
    seen = {tuple(rule.random_clip(0.0, count / fps, rng, timestamps).tolist()) for _ in range(clips)}
    return sorted(np.searchsorted(timestamps, times).tolist() for times in seen)


def test_a_window_has_both_of_its_ends_in_it():
    """4 of 48 frames: 0, 47/3 = 15.7, 31.3, 47; 8 of 64: 63/7 = 9 apart."""
    for rule in (SpreadOverSeconds, SpreadOverFrames):
        assert frames(rule(num_frames=4, seconds=48 / 30), 300) == [[0, 15, 31, 47]]
        assert frames(rule(num_frames=8, seconds=64 / 30), 300) == [list(range(0, 64, 9))]


def test_frames_are_rounded_as_networks_were_trained():
    """15 of 17 frames: the eighth is 7 * 16 / 14 = 8, which single precision takes for 7.9999995."""
    for rule in (SpreadOverSeconds, SpreadOverFrames):
        assert frames(rule(num_frames=15, seconds=17 / 30), 17)[0] == [
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            9,
            10,
            11,
            12,
            13,
            14,
            16,
        ]


def test_windows_of_both_kinds_begin_at_shares_of_the_room():
    """250 - 48 = 202 frames of room: clip 3 of 10 begins at 60.6. By time it has frames 61 to 108; by number
    60.6 + 47 / 3 = 76.3, 91.9, 107.6, each rounded down."""
    by_time = frames(SpreadOverSeconds(num_frames=4, seconds=1.6, num_clips=10), 250)
    by_number = frames(SpreadOverFrames(num_frames=4, seconds=1.6, num_clips=10), 250)
    assert by_time[0] == by_number[0] == [0, 15, 31, 47]
    assert by_time[3] == [61, 76, 92, 108]
    assert by_number[3] == [60, 76, 91, 107]
    assert by_time[9][-1] == 182 + 47  # nine tenths of the room: the end is not reached
    to_the_end = SpreadOverFrames(num_frames=4, seconds=1.6, num_clips=10, to_the_end=True)
    assert [clip[0] for clip in frames(to_the_end, 250)] == [22 * number for number in range(10)]  # floor(202 / 9)
    assert frames(SpreadOverFrames(num_frames=4, seconds=1.6, to_the_end=True), 250)[0][0] == 101


def test_other_frame_rates_are_seen_at_the_same_times():
    """1.6 s are 80 frames at 50 per second, and 40 at 25."""
    for rule in (SpreadOverSeconds, SpreadOverFrames):
        assert frames(rule(num_frames=4, seconds=1.6), 500, fps=50.0) == [[0, 26, 52, 79]]
        assert frames(rule(num_frames=4, seconds=1.6), 500, fps=25.0) == [[0, 13, 26, 39]]


def test_videos_shorter_than_a_window():
    """By time, what there is is spread; by number, its last frame is repeated."""
    assert frames(SpreadOverSeconds(num_frames=4, seconds=1.6, num_clips=2), 10) == [[0, 3, 6, 9]] * 2
    assert frames(SpreadOverFrames(num_frames=4, seconds=1.6, num_clips=2), 10) == [[0, 9, 9, 9]] * 2
    assert frames(SpreadOverSeconds(num_frames=3, seconds=0.1), 10, fps=1.0) == [[0, 0, 0]]  # no frame comes up in it
    assert frames(ConsecutiveFrames(num_frames=5, num_clips=2), 3) == [[0, 1, 2, 0, 1]] * 2
    assert frames(LoopedStride(num_frames=4, stride=2), 5) == [[0, 2, 4, 1]]
    assert frames(Segments(num_frames=4), 2) == [[0, 0, 1, 1]]  # the centre of each half frame


def test_a_part_of_a_video_is_a_video_of_its_own():
    """Of 10 s, the part from 2 s to 4 s: frames 60 to 119."""
    for rule in (SpreadOverSeconds, SpreadOverFrames):
        assert frames(rule(num_frames=4, seconds=1.6), 300, start=2.0, end=4.0) == [[60, 75, 91, 107]]
    assert frames(Segments(num_frames=4), 300, start=2.0, end=4.0) == [[67, 82, 97, 112]]
    assert frames(ConsecutiveFrames(num_frames=3), 300, start=2.0, end=4.0) == [[60, 61, 62]]
    assert frames(ConsecutiveFrames(num_frames=3), 300, start=2.01, end=2.02) == [[60, 60, 60]]


def test_consecutive_frames_at_another_rate():
    """At 15 per second every second frame of 30, and 5 of 3 of 25; clips from the beginning to the end."""
    rule = ConsecutiveFrames(num_frames=4, num_clips=3, fps=15.0)
    assert frames(rule, 41) == [[0, 2, 4, 6], [16, 18, 20, 22], [34, 36, 38, 40]]  # begins 0, 8.5 and 17 of 21 frames
    assert frames(rule, 25, fps=25.0)[0] == [0, 1, 3, 5]  # 0, 1.67, 3.33, 5
    assert frames(rule, 10, fps=7.5)[0] == [0, 0, 1, 1]
    own = ConsecutiveFrames(num_frames=3, stride=2, num_clips=4, begins=begun_in_steps)
    assert [clip[0] for clip in frames(own, 15, fps=50.0)] == [0, 3, 6, 10]  # multiples of 10 / 3


def test_even_windows():
    """100 frames, windows of 16: ceil(83 / 9) = 10 apart, the one at 90 looped; ceil(83 / 2) = 42 apart."""
    rule = EvenWindows(num_frames=16, num_clips=10)
    found = frames(rule, 100)
    assert [clip[0] for clip in found] == list(range(0, 100, 10))
    assert found[-1] == [*range(90, 100), *range(90, 96)]
    assert [clip[0] for clip in frames(EvenWindows(num_frames=16, num_clips=3), 100)] == [0, 42, 84]
    assert len(frames(rule, 20)) == 6  # at 0 .. 4, and the looped one at 5
    assert frames(EvenWindows(num_frames=16), 100) == [list(range(42, 58))]
    assert frames(EvenWindows(num_frames=4, stride=3), 30) == [[9, 12, 15, 18]]
    assert frames(EvenWindows(num_frames=4), 3) == [[0, 1, 2, 0]]


def test_segments():
    """30 frames in 4 segments of 7.5: centres 3.75, 11.25, 18.75, 26.25; with two clips, the beginnings, too."""
    assert frames(Segments(num_frames=4), 30) == [[3, 11, 18, 26]]
    assert frames(Segments(num_frames=4, num_clips=2), 30) == [[3, 11, 18, 26], [0, 7, 15, 22]]


def test_looped_stride():
    """8 of 64 frames: of 100 there is room for 37 beginnings."""
    found = frames(LoopedStride(num_frames=8, stride=8, num_clips=10), 100)
    assert [clip[0] for clip in found] == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    assert found[9] == [36, 44, 52, 60, 68, 76, 84, 92]


def test_training_clips_are_drawn_from_where_each_rule_has_them():
    starts = [clip[0] for clip in training_clips(EvenWindows(num_frames=16), 40)]
    assert starts == list(range(24))  # 0 .. 40 - 16 - 1
    assert training_clips(EvenWindows(num_frames=4), 3) == [[0, 1, 2, 0]]
    starts = [clip[0] for clip in training_clips(ConsecutiveFrames(num_frames=16), 40)]
    assert starts == list(range(25))
    starts = [clip[0] for clip in training_clips(LoopedStride(num_frames=2, stride=4), 20)]
    assert starts == list(range(12))  # 0 .. R - 2, with R = 13
    drawn = np.array(training_clips(Segments(num_frames=4), 30))
    assert [sorted(set(column)) for column in drawn.T] == [[*range(7 * k, 7 * k + 7)] for k in range(4)]
    assert training_clips(Segments(num_frames=4), 3) == [[0, 0, 0, 0]]
    for rule in (SpreadOverSeconds, SpreadOverFrames):
        clips = training_clips(rule(num_frames=4, seconds=1.6), 100)
        assert min(clip[0] for clip in clips) <= 1
        assert max(clip[-1] for clip in clips) in (98, 99)
        assert all(46 <= clip[-1] - clip[0] <= 48 for clip in clips)


@pytest.mark.parametrize(
    ("rule", "words", "span"),
    [
        (SpreadOverSeconds(num_frames=4, seconds=1.6), "4 frames spread over 1.6 s, both ends in them", 1.6),
        (ConsecutiveFrames(num_frames=16, fps=15.0), "16 consecutive frames at 15 frames per second", 16 / 15),
        (EvenWindows(num_frames=16, stride=2), "16 frames, every 2 of the video's own", 32 / 30),
        (Segments(num_frames=8), "8 frames, one of each segment of the whole video", None),
    ],
)
def test_what_the_report_says(rule, words, span):
    assert rule.words == words
    assert rule.span == (None if span is None else pytest.approx(span))
