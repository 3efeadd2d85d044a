"""Lists without a heading: labels as they are meant, and the form of what is no `path label` list."""

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.data.annotations.lines import write_line
from pvbias.errors import DataError


def read(folder, text, name="list.txt", **options):
    (folder / name).write_text(text)
    annotation = read_annotation(folder / name, **options)
    names = annotation.class_names
    return [(r.name, r.label if r.label is None or not names else names[r.label]) for r in annotation.records]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.mp4 2.0\nb.mp4 10.0\n", [("a.mp4", 2), ("b.mp4", 10)]),
        ("a.mp4,3e0\nb.mp4,0012\n", [("a.mp4", 3), ("b.mp4", 12)]),
        ("a.mp4\t1\nb c.mp4\t0\n", [("a.mp4", 1), ("b c.mp4", 0)]),
        ("a.mp4;Thumb Up\nb.mp4;No gesture\n", [("a.mp4", "Thumb Up"), ("b.mp4", "No gesture")]),
        # Jester: identifiers, a semicolon, the class
        ("34870;Drumming Fingers\n56557;Thumb Up\n", [("34870", "Drumming Fingers"), ("56557", "Thumb Up")]),
        (
            'a.mp4,"Putting a, b and c"\n"b, c.mp4","jump 2"\n',
            [("a.mp4", "Putting a, b and c"), ("b, c.mp4", "jump 2")],
        ),
        ('a.mp4 "3 point shot"\nb.mp4 "jump"\n', [("a.mp4", "3 point shot"), ("b.mp4", "jump")]),
        ("clips/a_0001 17\nclips/b_0002 4\n", [("clips/a_0001", 17), ("clips/b_0002", 4)]),
        ('"my folder 2" 1\nother 0\n', [("my folder 2", 1), ("other", 0)]),
        ('"a 2.mp4"\nb.mp4\n', [("a 2.mp4", None), ("b.mp4", None)]),
        ("a.mp4 , 3,\nb.mp4; 2;\n", [("a.mp4", 3), ("b.mp4", 2)]),
        ("val_1.jpg,165\nval_2.jpg,3\n", [("val_1.jpg", 165), ("val_2.jpg", 3)]),
    ],
)
def test_labels(tmp_path, text, wanted):
    assert read(tmp_path, text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 0\nb.mp4 2.5\n", r"list\.txt:2: the label 2\.5 is no whole number"),
        ("a.mp4 1e9\n", r"list\.txt:1: the label 1e9 is no class"),
        ("a.mp4 1e20\n", r"list\.txt:1: the label 1e20 is no class"),
        ("a.mp4 -1\n", r"list\.txt:1: the label -1 is no class(.*)leave the label out"),
        ("a.mp4 20 0\nb.mp4 21 1\n", r"list\.txt:1: .*`path frames label`.*--list-format tsn"),
        ("dir/v-1 163 1\ndir/v-2 122 1\n", r"list\.txt:1: .*`path frames label`"),
        ("clip.avi 121 0\n", r"`path frames label`"),
        ("a.mp4 1 4 5\nb.mp4 0 2\n", r"list\.txt:1: .*several labels a line \(multi-label\)"),
        ("a.mp4 1\nb.mp4 0 2\n", r"list\.txt:2: .*several labels a line"),
        ("a.mp4,jump,train\n", r"list\.txt:1: .*has 2 columns after the path.*heading"),
        ("a.mp4\tno\tyes\tno\n", r"list\.txt:1: .*has 3 columns after the path"),
        ("a.mp4,,3\n", r"list\.txt:1: .*columns after the path"),
        ("a.mp4 air drumming\nb.mp4 Air_Drumming\n", r"list\.txt:2: the class 'Air_Drumming' is 'air drumming' in"),
        ("a.mp4 0 Swiping Left\n", r"list\.txt:1: .*columns after the path"),
        ("abseiling\nair drumming\n", r"list\.txt:1: 'abseiling' names no video file.*--class-names"),
        ("0 abseiling\n1 zumba\n", r"list\.txt:1: '0' with the label 'abseiling' names no video file.*--class-names"),
        ("a.mp4 0,3\nb.mp4 1\n", r"list\.txt:1: the label is '0,3'\. Several labels of one video"),
        ("a.mp4 4|5\nb.mp4 0|1\n", r"list\.txt:1: the label is '4\|5'\. Several labels of one video"),
        ("a.mp4 [1, 2]\nb.mp4 [0]\n", r"list\.txt:1: the label is '\[1, 2\]'\. Several labels of one video"),
        ('path,labels\na.mp4,"3,4"\n', r"list\.txt:2: the label is '3,4'\. Several labels of one video"),
        ("a.mp4 run\nb.mp4 nan\n", r"list\.txt:2: the label is 'nan', as for none.*leave the label out"),
        ("clapping,0\ndropping,1\nburying,2\n", r"'clapping' with the label 0 names no video file"),
        ("kIRmvrmc2nM\n2B65vtRd5Ck\n", r"'kIRmvrmc2nM' names no video file.*--path-prefix"),
        ("video vid_class\na.mp4 x\nb.mp4 y\n", r"list\.txt:1: .*call them path and label"),
        ("a\0.mp4 1\n", r"list\.txt:1: there is a NUL byte"),
    ],
)
def test_other_forms_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", "\x0b"])
def test_lines_that_are_all_alike_are_read_as_any_others(tmp_path, separator):
    """Many are read at once, where no line, as the comment here, is of another form."""
    names = ["a.mp4", "B/c.AVI", "d.e.m2ts", "#.mkv", "../f..mp4", "g~/h.webm", "/i/j.ts", "~k/l.mov"]
    text = "".join(f"{name}{separator}{number % 3:02d}\n" for number, name in enumerate(names))
    wanted = [(name, number % 3) for number, name in enumerate(names) if name != "#.mkv"]
    assert read(tmp_path, text) == wanted
    text = text.replace(f"#.mkv{separator}00\n", "")
    paths = [record.path for record in read_annotation(tmp_path / "list.txt").records]
    for form in (text, text.rstrip("\n"), f"{text}\n\n", f"\n{text}", f"# others\n{text}", text.replace("\n", " \n")):
        assert read(tmp_path, form) == wanted
        assert [record.path for record in read_annotation(tmp_path / "list.txt").records] == paths
    for form, line in ((text, 9), (f"\n{text}", 10)):
        with pytest.raises(DataError, match=rf"list\.txt:{line}: the label 1000001 is no class"):
            read(tmp_path, f"{form}m.mp4{separator}1\nn.mp4{separator}1000001\nn.mp4{separator}1000002\n")


