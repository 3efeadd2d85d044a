"""Wrong labels: planted ones are found, and how many is said beforehand."""

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.features import find_label_noise, write_features

VIDEOS, CLASSES = 300, 5


def classes(apart, seed=0):
    """Features of videos whose classes lie so many standard deviations apart, and the classes."""
    generator = np.random.default_rng(seed)
    labels = np.arange(VIDEOS) % CLASSES
    centres = np.random.default_rng(1).normal(size=(CLASSES, 8))
    centres *= apart / np.linalg.norm(centres[0] - centres[1])
    return (centres[labels] + generator.normal(size=(VIDEOS, 8))).astype(np.float32), labels


def written(folder, features, labels, **others):
    names = [f"v{number}" for number in range(len(labels))]
    return write_features(folder, {("embedding", "original"): features}, names, labels=labels, **others)


def test_planted_labels_are_found_at_the_stated_rates(tmp_path):
    features, labels = classes(11)
    wrong = np.arange(3, VIDEOS, 20)
    given = labels.copy()
    given[wrong] = (labels[wrong] + 2) % CLASSES
    found = find_label_noise(written(tmp_path, features, given, class_names=list("abcde")))
    flagged = {int(suspect.video[1:]) for suspect in found.suspects}
    recall = len(flagged & {*wrong.tolist()}) / len(wrong)
    assert recall >= 0.6
    assert found.recall[0] == pytest.approx(recall, abs=0.25)
    assert len(flagged - {*wrong.tolist()}) / (VIDEOS - len(wrong)) <= 0.02
    assert found.false_alarms[0] < 0.07
    right = {suspect.video: suspect.other for suspect in found.suspects}
    assert all(right[f"v{number}"] == "abcde"[labels[number]] for number in flagged & {*wrong.tolist()})
    surest = found.suspects[0]
    assert surest.of_other > 0.5 > surest.probability


def test_features_that_say_nothing_say_so(tmp_path):
    noise = np.random.default_rng(3).normal(size=(VIDEOS, 8)).astype(np.float32)
    found = find_label_noise(written(tmp_path, noise, classes(7)[1]))
    assert found.accuracy < 0.35
    assert found.recall[0] - found.false_alarms[0] < 0.15  # a label is flagged whether it is wrong or not
    assert "were flagged beside them" in str(found)


def test_groups_and_classes_of_one_video(tmp_path):
    """A group's copies would vouch for its wrong label; a class with one group cannot be judged."""
    features, labels = classes(7)
    features, labels = features[:200], labels[:200].copy()
    features[100:110], labels[100:110] = features[100], (labels[100] + 1) % CLASSES
    labels[5], labels[6] = CLASSES, -1
    groups = [str(number) for number in range(200)]
    groups[100:110] = ["source"] * 10
    noisy = written(tmp_path, features, labels, attributes={"source": groups})
    found = find_label_noise(noisy, group_by="source")
    assert (found.videos, found.left_out) == (198, 2)
    assert {f"v{number}" for number in range(100, 110)} <= {suspect.video for suspect in found.suspects}
    with pytest.raises(DataError, match="no attribute 'person'"):
        find_label_noise(noisy, group_by="person")


@pytest.mark.parametrize("grouped", [False, True])
def test_small_classes_are_no_suspects(tmp_path, grouped):
    """Classes of two videos, and far apart: a classifier that has seen neither would believe neither. In two groups
    that each class is in, and more, some of a class's groups may share a fold, and are not judged."""
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(10), 12), np.repeat(np.arange(10, 30), 2)])
    features = (4 * generator.normal(size=(30, 32)))[labels] + generator.normal(size=(len(labels), 32))
    groups = [None if number % 3 else f"source {generator.integers(8)}" for number in range(len(labels))]
    others = {"attributes": {"source": groups}} if grouped else {}
    found = find_label_noise(
        written(tmp_path, features.astype(np.float32), labels, **others), group_by="source" * grouped
    )
    assert not found.suspects
    assert found.accuracy > 0.98
    assert found.videos + found.left_out == len(labels)
    assert (found.left_out == 0) or grouped


def test_what_has_no_labels(tmp_path):
    features, labels = classes(7)
    with pytest.raises(DataError, match="fewer than two classes"):
        find_label_noise(written(tmp_path / "one", features, labels * 0))
    with pytest.raises(DataError, match="several labels"):
        find_label_noise(written(tmp_path / "several", features, np.eye(CLASSES, dtype=bool)[labels]))


def test_classes_without_a_name_have_their_number(tmp_path):
    features, labels = classes(11)
    labels[[0, 1]] = 3, 4
    found = find_label_noise(written(tmp_path, features, labels, class_names=["a", "b"]))
    assert {suspect.video: suspect.other for suspect in found.suspects}.items() >= {"v0": "a", "v1": "b"}.items()
    assert {suspect.label for suspect in found.suspects if suspect.video in ("v0", "v1")} == {"3", "4"}
