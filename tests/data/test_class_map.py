"""Files that say which classes of two data sets are the same."""

import pytest

from pvbias.data.class_map import read_class_map
from pvbias.errors import DataError


def test_classes_of_either_data_set(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('# From\n# a paper.\nours,theirs\nRockClimbing,climb\n"a, b",both\nRopeClimbing,climb\n')
    found = read_class_map(path)
    assert (found.source, found.target, found.about) == ("ours", "theirs", "From a paper.")
    assert found.classes == ("climb", "both")
    assert [found.find(name) for name in ("rope_climbing", "Climb", "a, b", "walk")] == ["climb", "climb", "both", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ours,theirs\n", "is no class map"),
        ("ours,theirs\na,b,c\n", "is no class map, .*'a,b,c'"),
        ("ours,theirs\na,\n", "is no class map, .*'a,'"),
        ("ours,theirs\na,x\na,y\n", "the class 'a' of ours is there twice"),
        ("ours,theirs\na,b\nb,c\n", "'b' is 'c' as a class of ours, and itself as one of theirs"),
        ("ours,theirs\na,golf\nGolf,c\n", "'Golf' is 'c' as a class of ours, and itself as one of theirs"),
    ],
)
def test_other_files(tmp_path, text, said):
    path = tmp_path / "map.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_class_map(path)
