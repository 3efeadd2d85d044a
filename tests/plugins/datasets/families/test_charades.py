"""Charades' lists, in their layout: several classes a video."""

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles
from pvbias.plugins.datasets.preparing import prepare_lists

from ..official_files import touch, write

HEADING = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"


def files(rows, classes=157):
    return {
        "Charades_v1_classes.txt": "".join(f"c{number:03d} Doing {number}/thing\n" for number in range(classes)),
        "Charades_v1_train.csv": HEADING + rows,
    }


ACTIONS = "c092 11.90 21.20;c003 0.00 12.60;c092 1.00 2.00"
ROW = f'YSKX3,BI92,Kitchen,6,7,Yes,"A person, ""cooks"".",food,"x;y",{ACTIONS},30.5\n'


def test_all_classes_of_a_video_are_an_attribute(tmp_path):
    write(tmp_path / "official", files(ROW + "46GP8,HR43,,,,,,,,,24.8\n"))
    touch(tmp_path / "videos", "46GP8.mp4", "YSKX3.mp4")
    account = prepare_lists(
        DATA_SETS.get("charades"),
        str(tmp_path / "videos"),
        str(tmp_path / "official"),
        tmp_path / "lists",
        other_counts=True,
    )
    assert account.splits["train"].found_by_class == {"Doing 92/thing": 1, "Doing 3/thing": 1}
    cooks, nothing = read_annotation(tmp_path / "lists" / "train.csv").records
    assert cooks.label is nothing.label is None
    assert dict(cooks.attributes) == {
        **{"subject": "BI92", "scene": "Kitchen"},
        "classes": "Doing 92/thing;Doing 3/thing",
    }
    assert dict(nothing.attributes) == {"subject": "HR43"}


@pytest.mark.parametrize("actions", ["c157 0.00 1.00", "92 0.0 1.0", "Kitchen"])
def test_actions_of_no_class(tmp_path, actions):
    folder = write(tmp_path, files(f"YSKX3,BI92,Kitchen,6,7,Yes,s,o,d,{actions},30.5\n"))
    with pytest.raises(DataError, match=r"train\.csv:2: .* is not an action such as"):
        DATA_SETS.get("charades").read(OfficialFiles(folder), None)


def test_a_line_that_is_cut_off(tmp_path):
    folder = write(tmp_path, files(ROW[:60]))
    with pytest.raises(DataError, match=r"train\.csv:2: 9 columns, and the heading names 11: a damaged line"):
        DATA_SETS.get("charades").read(OfficialFiles(folder), None)
