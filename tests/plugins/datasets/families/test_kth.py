"""KTH's sequences, in the layout of their file."""

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles
from pvbias.plugins.datasets.preparing import prepare_lists

from ..official_files import touch, write

TEXT = """Training:   person 11, 12, 13\r
\r
person01_boxing_d1\t\tframes\t1-95, 96-185\r
person13_handclapping_d3\t*missing*\r
person22_walking_d4\tframes\t1-110\r
"""


def test_sequences_are_parts_at_25_frames_a_second(tmp_path):
    write(tmp_path / "official", {"00sequences.txt": TEXT})
    touch(tmp_path / "videos", "boxing/person01_boxing_d1_uncomp.avi")
    account = prepare_lists(
        DATA_SETS.get("kth"), str(tmp_path / "videos"), str(tmp_path / "official"), tmp_path / "out", other_counts=True
    )
    assert {split: (each.listed, each.found) for split, each in account.splits.items()} == {
        **{"train": (0, 0), "val": (2, 2)},
        "test": (1, 0),
    }
    assert account.notes == ["person13_handclapping_d3 is missing, as 00sequences.txt says itself."]
    records = read_annotation(tmp_path / "out" / "val.csv").records
    assert [(record.label, record.start, record.end) for record in records] == [(0, 0.0, 3.8), (0, 3.8, 7.4)]
    assert dict(records[0].attributes) == {"person": 1, "scenario": "outdoors"}


@pytest.mark.parametrize(
    "line", ["person01_boxing_d1 frames 1-", "person01_flying_d1 frames 1-2", "person26_boxing_d1 x"]
)
def test_other_lines(tmp_path, line):
    folder = write(tmp_path, {"00sequences.txt": line})
    with pytest.raises(DataError, match=r"sequences\.txt:1: .* is not `person01_boxing_d1"):
        DATA_SETS.get("kth").read(OfficialFiles(folder), None)
