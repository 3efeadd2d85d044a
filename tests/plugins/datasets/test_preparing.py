"""Lists from made official files and folders of videos named after them, read as the core reads any list."""

import json

import pytest

from pvbias.config import load_cfg
from pvbias.data import build_source
from pvbias.data.annotations import read_annotation
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.preparing import prepare_lists

from ...video.videos import write_video
from .official_files import ANNOTATIONS, needs_official_files, touch, write

KINETICS = "label,youtube_id,time_start,time_end,split\n"


def prepare(name, tmp_path, **options):
    return prepare_lists(
        DATA_SETS.get(name), str(tmp_path / "videos"), str(tmp_path / "official"), tmp_path / "lists" / name, **options
    )


def mimetics(tmp_path, **others):
    """50 classes, of the first one a second clip: in the layout of Mimetics' files."""
    rows = [f"class {number:02d},{number:011d},{number},{number + 10},test,0" for number in range(50)]
    rows.append("class 00,-_leading__1,5,15,test,0")
    write(
        tmp_path / "official",
        {
            "mimetics_v1.0.csv": KINETICS.replace("split", "split,is_cc") + "\n".join(rows) + "\n",
            "mimetics_v1.0_objectsceneannot.txt": "#video \tobject \tscene \tmime\n"
            "00000000003_000003_000013.mp4  \tno   \tyes  \tno\n",
        },
    )
    return [f"class_{number:02d}/{number:011d}_{number:06d}_{number + 10:06d}.mp4" for number in range(50)]


def test_lists_are_read_as_they_were_meant(tmp_path):
    names = mimetics(tmp_path)
    touch(tmp_path / "videos", *names[1:], "-_leading__1_000005_000015.mp4")
    account = prepare("mimetics", tmp_path, other_counts=True)
    split = account.splits["test"]
    assert (split.listed, split.found, split.missing) == (51, 50, ["00000000000_000000_000010"])
    assert (split.listed_by_class["class 00"], split.found_by_class["class 00"]) == (2, 1)

    lists = tmp_path / "lists" / "mimetics"
    annotation = read_annotation(lists / "test.csv")
    assert annotation.class_names == tuple(f"class {number:02d}" for number in range(50))
    assert not annotation.own_names
    records = list(annotation.records)
    assert [record.label for record in records] == [*range(1, 50), 0]
    assert records[-1].name == "videos/-_leading__1_000005_000015.mp4"  # not the path on this machine
    assert dict(records[2].attributes) == {
        **{"youtube_id": "00000000003", "is_cc": 0, "object": False, "scene": True, "mime": False}
    }
    assert all((lists / record.name).exists() for record in records)
    assert all(record.start is record.end is None for record in records)
    report = json.loads((lists / "report.json").read_text())
    assert report["splits"]["test"]["missing"] == split.missing
    assert report["splits"]["test"]["classes"]["class 00"] == {"listed": 2, "found": 1}
    assert report["files"][0]["path"].endswith("mimetics_v1.0.csv")
    assert (lists / "missing.csv").read_text() == 'split,name\n"test","00000000000_000000_000010"\n'


def test_a_configuration_names_a_split(tmp_path, monkeypatch):
    """``mimetics/test`` below DATA.PATH_TO_DATA_DIR: official classes, also where a video of most is missing."""
    touch(tmp_path / "videos", mimetics(tmp_path)[7])
    prepare("mimetics", tmp_path, other_counts=True)
    cfg = load_cfg(
        overrides=[
            *("DATA.PATH_TO_DATA_DIR", str(tmp_path / "lists"), "DATA.TEST_SPLIT", "mimetics/test"),
            *("TRAIN.ENABLE", "False"),
        ]
    )
    source = build_source(cfg, "test")
    assert len(source.class_names) == 50
    assert [record.label for record in source.records] == [7]


@pytest.mark.parametrize("suffix", [".mp4", ".mp4.mkv", ".webm"])
def test_clips_of_kinetics_may_be_named_in_any_usual_way(tmp_path, suffix):
    mimetics(tmp_path)
    touch(tmp_path / "videos", f"test/00000000003{suffix}", f"test/class 04/00000000004_000004_000014{suffix}")
    assert prepare("mimetics", tmp_path, other_counts=True).splits["test"].found == 2


def test_whole_videos_are_told_from_clips_by_their_length(tmp_path):
    """``ID.mp4`` of 14 seconds is the whole video, of which 3 to 13 s are meant; one of 10 seconds is the clip."""
    mimetics(tmp_path)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "00000000003.mp4", 28, fps=2)
    prepare("mimetics", tmp_path, other_counts=True)
    (record,) = read_annotation(tmp_path / "lists" / "mimetics" / "test.csv").records
    assert (record.start, record.end) == (3.0, 13.0)
    write_video(tmp_path / "videos" / "00000000004.mp4", 20, fps=2)
    with pytest.raises(DataError, match=r"is longer than the clip that is listed, and .* is not"):
        prepare("mimetics", tmp_path, other_counts=True)
    # A whole one among many clips is seen, too.
    for number in (2, *range(5, 17)):
        write_video(tmp_path / "videos" / f"{number:011d}.mp4", 2, fps=2)
    with pytest.raises(DataError, match=r"'00000000003.mp4' in .* is longer than the clip that is listed"):
        prepare("mimetics", tmp_path, other_counts=True)
    for number in (2, 3, *range(5, 17)):
        (tmp_path / "videos" / f"{number:011d}.mp4").unlink()
    prepare("mimetics", tmp_path, other_counts=True)
    (record,) = read_annotation(tmp_path / "lists" / "mimetics" / "test.csv").records
    assert (record.start, record.end) == (None, None)
    # Of 1 to 11 s, 12 s are the whole video or its clip: as the others are.
    (tmp_path / "videos" / "00000000004.mp4").unlink()
    write_video(tmp_path / "videos" / "00000000001.mp4", 24, fps=2)
    write_video(tmp_path / "videos" / "00000000003.mp4", 28, fps=2)
    prepare("mimetics", tmp_path, other_counts=True)
    records = read_annotation(tmp_path / "lists" / "mimetics" / "test.csv").records
    assert [(record.start, record.end) for record in records] == [(1.0, 11.0), (3.0, 13.0)]


