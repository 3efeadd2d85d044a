"""Protocols on made-up features whose worth is known."""

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.features import write_features
from pvbias.plugins.transfer.protocols import ArrowOfTime, FewShot, ProbeAccuracy, tokens

CLASSES = ["run", "walk", "jump"]
ONE = {"penalties": [0.1]}


def write(folder, seed, *, backward=1.0, modulated=0.0, classes=CLASSES):
    """Features of 90 videos, which tell the class on original clips, and as ``modulated`` says on shuffled ones; those
    of reversed clips lie ``backward`` away. The first video has no label."""
    generator = np.random.default_rng(seed)
    labels = np.arange(90) % 3
    means = 2 * np.eye(3, 8)[labels]
    noise = generator.normal(size=(3, 90, 8)) / 2
    arrays = {
        ("embedding", "original"): means + noise[0],
        ("embedding", "shuffle"): modulated * means + noise[1],
        ("embedding", "reverse"): means + noise[2] + backward * np.eye(8)[5],
    }
    labels[0] = -1
    return write_features(
        folder,
        {key: array.astype(np.float32)[:, None] for key, array in arrays.items()},
        [f"{seed}/{number}.mp4" for number in range(90)],
        labels=labels,
        class_names=classes,
    )


def values(result):
    return {(each.name, each.variant): each.value for each in result.figures}


def test_a_probe_finds_what_is_there_on_each_kind_of_clips(tmp_path):
    train, test = write(tmp_path / "train", 0), write(tmp_path / "test", 1)
    protocol = ProbeAccuracy(settings=ONE, modulations=["original", "shuffle"], seeds=[0, 1])
    result = protocol.evaluate(train, test)
    found = values(result)
    assert found["top1", "original"] > 95
    assert found["top1", "shuffle"] < 60
    assert found["top1_fitted_to_original", "shuffle"] < 60
    assert found["top1_over_seeds", "original"] == found["top1", "original"]
    assert "C = 0.1" in result.figures[0].note
    assert result.figures[0].count == 89, "the video without a label is left out"
    assert [row["seed"] for row in result.tables["fits"]] == [0, 1] * 3
    np.testing.assert_allclose(result.predictions.probabilities.sum(1), 1, atol=1e-6)


def test_the_arrow_of_time_is_found_where_there_is_one(tmp_path):
    arrow = ArrowOfTime(settings=ONE)
    for backward, low, high in ((3.0, 95, 100), (0.0, 30, 65)):
        train, test = (write(tmp_path / name, seed, backward=backward) for seed, name in enumerate(("train", "test")))
        (figure,) = arrow.evaluate(train, test).figures
        assert low <= figure.value <= high
        assert figure.count == 90


def test_few_shot_accuracies_have_values_of_each_episode(tmp_path):
    test = write(tmp_path / "test", 0)
    few = FewShot(classifier="centroid", ways=3, shots=[1, 5], queries=5, episodes=20)
    one, five = few.evaluate(None, test).figures
    assert (one.name, five.name) == ("3way_1shot", "3way_5shot")
    assert five.value > one.value > 60
    assert len(one.values) == one.count == 20


def test_other_classes_and_missing_features_are_refused(tmp_path):
    train = write(tmp_path / "train", 0)
    with pytest.raises(DataError, match=r"3 class names and .*other 3: 'run' and 'walk'"):
        ProbeAccuracy().evaluate(train, write(tmp_path / "other", 1, classes=["walk", "run", "jump"]))
    with pytest.raises(DataError, match="no features 'embedding' on 'blur' clips"):
        ProbeAccuracy(modulations=["blur"]).evaluate(train, train)
    with pytest.raises(DataError, match="no attribute 'group'"):
        ProbeAccuracy(group_by="group").evaluate(train, train)
    with pytest.raises(DataError, match=r"3 class names and .*unnamed 0"):
        ProbeAccuracy().evaluate(train, write(tmp_path / "unnamed", 1, classes=[]))


def test_tokens_of_kept_maps_are_their_positions_channels_last(tmp_path):
    maps = np.random.default_rng(0).normal(size=(4, 2, 2, 3, 3, 8)).astype(np.float32)  # (N, V, T, H, W, D)
    kept = write_features(tmp_path, {("blocks.4", "original"): maps}, list("abcd"))
    found = tokens(kept, "blocks.4", "original")
    assert found.shape == (4, 36, 8)
    np.testing.assert_array_equal(found[1, 18 + 9 + 3 + 2], maps[1, 1, 1, 1, 2])
