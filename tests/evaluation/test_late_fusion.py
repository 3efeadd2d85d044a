"""Late fusion as a library: common videos, weighted means, accuracy (``tests/tools/test_fuse.py`` has the command)."""

from dataclasses import replace

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.evaluation import Predictions, rows
from pvbias.evaluation.late_fusion import Stream, evaluate_accuracy, fuse, on_common_videos


def stream(name, names, labels, probabilities, weight=1.0):
    predictions = Predictions(
        names=names, labels=np.array(labels), probabilities=np.array(probabilities, np.float32), class_names=["a", "b"]
    )
    return Stream(name=name, weight=weight, predictions=predictions, results={})


def test_weighted_mean_over_common_videos():
    rgb = stream("rgb", ["x", "y", "z"], [0, 1, 0], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    flow = stream("flow", ["z", "x"], [0, 0], [[0.9, 0.1], [0.2, 0.8]], weight=3.0)
    common = on_common_videos([rgb, flow])
    assert [each.predictions.names for each in common] == [["x", "z"], ["x", "z"]]
    fused = fuse(common)
    # x: (0.9 + 3 * 0.2) / 4 and so on: wrong; z: (0.2 + 3 * 0.9) / 4: right
    np.testing.assert_allclose(fused.probabilities, [[0.375, 0.625], [0.725, 0.275]], atol=1e-6)
    results = evaluate_accuracy(common, fused, left_out=[1, 0], seed=0)
    assert [figure.value for figure in results["accuracy"].figures] == [50]
    assert [row["top1"] for row in results["late_fusion"].tables["runs"]] == [50, 50, 50, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_runs_of_different_precision_piece_by_piece(monkeypatch, dtype):
    monkeypatch.setattr(rows, "_BLOCK", 40)  # five rows of two probabilities in float32, fewer or more in the others
    names, right = [f"{video}" for video in range(12)], np.arange(12) / 16  # float16 has these
    others = np.column_stack([right, 1 - right])
    one, two = stream("one", names, [0] * 12, others[:, ::-1]), stream("two", names, [0] * 12, others, weight=3.0)
    two = replace(two, predictions=replace(two.predictions, probabilities=others.astype(dtype)))
    fused = fuse(on_common_videos([one, two]))
    np.testing.assert_allclose(fused.probabilities[:, 0], (1 - right + 3 * right) / 4, atol=1e-6)


def test_streams_without_common_videos():
    with pytest.raises(DataError, match="no video in common"):
        on_common_videos([stream("one", ["x"], [0], [[1, 0]]), stream("two", ["y"], [0], [[1, 0]])])


def test_the_gain_is_that_over_the_best_run():
    """One video of two right by the first, both by the second, whichever comes first."""
    worse = stream("worse", ["x", "y"], [0, 0], [[0.9, 0.1], [0.1, 0.9]])
    better = stream("better", ["x", "y"], [0, 0], [[0.6, 0.4], [0.6, 0.4]])
    for streams in ([worse, better], [better, worse]):
        results = evaluate_accuracy(streams, fuse(streams), left_out=[0, 0], seed=0)
        (gain,) = results["late_fusion"].figures
        assert (gain.value, "better" in gain.note) == (-50, True)
