"""Lists with a heading: columns by their names, Kinetics' own, and headings that leave something open."""

import os

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import DataError

from ...video.videos import write_video

KINETICS = "label,youtube_id,time_start,time_end,split\n"


def read(folder, text, **options):
    (folder / "list.csv").write_text(text)
    annotation = read_annotation(folder / "list.csv", **options)
    names = annotation.class_names
    return [(r.name, r.label if r.label is None or not names else names[r.label]) for r in annotation.records]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("filename,class\na.mp4,brush\nb.mp4,climb\n", [("a.mp4", "brush"), ("b.mp4", "climb")]),
        ("label,video_path\n3.0,a.mp4\n1,b.mp4\n", [("a.mp4", 3), ("b.mp4", 1)]),
        ("Path\tFPS\tLabel\na b.mp4\t25\tSwiping Left\n", [("a b.mp4", "Swiping Left")]),
        ("video;label\n7;Put a, then b\n", [("7", "Put a, then b")]),
        ("clip_name,clip_path,label\nx,a.mp4,run\n", [("a.mp4", "run")]),
        (",path,label\n0,a.mp4,2\n1,b.mp4,5\n", [("a.mp4", 2), ("b.mp4", 5)]),
        ("path,label,split\na.mp4,1,test\nb.mp4,0,test\n", [("a.mp4", 1), ("b.mp4", 0)]),
        ("path\na.mp4\nb.mp4\n", [("a.mp4", None), ("b.mp4", None)]),
        ('path,label\na.mp4,"b, c"\nd.mp4,\n', [("a.mp4", "b, c"), ("d.mp4", None)]),
    ],
)
def test_columns_by_their_names(tmp_path, text, wanted):
    assert read(tmp_path, text) == wanted


def test_parts_of_videos(tmp_path):
    read(tmp_path, "path,start,end,label\na.mp4,1.5,4,0\nb.mp4,,,1\n")
    first, second = read_annotation(tmp_path / "list.csv").records
    assert (first.start, first.end, second.start, second.end) == (1.5, 4.0, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,class_id,class_name\na.mp4,0,run\n", r"list\.csv:1: 'class_id' and 'class_name' may each be the label"),
        ("path,verb\na.mp4,run\n", r"list\.csv:1: no column is called label or class, and 'verb' may be it"),
        ("path,label,fps\na.mp4,0\n", r"list\.csv:2: 2 columns, and the heading names 3"),
        (
            "path,label,split\na.mp4,1,train\nb.mp4,0,test\n",
            r"videos of several splits \(split: 1 of 'train', 1 of 'test'\)",
        ),
        ("path,label,fps\na.mp4,0.5,25\n", r"list\.csv:2: the label 0\.5"),
        ("path,label,start,end\na.mp4,0,5,2\n", r"list\.csv:2: the part ends \(2 s\) before"),
        ("id,name\n0,abseiling\n1,zumba\n", r"list\.csv:2: '0' names no video file"),
    ],
)
def test_headings_that_leave_something_open(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_kinetics_clips_are_found_by_their_usual_names(tmp_path):
    videos = tmp_path / "videos"
    for name in ("air_drumming/aaaaaaaaaaa_000010_000020.mp4", "val/zumba/bbbbbbbbbbb_000003_000013.webm"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).touch()
    (videos / "ccccccccccc_000001_000011").mkdir()  # frames
    write_video(videos / "ddddddddddd.mp4", 30)  # one second
    text = KINETICS + (
        "air drumming,aaaaaaaaaaa,10,20,val\nzumba,bbbbbbbbbbb,3,13,val\nzumba,ccccccccccc,1,11,val\n"
        "zumba,ddddddddddd,5,6,val\nzumba,eeeeeeeeeee,5,15,val\n"
    )
    names = [name for name, _ in read(tmp_path, text, path_prefix=str(videos))]
    records = read_annotation(tmp_path / "list.csv", path_prefix=str(videos)).records
    assert names[0] == "aaaaaaaaaaa_000010_000020"
    assert [record.label for record in records] == [0, 1, 1, 1, 1]
    assert {(record.start, record.end) for record in records} == {(None, None)}, "the files are cut"
    assert [os.path.relpath(record.path, videos) for record in records] == [
        "air_drumming/aaaaaaaaaaa_000010_000020.mp4",
        "val/zumba/bbbbbbbbbbb_000003_000013.webm",
        "ccccccccccc_000001_000011",
        "ddddddddddd.mp4",
        "eeeeeeeeeee_000005_000015.mp4",  # is not there
    ]


def test_kinetics_clips_of_which_it_is_not_certain_which_file_they_are(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        (tmp_path / folder / "aaaaaaaaaaa_000010_000020.mp4").touch()
    with pytest.raises(DataError, match=r"list\.csv:2: the clip may be .*a/aaa.* or .*b/aaa"):
        read(tmp_path, KINETICS + "run,aaaaaaaaaaa,10,20,val\n")
    assert read(tmp_path, KINETICS + "b,aaaaaaaaaaa,10,20,val\n") == [("aaaaaaaaaaa_000010_000020", "b")]
    write_video(tmp_path / "ccccccccccc.mp4", 150)  # five seconds
    with pytest.raises(DataError, match=r"list\.csv:2: the clip lasts 1 s, and .* 5\.0 s: the files are whole videos"):
        read(tmp_path, KINETICS + "run,ccccccccccc,2,3,val\n")
    with pytest.raises(DataError, match=r"list\.csv:2: .* may be this clip or the one of .*list\.csv:3"):
        read(tmp_path, KINETICS + "run,ccccccccccc,2,7,val\nrun,ccccccccccc,7,12,val\n")


def test_other_columns_that_have_a_name_are_attributes(tmp_path):
    text = 'path,label,split,start,scene,people,Unnamed: 0,"a, b",fps\n'
    text += 'a.mp4,0,val,,kitchen,2,0,x,25\nb.mp4,1,val,1.5,"living room",,1,y,29.97\n'
    read(tmp_path, text)
    first, second = read_annotation(tmp_path / "list.csv").records
    assert first.attributes == {"scene": "kitchen", "people": 2, "a, b": "x", "fps": 25.0}
    assert second.attributes == {"scene": "living room", "a, b": "y", "fps": 29.97}


def test_attributes_of_videos_without_labels(tmp_path):
    read(tmp_path, "path,label,domain\na.mp4,,indoors\nb.mp4,,outdoors\n")
    records = read_annotation(tmp_path / "list.csv").records
    assert [(record.label, record.attributes["domain"]) for record in records] == [
        (None, "indoors"),
        (None, "outdoors"),
    ]


def test_two_attributes_of_one_name(tmp_path):
    with pytest.raises(DataError, match=r"list\.csv:1: two columns are called 'scene'"):
        read(tmp_path, "path,label,scene,scene\na.mp4,0,kitchen,street\n")
