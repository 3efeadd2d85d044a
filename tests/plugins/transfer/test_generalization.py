"""A classifier as it is, on shared classes: compared with what follows by hand."""

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.features import write_features
from pvbias.plugins.transfer.generalization import DomainGeneralization

NAMES = ["climb rock", "climb rope", "golf", "tennis"]

#: Of each video, its class and the probabilities of one view.
VIDEOS = [
    (0, (0.3, 0.2, 0.1, 0.4)),  # the two kinds of climbing together are more than tennis
    (1, (0.5, 0.1, 0.3, 0.1)),  # wrong as a class, right as climbing
    (2, (0.15, 0.1, 0.35, 0.4)),  # tennis, which is no shared class, comes first
    (2, (0.3, 0.3, 0.3, 0.1)),  # climbing together is more
    (3, (0.0, 0.0, 0.0, 1.0)),  # of a class that is not shared
    (-1, (0.25, 0.25, 0.25, 0.25)),
]


@pytest.fixture
def features(tmp_path):
    logits = np.log(np.array([shares for _, shares in VIDEOS], np.float32) + 1e-9)
    return write_features(
        tmp_path / "F",
        {("logits", "original"): logits},
        [f"{number}.mp4" for number in range(len(VIDEOS))],
        labels=[label for label, _ in VIDEOS],
        class_names=NAMES,
    )


def test_shared_classes_among_themselves_and_among_all(features, tmp_path):
    (tmp_path / "map.csv").write_text("# made up\nours,theirs\nclimb rock,climb\nclimb rope,climb\ngolf,golf\n")
    found = DomainGeneralization(class_map=str(tmp_path / "map.csv")).evaluate(None, features)
    values = {each.name: (round(each.value, 6), each.count) for each in found.figures}
    assert values["top1_among_shared"] == (75, 4)
    assert values["top1_among_all"] == (50, 4)
    others = [np.nan, np.nan]  # a value of each video, so that networks are compared video by video
    np.testing.assert_array_equal(found.figures[0].values, [1, 1, 1, 0, *others])
    among_all = next(each for each in found.figures if each.name == "top1_among_all")
    np.testing.assert_array_equal(among_all.values, [1, 1, 0, 0, *others])


def test_without_a_map_the_classes_of_the_videos_are_shared(features):
    found = DomainGeneralization().evaluate(None, features)
    assert "4 shared classes" in found.figures[0].note


def test_a_map_that_does_not_fit_is_refused(features, tmp_path):
    (tmp_path / "map.csv").write_text("ours,theirs\nski,ski\n")
    with pytest.raises(DataError, match="no class 'ski'"):
        DomainGeneralization(class_map=str(tmp_path / "map.csv")).evaluate(None, features)


def test_classes_are_found_by_name_however_they_are_numbered(features, tmp_path):
    """A list numbers its classes itself: here in another order, and without the class that no video is of."""
    outputs = [*NAMES, "ski", "run"]
    names = ["Tennis", "golf", "climb rope", "climb rock"]
    labels = [-1 if label < 0 else 3 - label for label, _ in VIDEOS]
    logits = np.concatenate([np.asarray(features.logits()), np.full((len(VIDEOS), 1, 2), -30, np.float32)], axis=2)
    known = {"names": features.names, "labels": labels, "class_names": names}
    other = write_features(tmp_path / "G", {("logits", "original"): logits}, **known, logit_names=outputs)
    (tmp_path / "map.csv").write_text("ours,theirs\nclimb rock,climb\nclimb rope,climb\ngolf,golf\n")
    for class_map in ("", str(tmp_path / "map.csv")):
        protocol = DomainGeneralization(class_map=class_map)
        expected = {each.name: each.value for each in protocol.evaluate(None, features).figures}
        found = {each.name: each.value for each in protocol.evaluate(None, other).figures}
        for name in ("top1_among_shared", "top1_among_all"):
            assert found[name] == pytest.approx(expected[name])
    unnamed = write_features(tmp_path / "H", {("logits", "original"): logits}, **known)
    with pytest.raises(DataError, match="6 outputs, of which 0 have names, and the list has names of 4"):
        DomainGeneralization().evaluate(None, unnamed)
    known["class_names"] = ["Tennis", "golf", "climb rope", "boulder"]
    foreign = write_features(tmp_path / "I", {("logits", "original"): logits}, **known, logit_names=outputs)
    with pytest.raises(DataError, match="'boulder' is no class of the network"):
        DomainGeneralization().evaluate(None, foreign)
