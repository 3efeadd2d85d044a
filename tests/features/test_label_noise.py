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
    with pytest.raises(DataError, match="no video has the attribute 'person'"):
        find_label_noise(noisy, group_by="person")


def test_what_has_no_labels(tmp_path):
    features, labels = classes(7)
    with pytest.raises(DataError, match="fewer than two classes"):
        find_label_noise(written(tmp_path / "one", features, labels * 0))
    with pytest.raises(DataError, match="several labels"):
        find_label_noise(written(tmp_path / "several", features, np.eye(CLASSES, dtype=bool)[labels]))
