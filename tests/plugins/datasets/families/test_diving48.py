"""Diving48's JSON, in its layout."""

import json

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import ANNOTATIONS, needs_official_files, write

VOCABULARY = [
    ["Back", "15som", "05Twis", "FREE"],
    ["Back", "15som", "NoTwis", "PIKE"],
    ["Forward", "Dive", "No", "TUCK"],
]


def read(folder, name="diving48", vocabulary=VOCABULARY, **splits):
    files = {f"Diving48_V2_{split}.json": json.dumps(clips) for split, clips in splits.items()}
    write(folder, files | {"Diving48_vocab.json": json.dumps(vocabulary)})
    return DATA_SETS.get(name).read(OfficialFiles(folder), None)


def clip(name, label):
    return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 75}


def test_clips_have_the_four_parts_of_their_class(tmp_path):
    official = read(tmp_path, train=[clip("-mmq0PT-u8k_00155", 1), clip("a_b_c_00001", 0)], test=[clip("x_00002", 1)])
    assert official.class_names == ("Back+15som+05Twis+FREE", "Back+15som+NoTwis+PIKE", "Forward+Dive+No+TUCK")
    first, second = official.splits["train"]
    assert (first.label, first.source) == ("Back+15som+NoTwis+PIKE", "-mmq0PT-u8k")
    assert (second.label, second.source) == ("Back+15som+05Twis+FREE", "a_b_c")
    assert first.attributes == {"takeoff": "Back", "somersaults": "15som", "twists": "NoTwis", "position": "PIKE"}
    assert official.notes == ["1 of the 48 classes have no clip at all: Forward+Dive+No+TUCK."]


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match=r"entry 1: the label 3 is none of the 3 classes of .*vocab\.json, 0 to 2"):
        read(tmp_path / "a", train=[clip("x_00001", 3)])
    with pytest.raises(DataError, match=r"'x_00001'.* is not .*vid_name"):
        read(tmp_path / "b", train=["x_00001"])
    folder = write(tmp_path / "c", {"Diving48_vocab.json": json.dumps(VOCABULARY)[:-4]})
    with pytest.raises(DataError, match="is not JSON, or not all of it"):
        DATA_SETS.get("diving48").read(OfficialFiles(folder), None)
    official = read(tmp_path / "d", name="diving48_v1", train=[])
    assert "there is no Diving48_train.json" in official.absent["train"]


@needs_official_files
def test_lists_that_others_made_of_it_have_as_many_lines():
    """Labels of 47 of the 48 classes, and no source of clips in both."""
    folder = ANNOTATIONS / "devias_filelist" / "diving48"
    rows = {
        split: [line.split() for line in (folder / f"{split}.csv").read_text().splitlines()]
        for split in ("train", "test")
    }
    assert {split: len(found) for split, found in rows.items()} == {"train": 15_027, "test": 1_970}
    assert {int(label) for found in rows.values() for _, label in found} == {*range(48)} - {30}
    for split, found in rows.items():
        assert DATA_SETS.get("diving48").published_of(split, []).count == len(found)