def test_lines_of_nothing_but_a_path_are_read_as_any_others(tmp_path):
    wanted = [("a.mp4", None), ("b/c.AVI", None), ("d.mkv", None)]
    for text in ("a.mp4\nb/c.AVI\nd.mkv", "a.mp4\n\nb/c.AVI\nd.mkv\n", "a.mp4\nb/c.AVI\n#e.mp4\nd.mkv\n"):
        assert read(tmp_path, text) == wanted
    assert read(tmp_path, "a.mp4 0\nb/c.AVI\nd.mkv 1\n") == [("a.mp4", 0), ("b/c.AVI", None), ("d.mkv", 1)]


def test_folders_of_frames_are_videos_where_they_are_there(tmp_path):
    text = "frames/v 1 jump\nframes/v2 run\nframes/gone run\n"
    with pytest.raises(DataError, match=r"list\.txt:1: 'frames/v 1' with the label 'jump' names no video file"):
        read(tmp_path, text)
    (tmp_path / "frames" / "v 1").mkdir(parents=True)
    assert read(tmp_path, text) == [("frames/v 1", "jump"), ("frames/v2", "run"), ("frames/gone", "run")]
    assert read(tmp_path, '"frames/v 1"\n') == [("frames/v 1", None)]


def test_three_columns_when_they_are_asked_for(tmp_path):
    text = "some/directory-1 163 1\nv_Archery_g01 246 0\na b.mp4 20 2\n"
    wanted = [("some/directory-1", 1), ("v_Archery_g01", 0), ("a b.mp4", 2)]
    assert read(tmp_path, text, list_format="tsn") == wanted
    with pytest.raises(DataError, match=r"list\.txt:2: 'b\.mp4 1' is not `path frames label`"):
        read(tmp_path, "a.mp4 20 1\nb.mp4 1\n", list_format="tsn")


def test_sentences_are_no_classes(tmp_path):
    lines = [f"{n}.mp4 A man is playing song number {'x' * n} in a room\n" for n in range(1, 13)]
    with pytest.raises(DataError, match=r"list\.txt:1: list\.txt has 12 different labels on 12 videos.*sentences"):
        read(tmp_path, "".join(lines))
    # As many classes with long names, but each of several videos, are classes.
    assert len(read(tmp_path, "".join(lines * 3))) == 36


def test_hmdb51s_codes_of_splits_are_no_labels(tmp_path):
    lines = [f"movie{n}_run_f_cm_np1_ba_bad_{n}.avi {n % 3} \n" for n in range(6)]
    with pytest.raises(DataError, match=r"run_test_split1\.txt:1: these are HMDB51's codes.*'run'"):
        read(tmp_path, "".join(lines), name="run_test_split1.txt")
    with pytest.raises(DataError, match="codes"):
        read(tmp_path, "".join(lines), name="renamed.txt")
    # Labels of three classes are labels.
    three = [
        f"m{n}_{name}_f_cm_np1_ba_bad_{n}.avi {k}\n" for n in range(3) for k, name in enumerate(("hug", "run", "sit"))
    ]
    assert [label for _, label in read(tmp_path, "".join(three))] == [0, 1, 2] * 3


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a b.mp4", 3),
        ("a.mp4", "place 2 + motion 17"),
        ("a,b.mp4", 'say "hi", twice'),
        ("a.mp4", None),
        ("1.mp4", "1st"),
        ("1.mp4", "1, 2, jump"),
    ],
)
def test_written_lines_are_read_as_they_were_meant(tmp_path, path, label):
    assert read(tmp_path, write_line(path, label) + "\n") == [(path, label)]
    assert write_line("a b.mp4", 3) == "a b.mp4 3"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_other_encodings(tmp_path, encoding):
    (tmp_path / "list.csv").write_text("日本.mp4 0\r\nb.mp4 1\r\n", encoding=encoding)
    records = read_annotation(tmp_path / "list.csv").records
    assert [(record.name, record.label) for record in records] == [("日本.mp4", 0), ("b.mp4", 1)]


def test_damaged_utf16_is_one_error(tmp_path):
    (tmp_path / "list.csv").write_bytes("a.mp4 0\n".encode("utf-16") + b"\0\xd8\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_annotation(tmp_path / "list.csv")


def test_a_video_is_no_list(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftyp")
    with pytest.raises(DataError, match=r"a\.mp4 is a video, not a list"):
        read_annotation(tmp_path / "a.mp4")
