"""The files that data sets are published with: the right labels, or one error that says what a file is."""

import csv
import json
import os
import re
from pathlib import Path

import pytest

from pvbias.data.annotations import read_annotation, read_class_names
from pvbias.errors import DataError

ROOT = Path(os.environ.get("PVBIAS_REAL_DATA", "")) / "annotations"

pytestmark = pytest.mark.skipif(
    "PVBIAS_REAL_DATA" not in os.environ or not ROOT.is_dir(), reason="PVBIAS_REAL_DATA names no annotations"
)

#: `path label` lists, separated by a space or a comma.
PLAIN = (
    *("devias_filelist/diving48/train.csv", "devias_filelist/diving48/test.csv", "devias_filelist/hmdb51/train1.csv"),
    *("devias_filelist/hmdb51/test1.csv", "devias_filelist/k400/val.csv", "devias_filelist/mini_ssv2/train.csv"),
    *("devias_filelist/mini_ssv2/test.csv", "devias_filelist/places365/val.csv"),
    *("finegym/gym99_train_element_v1.0.txt", "finegym/gym99_val_element.txt", "finegym/gym288_val_element.txt"),
    *("kinetics/paddlevideo_val_small_videos.list",),
    *(f"ucf101_splits/trainlist0{split}.txt" for split in (1, 2, 3)),
)
#: `path frames label` lists.
TSN = (
    *("devias_filelist/hat/kinetics/list.csv", "devias_filelist/hat/ucf101/list.csv"),
    *("devias_filelist/scuba/kinetics/test.csv", "devias_filelist/scuba/ucf101/test.csv"),
)
#: `identifier;class` lists.
SEMICOLONS = (
    *("jester/jester-v1-train.csv", "jester/jester-v1-validation.csv", "ssv2/test-answers.csv"),
    *("jester/jester-v1-train-quick-testing.csv", "jester/jester-v1-validation-quick-testing.csv"),
)
#: Kinetics' own heading.
KINETICS = ("kinetics/kinetics-600_val.csv", "mimetics/mimetics_v1.0.csv")
WITHOUT_LABELS = tuple(f"ucf101_splits/testlist0{split}.txt" for split in (1, 2, 3))
SOMETHING = "ssv2/validation.json"
#: What is no list of videos with labels, and a part of what is said of it.
NOT_LISTS = {
    r"finegym/gym\d+_categories\.txt|kth/.*|mimetics/.*objectscene.*": "columns after the path",
    r"hmdb51_splits/.*_test_split\d\.txt": "codes of a split",
    r"hmdb51_splits/class_list\.txt|.*/classInd\.txt|.*label_map.*\.txt|.*/labels?(_to_id)?\.csv": "--class-names",
    r"jester/jester-v1-labels.*|kinetics/.*label_list\.txt|moments/.*|mimetics/.*clsannot.*": "--class-names",
    r"ssv2/.*labels\.json": "--class-names",
    r"jester/jester-v1-test\.csv|minikinetics200/.*_list\.txt|ssv2/test\.json": "--path-prefix",
    r"finegym/.*\.json|label_maps/.*\.json": "a form that is not known",
    r"finegym/set_categories\.txt|minikinetics200/README\.md": "names no video file",
}


def pairs(annotation):
    """(name, class name or number) of each record."""
    names = annotation.class_names
    return [(r.name, names[r.label] if names and r.label is not None else r.label) for r in annotation.records]


def lines(file):
    return [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize("file", PLAIN)
def test_plain_lists(file):
    wanted = [re.fullmatch(r"(.*)[ ,](\d+)", line).groups() for line in lines(file)]
    assert pairs(read_annotation(ROOT / file)) == [(name, int(label)) for name, label in wanted]


@pytest.mark.parametrize("file", TSN)
def test_three_columns(file):
    with pytest.raises(DataError, match="--list-format tsn"):
        read_annotation(ROOT / file)
    wanted = [line.split(" ") for line in lines(file)]
    found = pairs(read_annotation(ROOT / file, list_format="tsn"))
    assert found == [(name, int(label)) for name, _, label in wanted]


@pytest.mark.parametrize("file", SEMICOLONS)
def test_semicolons(file):
    annotation = read_annotation(ROOT / file)
    assert pairs(annotation) == [tuple(line.split(";")) for line in lines(file)]


@pytest.mark.parametrize("file", KINETICS)
def test_kinetics_heading(file):
    with open(ROOT / file, encoding="utf-8") as text:
        wanted = list(csv.DictReader(text))
    names = [f"{r['youtube_id']}_{int(r['time_start']):06d}_{int(r['time_end']):06d}" for r in wanted]
    assert pairs(read_annotation(ROOT / file)) == list(zip(names, [r["label"] for r in wanted], strict=True))


def test_somethings_template_is_the_class_and_its_number_the_official_one():
    items = json.loads((ROOT / SOMETHING).read_text())
    official = json.loads((ROOT / "ssv2/labels.json").read_text())
    assert read_class_names(ROOT / "ssv2/labels.json") == tuple(sorted(official, key=lambda name: int(official[name])))
    annotation = read_annotation(ROOT / SOMETHING)
    wanted = [(item["id"], int(official[re.sub(r"[\[\]]", "", item["template"])])) for item in items]
    assert [(record.name, record.label) for record in annotation.records] == wanted


@pytest.mark.parametrize("file", WITHOUT_LABELS)
def test_lists_without_labels(file):
    assert pairs(read_annotation(ROOT / file)) == [(line, None) for line in lines(file)]


def test_everything_else_is_one_error_that_says_what_it_is():
    known = {*PLAIN, *TSN, *SEMICOLONS, *KINETICS, *WITHOUT_LABELS, SOMETHING}
    files = [path for path in sorted(ROOT.rglob("*")) if path.is_file() and str(path.relative_to(ROOT)) not in known]
    assert len(files) > 150
    for path in files:
        said = next((text for form, text in NOT_LISTS.items() if re.fullmatch(form, str(path.relative_to(ROOT)))), None)
        assert said, f"what is {path.relative_to(ROOT)}?"
        with pytest.raises(DataError, match=said) as error:
            read_annotation(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "count", "first"),
    [
        ("kinetics/label_map_k400.txt", 400, "abseiling"),
        ("kinetics/labels_to_id.csv", 400, "abseiling"),
        ("kinetics/paddlevideo_Kinetics-400_label_list.txt", 400, "abseiling"),
        ("devias_filelist/hat/kinetics/labels.csv", 400, "abseiling"),
        ("ucf101_splits/classInd.txt", 101, "ApplyEyeMakeup"),
        ("hmdb51_splits/class_list.txt", 51, "brush_hair"),
        ("jester/jester-v1-labels.csv", 27, "Swiping Left"),
        ("jester/classInd.txt", 27, "Doing_other_things"),
        ("label_maps/ntu60_label_map.txt", 60, "drink water"),
        ("moments/category_momentsv2.txt", 305, "clapping"),
    ],
)
def test_class_names(file, count, first):
    names = read_class_names(ROOT / file)
    assert (len(names), names[0]) == (count, first)
