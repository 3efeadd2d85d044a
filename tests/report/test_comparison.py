"""What a comparison says of the differences between runs: with intervals where they can be had, no order where there is
none."""

import numpy as np
import pytest

from pvbias.evaluation import Figure, Result
from pvbias.evaluation.statistics import log_ratio, mean_figures
from pvbias.report import write_comparison, write_results

from .runs import labelled_run
from .test_page import page_of, words_of

BOOTSTRAP = {"samples": 2000, "seed": 0}


def measured(name, *, original, shuffled, score=None, **changes):
    """A run of which it is known whether each video was right, and its dynamic score (nats)."""
    credits = np.array([original, shuffled], float).T
    levels = ("clip", "video")
    templates = [
        Figure(name="top1", value=None, unit="%", level=level, variant=variant)
        for level in levels
        for variant in ("original", "shuffle")
    ]
    figures = mean_figures(templates, np.hstack([credits, credits]), **BOOTSTRAP)
    ratio = log_ratio(*credits.T, **BOOTSTRAP)
    figures += [
        Figure(
            name="log_ratio",
            value=ratio.value,
            unit="log ratio",
            level=level,
            variant="shuffle",
            interval=ratio.interval,
            note=ratio.note,
        )
        for level in levels
    ]
    results = {"modulated_accuracy": Result(figures=figures)}
    if score is not None:
        template = Figure(name="dynamic_score", value=None, unit="nats", level="video", variant="shuffle")
        results["dynamic_score"] = Result(
            figures=mean_figures([template], np.array(score, float)[:, None], **BOOTSTRAP)
        )
    videos = {f"test/{number}.mp4": True for number in range(len(original))}
    known = {"bad_videos": [], "num_videos": len(original), "videos": videos, "label_fingerprints": ["n1", "c1"]}
    return labelled_run(name, results=results, **known | changes)


def right(count, of):
    """The first so many videos."""
    return [1] * count + [0] * (of - count)


def test_differences_refer_to_the_first_run_and_have_the_interval_of_the_pairs(tmp_path):
    """Both runs are right on the same 19 of 19 videos: Tango's interval is then Wilson's of 0 of 19, either way."""
    first = measured("first", original=right(19, 19), shuffled=right(10, 19))
    second = measured("second", original=right(19, 19), shuffled=right(4, 19))

    text = words_of(page_of(tmp_path, first, second))

    assert "100.0 [83.2, 100.0]0.0 [−16.8, +16.8]" in text
    assert "21.1 [8.5, 43.3]−31.6 [" in text


def test_the_run_that_leans_most_on_order_is_named_with_the_difference(tmp_path):
    first = measured("first", original=right(200, 200), shuffled=right(60, 200))
    second = measured("second", original=right(200, 200), shuffled=right(180, 200))

    text = words_of(page_of(tmp_path, first, second))

    # ln(1 / 0.3) and ln(1 / 0.9)
    assert (
        "“first” uses the order of frames most (log ratio 1.20), “second” least (0.11); difference +1.10 [+0." in text
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_fingerprint": "f2"}, "the videos are not the same"),
        ({"label_fingerprints": ["n2", "c2"]}, "the videos are labelled differently"),
        ({"sampling": "8 frames over 2 s"}, "clips were sampled differently"),
        ({"num_classes": 9}, "the models tell different numbers of classes apart"),
        (
            {"views": "1 clip", "num_classes": 9},
            "videos were seen in different views and the models tell different numbers of classes apart",
        ),
    ],
)
def test_runs_that_do_not_compare_are_not_put_in_order(tmp_path, changes, reason):
    """Nor have they paired differences, where the videos are others."""
    first = measured("first", original=right(100, 100), shuffled=right(30, 100))
    second = measured("second", original=right(100, 100), shuffled=right(90, 100), **changes)

    text = words_of(page_of(tmp_path, first, second))

    assert f"The runs are not put in order: {reason}." in text
    assert "uses the order of frames most" not in text
    assert ("+60.0 [" in text) == changes.keys().isdisjoint(["data_fingerprint", "label_fingerprints"])
    assert "+60.0" in text


def test_what_cannot_be_told_apart_is_not_put_in_order(tmp_path):
    """60 and 59 of 100 videos that are right when shuffled: which are others."""
    first = measured("first", original=right(100, 100), shuffled=right(60, 100))
    second = measured("second", original=right(100, 100), shuffled=right(59, 100)[::-1])

    text = words_of(page_of(tmp_path, first, second))

    assert (
        "Which run uses the order of frames more cannot be told from these videos: log ratios from 0.51 to 0.53" in text
    )


def test_random_weights_are_not_put_in_order(tmp_path):
    """The scores of two networks that say the same for all classes: 7.9e-07 and 3.09e-09 nats are rounding."""
    alike = {"original": right(25, 100), "shuffled": right(25, 100)}
    first = measured("first", **alike, score=[7.9e-07] * 100)
    second = measured("second", **alike, score=[3.09e-09] * 100)

    text = words_of(page_of(tmp_path, first, second))

    assert "The runs are not put in order: “first” and “second” are no better than guessing." in text
    assert "shuffled nonenone0 [0, 0]" in text
    assert "7.9" not in text
    assert "e-0" not in text


def test_scores_without_labels_are_put_in_order_from_the_resolution_on(tmp_path):
    def scored(name, score):
        run = measured(name, original=right(9, 10), shuffled=right(5, 10), score=score)
        del run.results["modulated_accuracy"]
        return run

    noise = page_of(tmp_path / "a", scored("first", [4e-07] * 10), scored("second", [8e-07] * 10))
    told = page_of(tmp_path / "b", scored("first", [0.2] * 10), scored("second", [1.5] * 10))

    assert "cannot be told from these videos: dynamic score none." in words_of(noise)
    assert "“second” changes its predictions most when frames are shuffled (dynamic score 1.50)" in words_of(told)


def test_runs_that_have_kept_no_videos_have_no_paired_interval(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, shuffled in zip(folders, (30, 90), strict=True):
        write_results(folder, measured(folder.name, original=right(100, 100), shuffled=right(shuffled, 100)))
        (folder / "per_video.npz").unlink()

    text = words_of(write_comparison(folders, tmp_path / "out").read_text(encoding="utf-8"))

    assert "+60.0" in text
    assert "+60.0 [" not in text
    assert "“a” uses the order of frames most (log ratio 1.20), “b” least (0.11)." in text  # their intervals are apart


@pytest.mark.parametrize("runs", [1, 2])
def test_clip_level_is_shown_where_it_says_something_else(tmp_path, runs):
    same = [measured(f"run {n}", original=right(19, 20), shuffled=right(9, 20)) for n in range(runs)]
    assert "clip level" not in _without_explanation(page_of(tmp_path / "same", *same))

    other = [measured(f"run {n}", original=right(19, 20), shuffled=right(9, 20)) for n in range(runs)]
    figures = other[-1].results["modulated_accuracy"].figures
    figures[0] = Figure(name="top1", value=94.0, unit="%", level="clip")
    assert "clip level" in _without_explanation(page_of(tmp_path / "other", *other))


def _without_explanation(html):
    text = words_of(html)
    return text[: text.index("How to read this")] + text[text.index("Accuracy Each variant") :]


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
