import io
import json
import tarfile

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError
from pvbias.storage import local_cache
from pvbias.storage.local_cache import LocalCache


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(local_cache, "_current", LocalCache(str(tmp_path / "cache")))


def pack(path, **contents):
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))


def read(path, **options):
    annotation = read_annotation(path, **options)
    return [(record.name, record.label) for record in annotation.records], tuple(annotation.class_names)


def test_shards_are_the_folder_that_they_unpack_to(tmp_path):
    """Whatever lies in which shard, and in which order there."""
    names = [f"{label}/v{number}.mp4" for label in ("right", "left") for number in (10, 9, 2)]
    for number, part in enumerate((names[::2], names[1::2])):
        pack(tmp_path / f"s-{number}.tar", **dict.fromkeys(part, "x"))
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text("x")
    expected = [(f"{c}/v{n}.mp4", label) for label, c in enumerate(("left", "right")) for n in (2, 9, 10)]
    assert read(tmp_path / "s-{0..1}.tar") == read(tmp_path / "folder") == (expected, ("left", "right"))


def test_a_description_of_no_video_leaves_folders_classes(tmp_path):
    pack(tmp_path / "s.tar", **{"info.json": "{}", "left/0.mp4": "x", "right/1.mp4": "x"})
    assert read(tmp_path / "s.tar") == ([("left/0.mp4", 0), ("right/1.mp4", 1)], ("left", "right"))


def test_webdatasets_labels_and_attributes(tmp_path):
    described = {"label": "run", "scene": "street", "take": 3}
    pack(
        tmp_path / "s.tar",
        **{
            "000.mp4": "x",
            "000.cls": "\ufeffwalk\n",
            "000.json": json.dumps({"scene": "beach"}),
            "000.txt": "a caption",
        },
        **{"001.json": json.dumps(described), "001.webm": "x"},
    )
    annotation = read_annotation(tmp_path / "s.tar")
    assert read(tmp_path / "s.tar") == ([("000.mp4", 1), ("001.webm", 0)], ("run", "walk"))
    assert [dict(record.attributes) for record in annotation.records] == [
        {"scene": "beach"},
        {"scene": "street", "take": 3},
    ]
    assert [record.path for record in annotation.records] == [
        f"tar://000.mp4::{tmp_path}/s.tar",
        f"tar://001.webm::{tmp_path}/s.tar",
    ]


def test_a_list_of_videos_in_shards(tmp_path):
    """The list decides on the order, the names and the labels."""
    pack(tmp_path / "0.tar", **{"b.mp4": "x", "b.cls": "9"})
    pack(tmp_path / "1.tar", **{"x/a.mp4": "x", "x/frames.avi": "x"})
    (tmp_path / "list.csv").write_text("b.mp4 1\n./x/a.mp4 0\nx/frames 1\nnone.mp4 1\ns3://bucket/c.mp4 1\n")
    annotation = read_annotation(tmp_path / "list.csv", path_prefix=str(tmp_path / "{0..1}.tar"))
    assert [(record.name, record.label, record.path) for record in annotation.records] == [
        ("b.mp4", 1, f"tar://b.mp4::{tmp_path}/0.tar"),
        ("./x/a.mp4", 0, f"tar://x/a.mp4::{tmp_path}/1.tar"),
        ("x/frames", 1, f"tar://x/frames.avi::{tmp_path}/1.tar"),
        ("none.mp4", 1, f"tar://none.mp4::{tmp_path}/{{0..1}}.tar"),
        ("s3://bucket/c.mp4", 1, "s3://bucket/c.mp4"),
    ]


def test_clips_by_identifier_in_shards(tmp_path):
    pack(tmp_path / "s.tar", **{"dancing/abc_000010_000020.mp4": "x", "dancing/def_000000_000010.mp4": "x"})
    (tmp_path / "list.csv").write_text("label,youtube_id,time_start,time_end,split\ndancing,abc,10,20,test\n")
    (record,) = read_annotation(tmp_path / "list.csv", path_prefix=str(tmp_path / "s.tar")).records
    assert record.path == f"tar://dancing/abc_000010_000020.mp4::{tmp_path}/s.tar"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"a.mp4": "x", "a.json": "{"}, "'a.json' is not JSON"),
        ({"a.mp4": "x", "a.json": "[1]"}, "'a.json' is no JSON object"),
        ({"a.rgb.mp4": "x", "a.flow.mp4": "x", "a.cls": "1"}, "'a.flow.mp4' and 'a.rgb.mp4' are videos of one sample"),
        ({"a.txt": "x"}, "names no video"),
    ],
)
def test_what_is_no_list(tmp_path, contents, said):
    pack(tmp_path / "s.tar", **contents)
    with pytest.raises(DataError, match=said):
        read_annotation(tmp_path / "s.tar")
