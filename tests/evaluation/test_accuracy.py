"""Top-k accuracy on hand-worked logits."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.evaluation import Accuracy, VideoViews
from pvbias.models.recognizer import Recognizer
from tests.evaluation.toys import as_outputs


def evaluator(num_classes=10, class_names=()):
    cfg = get_cfg()
    cfg.BIAS.BOOTSTRAP_SAMPLES = 200
    spec = ClipSpec(num_frames=1, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
    module = nn.Sequential(nn.Linear(3, num_classes))
    return Accuracy(cfg, Recognizer(module, clip_spec=spec, head="0"), class_names)


def feed(accuracy, *videos):
    """``videos``: (label, logits (V, K))."""
    for index, (label, logits) in enumerate(videos):
        clips = torch.zeros(len(logits), 3, 1, 1, 1, dtype=torch.uint8)
        video = VideoViews(index=index, name=str(index), label=label, clips=clips)
        accuracy.process(video, as_outputs({"original": torch.tensor(logits, dtype=torch.float32)}))
    return accuracy.evaluate()


def value(result, name, level):
    (figure,) = [figure for figure in result.figures if (figure.name, figure.level) == (name, level)]
    return figure.value


def descending(first, num_classes=10):
    """Logits with ``first`` on top, the other classes in their order."""
    row = [-float(k) for k in range(num_classes)]
    row[first] = 1.0
    return row


def test_top1_and_top5():
    result = feed(
        evaluator(),
        (3, [descending(3)]),  # first
        (3, [descending(9)]),  # 9, 0, 1, 2, 3: fifth
        (4, [descending(9)]),  # sixth
        (9, [descending(0)]),  # last
    )
    for level in ("clip", "video"):
        assert value(result, "top1", level) == 25
        assert value(result, "top5", level) == 50
    assert {figure.unit for figure in result.figures} == {"%"}
    assert all(figure.interval[0] <= figure.value <= figure.interval[1] for figure in result.figures)


def test_clip_level_counts_views_and_video_level_averages_probabilities():
    """Two views slightly wrong, one surely right: 1/3 of the clips, yet the mean probability is right."""
    views = [[math.log(0.6), math.log(0.4)], [math.log(0.6), math.log(0.4)], [math.log(0.05), math.log(0.95)]]
    result = feed(evaluator(2), (1, views), (1, [[1.0, 0.0]]))
    assert value(result, "top1", "clip") == pytest.approx(100 * (1 / 3 + 0) / 2)  # videos count, not clips: not 1 of 4
    assert value(result, "top1", "video") == 50


def test_video_level_is_no_mean_of_log_probabilities():
    """One view is very sure of the other class: 0.63 on average, but 2e-4 to 0.014 as a product."""
    views = [[math.log(1 - p), math.log(p)] for p in (0.95, 0.95, 0.0001)]
    assert value(feed(evaluator(2), (1, views)), "top1", "video") == 100


def test_ties_are_at_chance_whatever_the_label():
    for label in range(10):
        result = feed(evaluator(), (label, [[0.0] * 10]))
        assert value(result, "top1", "clip") == pytest.approx(10)
        assert value(result, "top5", "video") == pytest.approx(50)


def test_saturated_probabilities_are_not_tied():
    """The other classes' probabilities are below the smallest float64, but their order is known."""
    result = feed(
        evaluator(), (3, [[2e4, -1e3, -1e3 - 1, -1e3 - 2, *[-2e4] * 6]]), (9, [[2e4, 1, 2, 3, 4, 0, 0, 0, 0, -1]])
    )
    assert value(result, "top5", "video") == 50


@pytest.mark.parametrize("num_classes", [2, 5])
def test_top5_of_five_classes_is_left_out(num_classes):
    result = feed(evaluator(num_classes), (0, [descending(0, num_classes)]))
    assert {figure.name for figure in result.figures} == {"top1"}
    assert "top5_original" not in result.tables["per_class"][0]


def test_videos_without_label_are_left_out_and_counted():
    result = feed(evaluator(), (0, [descending(0)]), (None, [descending(1)]), (None, [descending(1)]))
    assert value(result, "top1", "video") == 100
    assert {figure.count for figure in result.figures} == {1}
    assert all(figure.note.startswith("2 videos without a label") for figure in result.figures)


def test_no_labels_at_all_is_not_applicable():
    result = feed(evaluator(), (None, [descending(0)]), (None, [descending(1)]))
    assert result.figures == []
    assert "None of the 2 videos has a label" in result.not_applicable


def test_predictions_are_the_mean_probabilities_of_every_video_with_a_label_or_without():
    views = [[math.log(0.6), math.log(0.4)], [math.log(0.1), math.log(0.9)]]
    labelled = feed(evaluator(2, class_names=["a", "b"]), (1, views), (None, [[1000.0, 0.0]]))
    unlabelled = feed(evaluator(2), (None, views))
    found = labelled.predictions
    assert (found.names, found.labels.tolist(), found.class_names) == (["0", "1"], [1, -1], ["a", "b"])
    assert found.probabilities == pytest.approx(np.array([[0.35, 0.65], [1.0, 0.0]]))
    assert found.probabilities.dtype == "float32"
    assert unlabelled.not_applicable
    assert unlabelled.predictions.labels.tolist() == [-1]
    assert unlabelled.predictions.probabilities[0].tolist() == pytest.approx([0.35, 0.65])


def test_per_class_table():
    result = feed(
        evaluator(class_names=["a", "b", "c"]),
        (2, [descending(2)]),
        (2, [descending(1)]),
        (7, [descending(7)]),
    )
    assert result.tables["per_class"] == [
        {"class": 2, "class_name": "c", "level": level, "videos": 2, "top1_original": 50.0, "top5_original": 100.0}
        for level in ("clip", "video")
    ] + [
        {"class": 7, "class_name": "7", "level": level, "videos": 1, "top1_original": 100.0, "top5_original": 100.0}
        for level in ("clip", "video")
    ]
