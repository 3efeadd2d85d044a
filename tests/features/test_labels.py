"""Labels of videos that may have several."""

from types import SimpleNamespace

import pytest

from pvbias.data import VideoRecord
from pvbias.errors import DataError
from pvbias.features.labels import labels_of


def source(tmp_path, *classes, class_names=()):
    records = [
        VideoRecord(
            path=f"{number}.mp4", name=f"{number}.mp4", label=number, attributes={"classes": each} if each else {}
        )
        for number, each in enumerate(classes)
    ]
    return SimpleNamespace(records=records, class_names=class_names, description=str(tmp_path / "list.jsonl"))


def found(source, attribute="classes"):
    labels = labels_of(source, attribute)
    return [*labels.class_names], labels.num_classes, [labels.of(record) for record in source.records]


def test_classes_are_numbered_by_name(tmp_path):
    videos = source(tmp_path, "run;jump", "", "sit; run ;run")
    assert found(videos) == (["jump", "run", "sit"], 3, [[0, 1], [], [1, 2]])
    assert found(videos, "") == ([], 0, [0, 1, 2])
    (tmp_path / "class_names.txt").write_text("Sit\nRun\nFly\nJump\n")
    assert found(videos) == (["Sit", "Run", "Fly", "Jump"], 4, [[1, 3], [], [0, 1]])
    videos.class_names = ("jump", "sit", "run")
    assert found(videos) == (["jump", "sit", "run"], 3, [[0, 2], [], [1, 2]])


def test_a_class_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'1.mp4' has the class 'jumping' .* Did you mean 'jump'"):
        found(source(tmp_path, "run", "jumping", class_names=("run", "jump")))
    with pytest.raises(DataError, match=r"FEATURES\.LABELS_FROM asks for 'actions'"):
        found(source(tmp_path, "run"), "actions")