def test_a_video_that_may_be_one_of_two_is_an_error(tmp_path):
    mimetics(tmp_path)
    touch(tmp_path / "videos", *(f"{folder}/00000000003_000003_000013.mp4" for folder in ("a", "b")))
    with pytest.raises(DataError, match=r"may be 'a/00000000003_000003_000013.mp4' or 'b/"):
        prepare("mimetics", tmp_path, other_counts=True)


def test_lists_of_splits_that_are_not_prepared_again_are_removed(tmp_path):
    write(
        tmp_path / "official",
        {
            "classInd.txt": "".join(f"{number} C{number}\n" for number in range(1, 102)),
            **{f"{kind}list01.txt": f"C1/v_C1_g0{at}_c01.avi\n" for at, kind in enumerate(("train", "test"), 1)},
        },
    )
    touch(tmp_path / "videos", "v_C1_g01_c01.avi", "v_C1_g02_c01.avi")
    lists = tmp_path / "lists" / "ucf101"
    assert not prepare("ucf101", tmp_path, other_counts=True).notes
    (lists / "mine.csv").write_text("path,label\n")
    account = prepare("ucf101", tmp_path, splits=["test1"], other_counts=True)
    assert {path.name for path in lists.glob("*.csv")} == {"test1.csv", "missing.csv", "mine.csv"}
    assert any("train1.csv" in note for note in account.notes)
    mimetics(tmp_path)
    touch(tmp_path / "videos", "00000000003_000003_000013.mp4")
    with pytest.raises(ConfigError, match="has lists of ucf101"):
        prepare_lists(
            *(DATA_SETS.get("mimetics"), str(tmp_path / "videos"), str(tmp_path / "official"), lists), other_counts=True
        )


def test_wrong_places(tmp_path):
    touch(tmp_path / "videos", mimetics(tmp_path)[3])
    data_set = DATA_SETS.get("mimetics")
    with pytest.raises(ConfigError, match="lies in the folder of videos"):
        prepare_lists(data_set, str(tmp_path / "videos"), str(tmp_path / "official"), tmp_path / "videos" / "lists")
    with pytest.raises(DataError, match=r"There is no folder .*of videos"):
        prepare_lists(data_set, str(tmp_path / "no"), str(tmp_path / "official"), tmp_path / "lists")
    with pytest.raises(DataError, match=r"there is no mimetics_v1\.0\.csv in .*which has other\.txt"):
        prepare_lists(
            data_set, str(tmp_path / "videos"), str(write(tmp_path / "o", {"other.txt": "x"})), tmp_path / "l"
        )
    with pytest.raises(ConfigError, match="needs its official files: --annotations"):
        prepare_lists(data_set, str(tmp_path / "videos"), None, tmp_path / "lists")
    with pytest.raises(ConfigError, match="has no split 'train', but test"):
        prepare("mimetics", tmp_path, splits=["train"])
    with pytest.raises(DataError, match=r"lists 51 videos, and 713 are published .*--other-counts"):
        prepare("mimetics", tmp_path)


@needs_official_files
def test_the_official_files_of_hmdb51(tmp_path):
    """Names that begin with ``#`` or have a semicolon, and videos that are gone, by official files and made videos."""
    lines = [
        (path.name.partition("_test_split")[0], line.split()[0])
        for path in sorted((ANNOTATIONS / "hmdb51_splits").glob("*_test_split1.txt"))
        for line in path.read_text().splitlines()
    ]
    there = [f"{label}/{name}" for label, name in lines if label in {"pick", "cartwheel", "laugh"}]
    touch(tmp_path / "videos", *there)
    account = prepare_lists(
        DATA_SETS.get("hmdb51"),
        str(tmp_path / "videos"),
        str(ANNOTATIONS / "hmdb51_splits"),
        tmp_path / "lists",
        splits=["train1", "test1"],
    )
    assert {split: each.found for split, each in account.splits.items()} == {"train1": 3 * 70, "test1": 3 * 30}
    assert account.splits["test1"].found_by_class == {"pick": 30, "cartwheel": 30, "laugh": 30}
    assert not account.shared  # no clip of one film in both
    records = read_annotation(tmp_path / "lists" / "test1.csv").records
    assert {record.label for record in records} == {1, 23, 24}
    assert {record.name.removeprefix("videos/") for record in records} < {*there}
    assert any("/#" in record.name for record in read_annotation(tmp_path / "lists" / "train1.csv").records)
