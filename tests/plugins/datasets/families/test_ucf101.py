"""UCF101's lists, in their layout: labels from 1, and none in the test lists."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.account import shared_between
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import write

CLASSES = "1 Archery\r\n2 HandstandPushups\r\n"


def read(folder, **lists):
    files = {"classInd.txt": CLASSES} | {f"{name}.txt": text for name, text in lists.items()}
    return DATA_SETS.get("ucf101").read(OfficialFiles(write(folder, files)), None)


def test_labels_and_groups(tmp_path):
    official = read(
        tmp_path,
        trainlist01="HandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n",
        testlist01="Archery/v_Archery_g01_c02.avi\r\nHandstandPushups/v_HandStandPushups_g08_c07.avi\r\n",
        trainlist02="Archery/v_Archery_g01_c02.avi 1\r\n",
    )
    (train,) = official.splits["train1"]
    assert (train.label, train.attributes) == ("HandstandPushups", {"group": 8, "number": 1})
    assert [video.label for video in official.splits["test1"]] == ["Archery", "HandstandPushups"]
    assert "there is no testlist03.txt" in official.absent["test3"]
    (shared,) = shared_between(official)  # splits 1 and 2 are no protocol
    assert (shared.first, shared.second, shared.videos) == ("train1", "test1", [])
    assert shared.sources == ["HandstandPushups_g08"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Archery/v_Archery_g01_c02.avi 2", "is not a video of the class that its label says"),
        ("Archery/v_Archery_g01_c02.avi 3", r"the label '3' is none of the 2 classes of .*classInd\.txt, 1 to 2"),
        ("Archery/v_Archery_g01_c02.avi 0", "the label '0' is none"),
        ("Diving/v_Diving_g01_c02.avi 1", "there is no class 'Diving'"),
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1", "is not `Class/v_Class_g01_c01.avi`"),
        ("Archery/v_Arch", "is not `Class/v_Class_g01_c01.avi`"),
    ],
)
def test_other_lines(tmp_path, line, said):
    with pytest.raises(DataError, match=rf"trainlist01\.txt:1: .*{said}"):
        read(tmp_path, trainlist01=line)


def test_classes_that_are_not_numbered_in_order(tmp_path):
    folder = write(tmp_path, {"classInd.txt": "0 Archery\n1 Diving\n"})
    with pytest.raises(DataError, match=r"classInd\.txt:1: '0 Archery' is not `1 ClassName`"):
        DATA_SETS.get("ucf101").read(OfficialFiles(folder), None)
