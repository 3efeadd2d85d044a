"""What each form of annotation gives, and errors that name file and line."""

import json

import numpy as np
import pytest
from PIL import Image

from pvbias.data import build_source, count_classes, fingerprint, set_fingerprints
from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError

from ...video.videos import data_cfg


def labels(annotation):
    return [(record.name, record.label) for record in annotation.records]


def test_csv_with_either_separator_and_names_that_contain_both(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text(
        "\ufeffpath,label\n\n# comment\na.mp4 0\nb.mp4,1\nmy clips/c, d.avi 2\nmy clips/e f.mp4,0\n"
        "frames/one two 1\nframes/x,y,2\n/abs/g.webm\t1\nh.mp4 , 2\n",
        encoding="utf-8",
    )
    annotation = read_annotation(file)
    assert labels(annotation) == [
        ("a.mp4", 0),
        ("b.mp4", 1),
        ("my clips/c, d.avi", 2),
        ("my clips/e f.mp4", 0),
        ("frames/one two", 1),
        ("frames/x,y", 2),
        ("/abs/g.webm", 1),
        ("h.mp4", 2),
    ]
    assert annotation.records[0].path == str(tmp_path / "a.mp4")
    assert annotation.records[6].path == "/abs/g.webm"
    assert read_annotation(file, path_prefix="/videos").records[0].path == "/videos/a.mp4"
    assert annotation.class_names == ()


def test_csv_without_labels_and_with_names(tmp_path):
    (tmp_path / "none.csv").write_text("a b.mp4\nc.mp4\n")
    assert labels(read_annotation(tmp_path / "none.csv")) == [("a b.mp4", None), ("c.mp4", None)]
    (tmp_path / "names.csv").write_text("a.mp4,Swiping Left\nb.mp4 jump\n")
    annotation = read_annotation(tmp_path / "names.csv")
    assert labels(annotation) == [("a.mp4", 0), ("b.mp4", 1)]
    assert annotation.class_names == ("Swiping Left", "jump")


def test_class_names_beside_a_list_number_its_labels(tmp_path):
    """Where nothing else does: neither names that are given nor those of the training split."""
    (tmp_path / "names.csv").write_text("a.mp4,Swiping Left\nb.mp4 jump\n")
    (tmp_path / "numbers.csv").write_text("a.mp4 1\n")
    (tmp_path / "class_names.txt").write_text("sit\njump\nSwiping Left\n")
    annotation = read_annotation(tmp_path / "names.csv")
    assert labels(annotation) == [("a.mp4", 2), ("b.mp4", 1)]
    assert (annotation.class_names, annotation.own_names) == (("sit", "jump", "Swiping Left"), False)
    assert labels(read_annotation(tmp_path / "names.csv", class_names=["jump", "swiping left"])) == [
        ("a.mp4", 1),
        ("b.mp4", 0),
    ]
    training = read_annotation(tmp_path / "names.csv", training_names=lambda: ["jump", "swiping left"])
    assert labels(training) == [("a.mp4", 1), ("b.mp4", 0)]
    assert read_annotation(tmp_path / "numbers.csv").class_names == ()
    (tmp_path / "class_names.txt").write_text("sit\njump\n")
    with pytest.raises(DataError, match=r"no class 'Swiping Left' among the 2 of .*class_names\.txt"):
        read_annotation(tmp_path / "names.csv")


def test_json_lines(tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [{"path": "a.mp4", "label": 1, "start": 1.5, "end": 3, "note": "x"}, {"path": "b.mp4"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    first, second = read_annotation(file).records
    assert (first.label, first.start, first.end) == (1, 1.5, 3.0)
    assert (second.label, second.start, second.end) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "x.mp4 1\ny.mp4 jump\n", r"a\.csv:2: the label 'jump' is a name, but the one in .*a\.csv:1"),
        ("a.csv", "\n# nothing\n", "names no video"),
        ("a.jsonl", '{"path": "x"}\n{"path": \n', r"a\.jsonl:2: this is not JSON"),
        ("a.jsonl", '{"label": 1}\n', r"a\.jsonl:1: a line is"),
        ("a.jsonl", '{"path": "x", "label": 1.5}\n', r"a\.jsonl:1: the label 1\.5"),
        ("a.jsonl", '{"path": "x", "start": 3, "end": 2}\n', r"a\.jsonl:1: the part ends \(2 s\) before"),
        ("a.jsonl", '{"path": "x", "start": "0"}\n', r"a\.jsonl:1: 'start' is '0'"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_annotation(tmp_path / name)


def test_a_missing_annotation(tmp_path):
    with pytest.raises(DataError, match=r"There is no annotation .*no\.csv"):
        read_annotation(tmp_path / "no.csv")


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def test_folders(tmp_path):
    for name in ("walk/b10.mp4", "walk/b2.mp4", "run/deep/c.avi", "run/.hidden.mp4", "run/notes.txt"):
        touch(tmp_path / "classes" / name)
    write_image(tmp_path / "classes" / "jump" / "v1" / "0.jpg")
    write_image(tmp_path / "classes" / "jump" / "v1" / "1.jpg")
    (tmp_path / "classes" / "run" / "loop").symlink_to(tmp_path / "classes")
    annotation = read_annotation(tmp_path / "classes")
    assert annotation.class_names == ("jump", "run", "walk")
    assert labels(annotation) == [("jump/v1", 0), ("run/deep/c.avi", 1), ("walk/b2.mp4", 2), ("walk/b10.mp4", 2)]

    for name in ("a.mp4", "more/b.webm"):
        touch(tmp_path / "flat" / name)
    flat = read_annotation(tmp_path / "flat")
    assert labels(flat) == [("a.mp4", None), ("more/b.webm", None)]
    assert flat.class_names == ()

    write_image(tmp_path / "frames" / "v1" / "0.png")
    write_image(tmp_path / "frames" / "v2" / "0.png")
    assert labels(read_annotation(tmp_path / "frames")) == [("v1", None), ("v2", None)]
    (only,) = read_annotation(tmp_path / "frames" / "v1").records
    assert only.path == str(tmp_path / "frames" / "v1")


def test_a_test_split_numbers_its_classes_as_the_training_split_does(tmp_path):
    (tmp_path / "train.csv").write_text("a.mp4 jump\nb.mp4 run\nc.mp4 walk\n")
    (tmp_path / "test.csv").write_text("d.mp4 walk\n")
    cfg = data_cfg(tmp_path, PATH_TO_DATA_DIR=str(tmp_path), TRAIN_SPLIT="train.csv", TEST_SPLIT="test.csv")
    source = build_source(cfg, "test")
    assert source.records[0].label == 2
    assert source.class_names == ("jump", "run", "walk")
    assert count_classes(source) == 3

    (tmp_path / "test.csv").write_text("d.mp4 wlak\n")
    with pytest.raises(
        DataError, match=r"test\.csv:1: there is no class 'wlak' among the 3 of .*train\.csv\. Did you mean 'walk'"
    ):
        build_source(cfg, "test")

    (tmp_path / "names.txt").write_text("walk\njump\nrun\n")
    cfg.DATA.CLASS_NAMES_FILE = str(tmp_path / "names.txt")
    assert [record.label for record in build_source(cfg, "train").records] == [1, 2, 0]


def test_fingerprints_tell_labels_and_contents_apart(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"12")
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 1\n")
    cfg = data_cfg(tmp_path / "train.csv")
    first = fingerprint(build_source(cfg, "train"))
    assert first == fingerprint(build_source(cfg, "train"))
    (tmp_path / "a.mp4").write_bytes(b"123")
    second = fingerprint(build_source(cfg, "train"))
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 2\n")
    assert len({first, second, fingerprint(build_source(cfg, "train"))}) == 3


def test_the_same_videos_are_the_same_whatever_their_classes_are_called(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"12")
    (tmp_path / "b.mp4").write_bytes(b"123")
    lists = {"numbers": "a.mp4 0\nb.mp4 1\n", "swapped": "b.mp4 1\na.mp4 0\n", "others": "a.mp4 1\nb.mp4 0\n"}
    lists |= {
        "words": "a.mp4 run\nb.mp4 walk\n",
        "folder": f"{tmp_path}/a.mp4 0\n{tmp_path}/b.mp4 1\n",
        "one": "a.mp4 0\n",
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "names.txt").write_text("run\nwalk\n")
    (tmp_path / "turned.txt").write_text("Walk\nRun\n")

    def found(name, classes=""):
        names_file = str(tmp_path / classes) if classes else ""
        return set_fingerprints(build_source(data_cfg(tmp_path / f"{name}.csv", CLASS_NAMES_FILE=names_file), "train"))

    plain, named = found("numbers"), found("numbers", "names.txt")
    assert (plain.videos, plain.label_numbers, plain.label_names) == (named.videos, named.label_numbers, "")
    assert found("swapped") == found("folder") == plain
    other = found("others")
    assert other.videos == plain.videos
    assert other.label_numbers != plain.label_numbers
    words = found("words", "turned.txt")  # the same classes with each other's numbers
    assert words.videos == plain.videos
    assert words.label_numbers != plain.label_numbers
    assert words.label_names == named.label_names
    assert found("one").videos != plain.videos
    (tmp_path / "a.mp4").write_bytes(b"1234")
    assert found("numbers").videos != plain.videos


def test_a_video_that_is_listed_with_two_labels_is_named(tmp_path, caplog):
    (tmp_path / "list.csv").write_text("a.mp4 0\nb.mp4 1\n./a.mp4 2\nb.mp4 1\n")
    assert [record.label for record in read_annotation(tmp_path / "list.csv").records] == [0, 1, 2, 1]
    (warning,) = caplog.messages
    assert "list.csv:3: './a.mp4' has the label 2, and in " in warning
    assert "list.csv:1 0; in all, 1 lines give" in warning


def test_a_list_with_some_labels_missing_is_named(tmp_path, caplog):
    (tmp_path / "list.csv").write_text("a.mp4 0\nb.mp4\nc.mp4 1\n")
    assert [record.label for record in read_annotation(tmp_path / "list.csv").records] == [0, None, 1]
    (warning,) = caplog.messages
    assert "list.csv:2: 'b.mp4' has no label; in all, 1 of 3 lines have none" in warning
