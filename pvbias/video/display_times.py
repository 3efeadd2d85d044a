"""Display times of frames: detection of unreliable container timestamps, and their repair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Stands for a timestamp that a packet does not have.
NO_TIMESTAMP = np.iinfo(np.int64).min

#: A frame is believed to be shown for up to a minute, or this many times as long as others, but not for a day: that is
#: a slide show or the still of a screen. What is longer is a damaged time stamp.
_LONGEST_STILL, _LONGEST_RATIO, _DAY = 60.0, 1000, 86_400.0

#: Times that begin anew fall by more than reordering, which is by at most this many frames and seldom by a second.
_REORDERED, _SECOND = 17, 1.0

#: Damaged times are mended where they are at most this fraction of a file's.
_MAX_DAMAGED = 0.1


def frames_of_packets(pts: np.ndarray, is_key: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """The packets of displayed frames, in display order: int64 ``(F,)``.

    An edit list may hide frames that others refer to; those before the first key frame cannot be decoded (a stream that
    was cut anywhere).

    Args:
        pts: int64 ``(P,)``, in the order of decoding; NO_TIMESTAMP where there is none.
        is_key, hidden: bool ``(P,)``.
    """
    frames = np.flatnonzero(~hidden)
    if is_key.any():
        first = int(np.argmax(is_key))
        frames = frames[(frames >= first) & ((pts[frames] >= pts[first]) | (pts[frames] == NO_TIMESTAMP))]
    return frames[np.argsort(pts[frames], kind="stable")]


def doubtful_times(
    frame_pts: np.ndarray, decoding_pts: np.ndarray, dts: np.ndarray, tick: float, *, reordering: bool
) -> str:
    """Explain why packets' timestamps may not be those of their frames; empty: there is no doubt.

    Args:
        frame_pts: int64 ``(F,)``, the packets' times in what they claim to be the order of display.
        decoding_pts: int64 ``(Q,)``, the times of packets that give frames, in the order of decoding.
        dts: int64 ``(P,)``, decoding times of all packets; NO_TIMESTAMP where there is none.
        tick: seconds.
        reordering: the decoder says that it puts frames out in another order than it gets them.
    """
    if NO_TIMESTAMP in frame_pts:
        return "not all of its packets have a time"
    if (np.diff(frame_pts) <= 0).any():
        return "several of its packets claim the same time"
    if reordering and len(decoding_pts) > 1 and (np.diff(decoding_pts) > 0).all():
        return "the times of its packets rise in the order of decoding, and its frames are stored in another order"
    if (np.diff(dts[dts != NO_TIMESTAMP]) < 0).any():
        return "its decoding times fall"
    return unexplained_gap(frame_pts, tick)


def has_jumps(dts: np.ndarray) -> bool:
    """Whether decoding times, int64 ``(P,)``, do not rise evenly; those that are NO_TIMESTAMP do not count."""
    steps = np.diff(dts[dts != NO_TIMESTAMP])
    return len(steps) > 0 and bool((steps > 1.5 * np.median(steps)).any())


def unexplained_gap(frame_pts: np.ndarray, tick: float) -> str:
    """Describe the first gap between frames that no frame rate explains; empty: there is none.

    Args:
        frame_pts: int64 ``(F,)``, ascending.
        tick: seconds.
    """
    gaps = np.diff(frame_pts)
    if not len(gaps) or gaps.max() * tick <= _LONGEST_STILL:
        return ""
    long = np.flatnonzero(gaps > _longest(gaps, tick))
    if not len(long):
        return ""
    start, length = (frame_pts[long[0]] - frame_pts[0]) * tick, gaps[long[0]] * tick
    return f"after {start:.2f} s its times have no frame for {length:,.0f} s"


def without_outliers(times: Sequence[int | None], tick: float) -> list[int | None]:
    """Times of frames in display order, with None for outliers.

    Args:
        times: ticks; None where there is none.
        tick: seconds.
    """
    known = np.sort(np.array([time for time in times if time is not None], np.int64))
    if len(known) < 3:
        return list(times)
    gaps = np.diff(known)
    groups = np.split(known, np.flatnonzero(gaps > _longest(gaps, tick)) + 1)
    main = max(groups, key=len)
    if len(known) - len(main) > _MAX_DAMAGED * len(known):
        return list(times)  # not one damaged time stamp, but a file of several parts
    return [time if time is not None and main[0] <= time <= main[-1] else None for time in times]


def joined_times(times: Sequence[int | None], interval: float, tick: float) -> list[int | None]:
    """Continue times that restart, as in recordings that were strung together (``cat a.ts b.ts``, cells of a DVD). A
    single time that falls is not believed.

    Args:
        times: ticks, in the order in which the frames came out; None where there is none.
        interval: from one frame to the next, ticks.
        tick: seconds.
    """
    fall = max(_REORDERED * interval, _SECOND / tick)
    known = [(number, time) for number, time in enumerate(times) if time is not None]
    joined = list(times)
    offset, last = 0, known[0][1] if known else 0
    for place, (number, time) in enumerate(known):
        follows = known[place + 1][1] if place + 1 < len(known) else last
        if time + offset < last - fall and abs(follows - time) <= fall:
            offset = last + round(interval) - time
        joined[number] = time + offset
        last = max(last, time + offset)
    return joined


def complete_times(times: Sequence[int | None], interval: float) -> np.ndarray:
    """Complete the times of decoded frames, int64 ``(F,)``, ascending: missing ones are interpolated.

    Frames come out in the order of display, so the k-th gets the k-th smallest time; what has none lies evenly between
    its neighbours, or at a constant rate where there are none.

    Args:
        times: ticks, in the order in which the frames came out; None where there is none.
        interval: from one frame to the next where nothing else is known, ticks.
    """
    numbers = np.array([number for number, time in enumerate(times) if time is not None], np.int64)
    every = np.arange(len(times))
    if not len(numbers):
        return times_by_rank(np.rint(every * interval).astype(np.int64))
    known = times_by_rank(np.array([time for time in times if time is not None], np.int64))
    filled = np.interp(every, numbers, known)
    before, after = every < numbers[0], every > numbers[-1]
    filled[before] = known[0] - (numbers[0] - every[before]) * interval
    filled[after] = known[-1] + (every[after] - numbers[-1]) * interval
    exact = np.rint(filled).astype(np.int64)
    exact[numbers] = known  # floats may not hold them
    return times_by_rank(exact)


def stand_ins(promised: np.ndarray, came_out: Sequence[int | None], max_gap: float) -> np.ndarray:
    """Replacements for promised frames that did not come out: for each the number of the frame with its time, else of
    the last one before it, else of the first one after it, if within ``max_gap``: int64 ``(F,)``, -1 where there is
    none.

    Args:
        promised: int64 ``(F,)``, times, ascending.
        came_out: times of the frames that came out, in that order; None where there is none.
        max_gap: in the unit of the times.
    """
    numbers = np.array([number for number, time in enumerate(came_out) if time is not None], np.int64)
    if not len(numbers):
        return np.full(len(promised), -1)
    times = np.array([time for time in came_out if time is not None], np.int64)
    order = np.argsort(times, kind="stable")
    times, numbers = times[order], numbers[order]
    before = np.searchsorted(times, promised, side="right") - 1
    after = np.minimum(before + 1, len(times) - 1)
    has_before = (before >= 0) & (promised - times[np.maximum(before, 0)] <= max_gap)
    has_after = np.abs(times[after] - promised) <= max_gap
    return np.where(has_before, numbers[before], np.where(has_after, numbers[after], -1))


def times_by_rank(times: np.ndarray) -> np.ndarray:
    """Sort times, and separate equal ones by a tick."""
    steps = np.arange(len(times))
    return np.maximum.accumulate(np.sort(times) - steps) + steps


def _longest(gaps: np.ndarray, tick: float) -> float:
    """The longest plausible display time of a frame, ticks."""
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2]) if len(gaps) else 0.0
    return min(max(_LONGEST_STILL / tick, _LONGEST_RATIO * usual), _DAY / tick)
