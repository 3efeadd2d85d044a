"""Something-Something and Jester, in the layouts of 20BN's files."""

import json

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import write

LABELS = {"Putting something on a surface": "1", "Letting something roll, so it stops": "0"}


def read(name, folder, files):
    return DATA_SETS.get(name).read(OfficialFiles(write(folder, files)), None)


def v2(folder, train, **others):
    return read("ssv2", folder, {"labels.json": json.dumps(LABELS), "train.json": json.dumps(train), **others})


def test_the_class_is_the_template_without_brackets(tmp_path):
    official = v2(
        tmp_path,
        [
            {
                **{"id": "74225", "label": "putting cup on a surface", "template": "Putting [something] on a surface"},
                "placeholders": ["cup", "a, b"],
            }
        ],
        **{"test.json": '[{"id": "6"}]', "test-answers.csv": "6;Letting something roll, so it stops\n"},
    )
    assert official.class_names == ("Letting something roll, so it stops", "Putting something on a surface")
    (video,) = official.splits["train"]
    assert (video.name, video.label) == ("74225", "Putting something on a surface")
    assert video.attributes == {"objects": "cup, a, b"}
    assert [video.label for video in official.splits["test"]] == ["Letting something roll, so it stops"]
    assert "there is no validation.json or something-something-v2-validation.json" in official.absent["val"]


def test_a_test_split_without_answers_has_no_labels(tmp_path):
    official = v2(tmp_path, [], **{"test.json": '[{"id": "5"}]'})
    assert official.splits["test"][0].label is None
    assert official.notes == ["test: there is no test-answers.csv, so its videos have no labels."]


def test_files_with_semicolons(tmp_path):
    files = {
        "jester-v1-labels.csv": "Swiping Left\r\nNo gesture\r\n",
        "jester-v1-train.csv": "34870;No gesture\r\n5;Swiping Left\r\n",
        "jester-v1-test.csv": "1\n2\n",
    }
    official = read("jester", tmp_path, files)
    assert official.class_names == ("Swiping Left", "No gesture")
    assert [(video.name, video.label) for video in official.splits["train"]] == [
        ("34870", "No gesture"),
        ("5", "Swiping Left"),
    ]
    assert [video.label for video in official.splits["test"]] == [None, None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "5;Swiping Lefft",
            r"train\.csv:1: there is no class 'Swiping Lefft' among the 2 .*Did you mean 'Swiping Left'",
        ),
        ("5;Pouring something", "Is this file of another data set"),
        ("5", "'5' is not `identifier;class`"),
        ("v_Archery_g01_c01.avi;Swiping Left", "is not `identifier;class`"),
    ],
)
def test_lines_of_other_files(tmp_path, line, said):
    with pytest.raises(DataError, match=said):
        read("jester", tmp_path, {"jester-v1-labels.csv": "Swiping Left\nNo gesture\n", "jester-v1-train.csv": line})


def test_json_of_other_files(tmp_path):
    with pytest.raises(DataError, match=r"train\.json: entry 1: .*'vid_name'.* is not"):
        v2(tmp_path / "a", [{"vid_name": "x", "label": 0}])
    with pytest.raises(DataError, match="no JSON object of class names and the numbers"):
        read("ssv2", tmp_path / "b", {"labels.json": '["a", "b"]'})
    with pytest.raises(DataError, match="there is no class 'Waving something'"):
        v2(tmp_path / "c", [{"id": "1", "template": "Waving [something]"}])
    answers = "5;Letting something roll, so it stops\n"
    with pytest.raises(DataError, match=r"test\.json: entry 2: test-answers\.csv has no line of the video 6"):
        v2(tmp_path / "d", [], **{"test.json": '[{"id": "5"}, {"id": "6"}]', "test-answers.csv": answers})
