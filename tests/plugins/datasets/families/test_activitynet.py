"""ActivityNet's one JSON file, in its layout."""

import json

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles
from pvbias.plugins.datasets.preparing import prepare_lists

from ..official_files import touch, write


def video(subset, *annotations):
    segments = [{"label": label, "segment": [start, end]} for label, start, end in annotations]
    return {"subset": subset, "annotations": segments, "duration": 50.1, "resolution": "4x4", "url": "https://..."}


def test_each_segment_is_a_part_of_a_whole_video(tmp_path):
    classes = [(f"Class {number:03d}", 0, 1) for number in range(199)]
    database = {
        "sJFgo9H6zNo": video("validation", ("Laying tile", 1.5, 20.25), ("Laying tile", 30, 49)),
        "-x": video("training", ("Laying tile", 0, 9), *classes, ("Class 000", 7, 7)),
        "hidden": video("testing"),
    }
    write(tmp_path / "official", {"activity_net.v1-3.min.json": json.dumps({"database": database, "version": "1.3"})})
    touch(tmp_path / "videos", "v_sJFgo9H6zNo.mp4", "v_hidden.mkv")
    account = prepare_lists(
        DATA_SETS.get("activitynet"),
        str(tmp_path / "videos"),
        str(tmp_path / "official"),
        tmp_path / "lists",
        other_counts=True,
    )
    assert {name: (each.listed, each.found) for name, each in account.splits.items()} == {
        **{"train": (200, 0), "val": (2, 2)},
        "test": (1, 1),
    }
    assert account.notes == ["1 segments end before they start, and are left out."]
    records = read_annotation(tmp_path / "lists" / "val.csv").records
    assert [(record.label, record.start, record.end) for record in records] == [(199, 1.5, 20.25), (199, 30.0, 49.0)]
    assert records[0].name == records[1].name == "videos/v_sJFgo9H6zNo.mp4"
    (hidden,) = read_annotation(tmp_path / "lists" / "test.csv").records
    assert (hidden.label, hidden.start, hidden.end) == (None, None, None)


def test_another_json_file(tmp_path):
    folder = write(tmp_path, {"activity_net.v1-3.min.json": '{"results": {}}'})
    with pytest.raises(DataError, match="has no object `database`"):
        DATA_SETS.get("activitynet").read(OfficialFiles(folder), None)
