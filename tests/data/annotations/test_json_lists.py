"""Lists in JSON: Something-Something's, Kinetics', plain ones, and what is no list of videos."""

import json

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError


def read(folder, document, name="list.json", **options):
    (folder / name).write_text(document if isinstance(document, str) else json.dumps(document, indent=1))
    annotation = read_annotation(folder / name, **options)
    names = annotation.class_names
    return [(r.name, r.label if r.label is None or not names else names[r.label]) for r in annotation.records]


def kinetics(**subsets):
    annotations = {"label": "archery", "segment": [4.0, 14.0]}
    return {name: {"annotations": annotations, "duration": 10.0, "subset": subset} for name, subset in subsets.items()}


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (
            [{"id": "74", "label": "spinning cube", "template": "Spinning [something]", "placeholders": ["cube"]}],
            [("74", "Spinning something")],
        ),
        ([{"path": "a.mp4", "label": 2.0}, {"path": "b.mp4", "label": "0"}], [("a.mp4", 2), ("b.mp4", 0)]),
        ([{"video": "a.mp4", "class": "run"}], [("a.mp4", "run")]),
        ({"a.mp4": "run", "b.mp4": "sit"}, [("a.mp4", "run"), ("b.mp4", "sit")]),
        (["a.mp4", "b.webm"], [("a.mp4", None), ("b.webm", None)]),
        (kinetics(aaaaaaaaaaa="val"), [("aaaaaaaaaaa_000004_000014", "archery")]),
    ],
)
def test_forms(tmp_path, document, wanted):
    (tmp_path / "74.webm").touch()
    assert read(tmp_path, document) == wanted


def test_identifiers_are_found_with_the_suffix_that_the_list_leaves_out(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "74.webm").touch()
    read(tmp_path, [{"id": "74"}, {"id": "75"}], path_prefix=str(tmp_path / "videos"))
    found, other = read_annotation(tmp_path / "list.json", path_prefix=str(tmp_path / "videos")).records
    assert found.path == str(tmp_path / "videos" / "74.webm")
    assert other.path == str(tmp_path / "videos" / "75")
    (tmp_path / "videos" / "74.mp4").touch()
    with pytest.raises(DataError, match=r"'74' may be '74\.mp4' or '74\.webm'"):
        read_annotation(tmp_path / "list.json", path_prefix=str(tmp_path / "videos"))


def test_lines_are_json_whatever_the_file_is_called(tmp_path):
    text = '{"path": "a.mp4", "label": 1}\n{"path": "b.mp4", "label": 0}\n'
    for name in ("list.jsonl", "list.json", "list.txt"):
        assert read(tmp_path, text, name=name) == [("a.mp4", 1), ("b.mp4", 0)]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"Closing something": "0", "Opening something": "1"}, r"looks like a table of classes.*--class-names"),
        ([{"id": "1"}, {"id": "2"}], r"list\.json: entry 1: '1' names no video file.*--path-prefix"),
        ([{"path": "a.mp4", "label": [1, 4]}], r"entry 1: the label is \[1, 4\]. Several labels of one video"),
        ([{"path": "a.mp4", "label": True}], r"entry 1: the label True"),
        ([{"path": "a\0.mp4"}], r"entry 1: .*NUL"),
        ([["a.mp4", 1]], r"entry 1: a line is"),
        ({"database": {"v": {"subset": "val", "annotations": [{"label": "x"}]}}}, "temporal localisation"),
        (kinetics(a="train", b="val"), r"several splits \(subset: 1 of 'train', 1 of 'val'\)"),
        ({"action": ["abseiling", "archery"]}, r"JSON of a form that is not known"),
        ("[1, 2", r"list\.json:1: this is not JSON"),
        ("[" * 100_000, r"list\.json:1: this is not JSON"),
        (f'{{"path": "a.mp4", "take": {"9" * 5000}}}', r"list\.json:1: this is not JSON"),
        ([{"path": "a.mp4", "start": 10**400}], r"entry 1: 'start' is 10+, which is no time"),
        ("3", "holds 3, not a list"),
    ],
)
def test_other_forms_are_named(tmp_path, document, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, document)


def test_sentences_are_no_classes(tmp_path):
    document = [{"id": str(n), "label": f"moving thing {n} over there"} for n in range(12)]
    (tmp_path / "3.webm").touch()
    with pytest.raises(DataError, match="sentences"):
        read(tmp_path, document)


def test_other_keys_are_attributes(tmp_path, caplog):
    caplog.set_level("INFO")
    lines = [
        {"path": "a.mp4", "label": 1, "scene": "kitchen", "people": 2, "indoors": True, "boxes": [1, 2], "note": None},
        {"path": "b.mp4", "label": 0, "height": 1.5},
    ]
    for name, document in (("list.json", lines), ("list.jsonl", "".join(json.dumps(line) + "\n" for line in lines))):
        read(tmp_path, document, name=name)
        first, second = read_annotation(tmp_path / name).records
        assert first.attributes == {"scene": "kitchen", "people": 2, "indoors": True}
        assert second.attributes == {"height": 1.5}
    assert "'boxes' is a list or an object (1 times), which is no attribute" in caplog.text


def test_attributes_of_the_known_forms(tmp_path):
    (tmp_path / "74.webm").touch()
    read(tmp_path, [{"id": "74", "label": "spinning cube", "template": "Spinning [something]", "hand": "left"}])
    (record,) = read_annotation(tmp_path / "list.json").records
    assert record.attributes == {"hand": "left"}
    read(tmp_path, kinetics(aaaaaaaaaaa="val"))
    (record,) = read_annotation(tmp_path / "list.json").records
    assert record.attributes == {"duration": 10.0}
