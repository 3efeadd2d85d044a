"""HAA500, of which the folders are the list."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.locating import VideoIndex

from ..official_files import touch


def test_sixteen_one_and_three_of_each_class(tmp_path):
    touch(tmp_path, "video/yawn/yawn_000.mp4", "video/yawn/yawn_017.mp4", "video/bow_and_arrow/bow_and_arrow_016.mp4")
    touch(tmp_path, "video/other/clip.mp4")
    index = VideoIndex(str(tmp_path))
    official = DATA_SETS.get("haa500").read(None, index)
    assert official.class_names == ("bow_and_arrow", "yawn")
    assert {split: len(videos) for split, videos in official.splits.items()} == {"train": 32, "val": 2, "test": 6}
    found = {
        split: [video.name for video in videos if index.find(video, split)] for split, videos in official.splits.items()
    }
    assert found == {
        **{"train": ["yawn/yawn_000"], "val": ["bow_and_arrow/bow_and_arrow_016"]},
        "test": ["yawn/yawn_017"],
    }


def test_other_folders(tmp_path):
    touch(tmp_path, "yawn/clip_000.mp4")
    with pytest.raises(DataError, match="has no videos class/class_000"):
        DATA_SETS.get("haa500").read(None, VideoIndex(str(tmp_path)))
