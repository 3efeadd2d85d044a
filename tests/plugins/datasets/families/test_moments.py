"""Moments in Time's lists, in their layout."""

import pytest

from pvbias.errors import DataError
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from ..official_files import ANNOTATIONS, needs_official_files, write


def read(folder, files):
    return DATA_SETS.get("moments").read(OfficialFiles(write(folder, files)), None)


def test_names_with_plus_signs_and_slashes(tmp_path):
    official = read(
        tmp_path,
        {
            "moments_categories.txt": "clapping,0\nadult+female+singing,1\n",
            "validationSet.csv": "adult+female+singing/yt-5of6ffo6-Bw_205.mp4,adult+female+singing,3,1\n",
        },
    )
    assert official.class_names == ("clapping", "adult+female+singing")
    (video,) = official.splits["val"]
    assert video.clip_names == ("adult+female+singing/yt-5of6ffo6-Bw_205",)
    assert (video.label, video.attributes) == ("adult+female+singing", {"agreeing": 3, "disagreeing": 1})


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"validationSet.csv": "clapping/a.mp4,clapping,3\n"},
            r"Set\.csv:1: .* is not `class/file\.mp4,class,agreeing",
        ),
        ({"validationSet.csv": "clapping/a.mp4,waving,3,1\n"}, "there is no class 'waving' among the 1"),
        ({"moments_categories.txt": "clapping,1\n"}, "is not `class,0`"),
    ],
)
def test_other_files(tmp_path, files, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, {"moments_categories.txt": "clapping,0\n", **files})


@needs_official_files
def test_the_official_names_of_release_2(tmp_path):
    names = (ANNOTATIONS / "moments/category_momentsv2.txt").read_text()
    official = read(tmp_path, {"moments_categories.txt": names})
    assert official.class_names == tuple(names.split())
    assert len(official.class_names) == DATA_SETS.get("moments_v2").classes
