"""Files of class names: every form in label order, and names that two lists spell differently."""

import pytest

from pvbias.data.annotations import read_annotation, read_class_names
from pvbias.data.annotations.names import ClassNumbers
from pvbias.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "air drumming\nzumba\nbowling\n",
        '"air drumming"\nzumba\nbowling',
        "0 air drumming\n1 zumba\n2 bowling\n",
        "3 bowling\r\n1 air drumming\r\n2 zumba\r\n",
        "id,name\n0,air drumming\n2,bowling\n1,zumba\n",
        "zumba,1\nair drumming,0\nbowling,2\n",
        '["air drumming", "zumba", "bowling"]',
        '{"zumba": "1", "air drumming": "0", "bowling": "2"}',
        '{"2": "bowling", "0": "air drumming", "1": "zumba"}',
    ],
)
def test_forms(tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    assert read_class_names(tmp_path / "names.txt") == ("air drumming", "zumba", "bowling")


def test_names_that_end_in_numbers_are_names(tmp_path):
    (tmp_path / "names.txt").write_text("motion 2\nmotion 0\nmotion 1\n")
    assert read_class_names(tmp_path / "names.txt") == ("motion 2", "motion 0", "motion 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: bend\n3: crouch\n", "not from 0 to 1"),
        ("walk\nrun\nwalk\n", "names a class twice: walk"),
        ("a.mp4 0\nb.mp4 1\n", r"names\.txt:1: 'a\.mp4 0' is a video"),
        ("archery     large     yes\n", r"names\.txt:1: .*several columns"),
        ("set: 1; vault\n", r"names\.txt:1: .*several columns"),
        ('{"a": [1]}', "neither an array"),
        ("\n", "names no class"),
    ],
)
def test_mistakes(tmp_path, text, message):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_class_names(tmp_path / "names.txt")


def test_spelling_does_not_matter_where_it_tells_no_classes_apart():
    classes = ClassNumbers(["air drumming", "massaging person's head", "C", "C++", "Air-Hockey"])
    assert [classes.find(name) for name in ("Air_Drumming", "massaging_persons_head", "airhockey")] == [0, 1, 4]
    assert [classes.find(name) for name in ("C", "C++", "c", "d", "")] == [2, 3, None, None, None]


def test_folders_called_by_numbers_are_those_numbers(tmp_path):
    for number in (0, 2, 10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "v.mp4").touch()
    annotation = read_annotation(tmp_path)
    assert [(record.name, record.label) for record in annotation.records] == [
        ("0/v.mp4", 0),
        ("2/v.mp4", 2),
        ("10/v.mp4", 10),
    ]
    assert annotation.class_names == ()
