"""HMDB51's files, in their layout: codes of a split, which are no labels."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import write

KICK = (
    "#1_Best;-)_kick_f_cm_np1_ba_med_0.avi 1 \nLoser_kick_u_nm_np2_fr_goo_3.avi 2 \nx_kick_l_nm_np1_le_bad_1.avi 0 \n"
)
BALL = "Best_kick_ball_f_cm_np1_ri_bad_0.avi 2 \n"


def read(folder, **files):
    return DATA_SETS.get("hmdb51").read(
        OfficialFiles(write(folder, {f"{name}_test_split1.txt": text for name, text in files.items()})), None
    )


def test_codes_are_splits_and_files_are_classes(tmp_path):
    official = read(tmp_path, kick_ball=BALL, kick=KICK)
    assert official.class_names == ("kick", "kick_ball")
    (train,) = official.splits["train1"]
    assert (train.label, train.clip_names) == ("kick", ("kick/#1_Best;-)_kick_f_cm_np1_ba_med_0",))
    assert train.attributes == {"body": "full", "camera": "moving", "people": 1, "view": "back", "quality": "medium"}
    assert [(video.label, video.source) for video in official.splits["test1"]] == [
        ("kick", "Loser_kick"),
        ("kick_ball", "Best_kick_ball"),
    ]
    assert {*official.absent} == {f"{kind}{number}" for kind in ("train", "test") for number in (2, 3)}


@pytest.mark.parametrize(
    "line", ["Loser_kick_u_nm_np2_fr_goo_3.avi 3", "Loser_wave_u_nm_np2_fr_goo_3.avi 1", "a.avi 1", "kick/v_g01.avi"]
)
def test_other_lines(tmp_path, line):
    with pytest.raises(
        DataError, match=r"kick_test_split1\.txt:1: .* is not a video of the class 'kick' with 0, 1 or 2"
    ):
        read(tmp_path, kick=line)


def test_no_files(tmp_path):
    with pytest.raises(DataError, match=r"there is no brush_hair_test_split1\.txt"):
        DATA_SETS.get("hmdb51").read(OfficialFiles(write(tmp_path, {"x.txt": ""})), None)
