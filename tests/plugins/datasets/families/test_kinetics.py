"""Kinetics' lists, in their layouts, and what is made of them."""

import json

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.catalogue import check_counts
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import ANNOTATIONS, needs_official_files, write

HEADING = "label,youtube_id,time_start,time_end,split\n"


def read(name, folder, files):
    return DATA_SETS.get(name).read(OfficialFiles(write(folder, files)), None)


def test_csv_and_json_say_the_same(tmp_path):
    """A quoted label with a comma, an identifier with leading dashes, and times that are no whole numbers in JSON."""
    rows = HEADING + '"sword fighting, fencing",--nQbRBEz2s,5,15,train\nyoga,0wR5jVB-WPk,417,427,train\n'
    items = {
        "--nQbRBEz2s": {
            **{"annotations": {"label": "sword fighting, fencing", "segment": [5.0, 15.0]}, "subset": "train"},
            "url": "https://...",
        },
        "0wR5jVB-WPk": {"annotations": {"label": "yoga", "segment": [417.0, 427.0]}, "subset": "train"},
    }
    listed = [
        read("kinetics400", tmp_path / "csv", {"train.csv": rows}),
        read("kinetics400", tmp_path / "json", {"sub/kinetics_train.json": json.dumps(items)}),
    ]
    for official in listed:
        assert official.class_names == ("sword fighting, fencing", "yoga")
        first, second = official.splits["train"]
        assert first.clip_names == ("--nQbRBEz2s_000005_000015",)
        assert first.source_names == ("--nQbRBEz2s",)
        assert (second.start, second.end, second.label) == (417.0, 427.0, "yoga")
        assert "there is no val.csv or validate.csv" in official.absent["val"]


def test_a_test_split_may_have_no_labels(tmp_path):
    files = {"test.csv": "youtube_id,time_start,time_end,split\n0wR5jVB-WPk,417,427,test\n"}
    official = read("kinetics400", tmp_path, files | {"validate.csv": HEADING + "yoga,0wR5jVB-WPa,1,11,validate\n"})
    assert [video.label for video in official.splits["test"]] == [None]
    assert official.class_names == ("yoga",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\nx.mp4,1\n", "the heading has no column 'youtube_id': 'path, label'. This is another file"),
        (HEADING + "yoga,0wR5jVB-WPk,4", r"train\.csv:2: 3 columns, and the heading names 5: a damaged line"),
        (HEADING + "yoga,0wR5jVB-WPk,a,b,train\n", "is not an identifier with two times"),
        (HEADING + "yoga,0wR5jVB-WPk,20,10,train\n", "the part ends"),
    ],
)
def test_other_files(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read("kinetics400", tmp_path, {"train.csv": text})


def test_two_different_files_of_one_name(tmp_path):
    files = {"k400/val.csv": HEADING, "k600/val.csv": HEADING + "yoga,0wR5jVB-WPk,1,11,val\n"}
    with pytest.raises(DataError, match="have the same name and are different files: give the folder of one"):
        read("kinetics400", tmp_path, files)


@needs_official_files
def test_a_file_of_another_release():
    """Kinetics-600's validation list, taken for one of another Kinetics."""
    (path,) = (ANNOTATIONS / "kinetics").glob("kinetics-600_val.csv")
    for name, number in (("kinetics400", 400), ("kinetics700", 700)):
        data_set = DATA_SETS.get(name)
        with pytest.raises(DataError, match=r"there is no train\.csv"):
            data_set.read(OfficialFiles(path.parent), None)  # it does not even have its name
        assert data_set.classes == number


@needs_official_files
def test_a_file_that_is_cut_off(tmp_path):
    lines = (ANNOTATIONS / "kinetics/kinetics-600_val.csv").read_text().splitlines(keepends=True)
    for name, kept, said in (
        ("kinetics600", len(lines) * 8 // 10, r"lists 23,2.. videos, and 30,000 are published \(github"),
        ("kinetics400", len(lines), "have 600 classes, and Kinetics-400 has 400. Are they of another data set"),
    ):
        shuffled = lines[:1] + lines[1:][::7] + [line for n, line in enumerate(lines[1:]) if n % 7]
        folder = write(tmp_path / name, {"val.csv": "".join(shuffled[:kept])})
        official = DATA_SETS.get(name).read(OfficialFiles(folder), None)
        with pytest.raises(DataError, match=said):
            check_counts(DATA_SETS.get(name), official)


@needs_official_files
def test_mini_kinetics_takes_labels_and_times_from_kinetics(tmp_path):
    """The official identifiers, with made lists of Kinetics-400 that know all of them but one."""
    folder = ANNOTATIONS / "minikinetics200"
    identifiers = {split: (folder / f"{split}_ytid_list.txt").read_text().split() for split in ("train", "val")}
    files = {f"{split}_ytid_list.txt": "\n".join(names) for split, names in identifiers.items()}
    for split, names in identifiers.items():
        rows = [
            f"class {number % 200:03d},{name},{number % 90},{number % 90 + 10},{split}"
            for number, name in enumerate(names)
        ]
        files[f"{split}.csv"] = HEADING + "\n".join(rows[:-1] if split == "val" else rows) + "\n"
    official = read("minikinetics200", tmp_path, files)
    check_counts(DATA_SETS.get("minikinetics200"), official)
    assert {split: len(videos) for split, videos in official.splits.items()} == {"train": 80_000, "val": 5_000}
    assert official.notes[0].startswith("val: 1 of the 5000 identifiers of val_ytid_list.txt are not in these lists")
    assert official.splits["val"][-1].clip_names == official.splits["val"][-1].source_names == ()
    second = official.splits["train"][1]
    assert (second.label, second.clip_names) == ("class 001", (f"{identifiers['train'][1]}_000001_000011",))
    with pytest.raises(DataError, match=r"times are those of Kinetics-400: there is no train\.csv"):
        DATA_SETS.get("minikinetics200").read(OfficialFiles(folder), None)
