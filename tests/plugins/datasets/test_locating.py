"""Videos are found by their names, wherever they lie."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.locating import VideoIndex
from pvbias.plugins.datasets.official import OfficialVideo

from .official_files import touch


def video(*names, label="class a", **others):
    return OfficialVideo(where="list:1", name=names[0], label=label, clip_names=names, **others)


@pytest.mark.parametrize(
    ("there", "names", "found"),
    [
        (["deep/er/x.avi"], ["Class/x"], "deep/er/x.avi"),
        (["x.mp4.webm"], ["x"], "x.mp4.webm"),
        (["b/x.mp4", "Class_A/x.mp4"], ["x"], "Class_A/x.mp4"),
        (["val/x.mp4", "train/x.mp4"], ["x"], "train/x.mp4"),
        (["b/x.mp4", "Class/x.mp4"], ["Class/x"], "Class/x.mp4"),
        (["train/b/x.mp4", "train/Class-A/x.mp4", "val/class a/x.mp4"], ["x"], "train/Class-A/x.mp4"),
        (["12/00001.jpg", "12/00002.jpg", "1/00001.jpg"], ["12"], "12"),
        (["X.mp4", "y.mp4"], ["x"], None),
        (["y.mp4"], ["x", "y"], "y.mp4"),
    ],
)
def test_the_file_that_is_meant(tmp_path, there, names, found):
    touch(tmp_path, *there)
    answer = VideoIndex(str(tmp_path)).find(video(*names), "train1")
    assert answer == (None if found is None else (found, False))


def test_one_of_two(tmp_path):
    touch(tmp_path, "x.mp4", "x.avi")
    with pytest.raises(DataError, match=r"list:1: the video 'x' may be 'x\.avi' or 'x\.mp4'"):
        VideoIndex(str(tmp_path)).find(video("x"), "train")


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="has no videos in it"):
        VideoIndex(str(tmp_path))
