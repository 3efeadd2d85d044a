"""Differences between runs, with intervals where they can be had."""

import pytest

from pvbias.report import write_comparison, write_results

from .pages import page_of, words_of
from .runs import measured, right


def test_differences_refer_to_the_first_run_and_have_the_interval_of_the_pairs(tmp_path):
    """Both runs are right on the same 19 of 19 videos: Tango's interval is then Wilson's of 0 of 19, either way."""
    first = measured("first", original=right(19, 19), shuffled=right(10, 19))
    second = measured("second", original=right(19, 19), shuffled=right(4, 19))

    text = words_of(page_of(tmp_path, first, second))

    assert "100.0 [83.2, 100.0]0.0 [−16.8, +16.8]" in text
    assert "21.1 [8.5, 43.3]−31.6 [" in text


def test_runs_that_have_kept_no_videos_have_no_paired_interval(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, shuffled in zip(folders, (30, 90), strict=True):
        write_results(folder, measured(folder.name, original=right(100, 100), shuffled=right(shuffled, 100)))
        (folder / "per_video.npz").unlink()

    text = words_of(write_comparison(folders, tmp_path / "out").read_text(encoding="utf-8"))

    assert "+60.0" in text
    assert "+60.0 [" not in text
    assert "“a” uses the order of frames most (log ratio 1.20), “b” least (0.11)." in text  # their intervals are apart


def test_videos_are_paired_by_what_they_are_called_and_not_by_their_place(tmp_path):
    """A list in another order and another folder, and a video without a label, which has no accuracy."""
    names = [f"{number}.mp4" for number in range(21)]
    first = measured(
        "first", original=[1, 0] * 10, shuffled=[1, 0] * 10, videos={f"a/{n}": n != "20.mp4" for n in names}
    )
    backwards = {f"b/{n}": n != "20.mp4" for n in names[::-1]}
    second = measured("second", original=[0, 1] * 10, shuffled=[0, 1] * 10, videos=backwards)

    text = words_of(page_of(tmp_path, first, second))

    # Right on the same videos: the interval of no difference in 20, which is Wilson's of 0 of 20, either way.
    assert "original 50.0 [29.9, 70.1]50.0 [29.9, 70.1]0.0 [−16.1, +16.1]" in text


@pytest.mark.parametrize(
    "videos", [{f"{n}.mp4": True for n in range(19)}, {f"{n % 2}/{n // 2}.mp4": True for n in range(20)}]
)
def test_videos_that_cannot_be_told_apart_are_not_paired(tmp_path, videos):
    """One too few, or names that only folders tell apart, which are others in the second list."""
    first = measured("first", original=right(10, 20), shuffled=right(10, 20))
    second = measured("second", original=right(15, 20), shuffled=right(10, 20), videos=videos)

    text = words_of(page_of(tmp_path, first, second))

    assert "+25.0" in text
    assert "+25.0 [" not in text
