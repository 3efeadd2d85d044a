"""FineGym's lists, in their layout."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import write

CATEGORIES = """Clabel:   0; set:  1; Glabel:   7; (VT) round-off,  stretched salto
Clabel:   1; set: 33; Glabel: 290; (BB) salto backward tucked
Clabel:   2; set: 35; Glabel: 359; (BB) salto backward tucked
"""


def read(folder, **files):
    texts = {
        "gym99_categories.txt": CATEGORIES,
        "set_categories.txt": "set: 33; BB_flight_salto\nset: 35; BB_dismounts\n",
    }
    texts |= {f"{name}.txt": text for name, text in files.items()}
    return DATA_SETS.get("gym99").read(OfficialFiles(write(folder, texts)), None)


def test_classes_of_one_name_are_told_apart_by_their_set(tmp_path):
    official = read(tmp_path, gym99_val_element="--bTB_x9wRO_E_002407_002435_A_0003_0005 2\n")
    assert official.class_names == (
        "(VT) round-off, stretched salto",
        "(BB) salto backward tucked [BB_flight_salto]",
        "(BB) salto backward tucked [BB_dismounts]",
    )
    (video,) = official.splits["val"]
    assert (video.label, video.source) == (official.class_names[2], "--bTB_x9wRO")
    assert video.attributes == {"element_set": "BB_dismounts", "event": "balance beam", "element": 359}


def test_the_newer_training_list_is_taken(tmp_path):
    names = {"v1.0": "x9wROrk_aaa_E_1_2_A_3_4 0\n", "v1.1": "x9wROrk_bbb_E_1_2_A_3_4 0\n"}
    official = read(tmp_path, **{f"gym99_train_element_{version}": text for version, text in names.items()})
    assert [video.source for video in official.splits["train"]] == ["x9wROrk_bbb"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x9wROrk_aaa_E_1_2_A_3_4 3", "the label '3' is none of the 3 classes"),
        ("x9wROrk_aaa_E_1_2_A_3_4", "is not `ID_E_"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1", "is not `ID_E_"),
    ],
)
def test_other_lines(tmp_path, line, said):
    with pytest.raises(DataError, match=rf"val_element\.txt:1: .*{said}"):
        read(tmp_path, gym99_val_element=line)
