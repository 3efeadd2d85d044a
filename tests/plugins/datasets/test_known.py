"""Counts of the official files at hand, by the catalogue and by what is published, written down here once more."""

from collections import Counter
from functools import cache

import pytest

from pvbias.plugins.datasets.catalogue import check_counts
from pvbias.plugins.datasets.known import DATA_SETS
from pvbias.plugins.datasets.official import OfficialFiles

from .official_files import ANNOTATIONS, needs_official_files

#: By data set and split: what the papers and pages of the data sets say.
PUBLISHED = {
    "ucf101": {
        **{"train1": 9_537, "test1": 3_783, "train2": 9_586, "test2": 3_734},
        **{"train3": 9_624, "test3": 3_696},
    },
    "hmdb51": {f"{kind}{number}": 51 * each for number in (1, 2, 3) for kind, each in (("train", 70), ("test", 30))},
    "ssv2": {"val": 24_777, "test": 27_157},
    "jester": {"train": 118_562, "val": 14_787, "test": 14_743},
    "mimetics": {"test": 713},
    "gym99": {"train": 20_484, "val": 8_521},
    "gym288": {"val": 9_646},
    "kth": {"train": 760, "val": 768, "test": 863},
    "kinetics600": {"val": 29_093},  # of 30,000: as many as were still there when the file was written
}
FOLDERS = {
    **{"ucf101": "ucf101_splits", "hmdb51": "hmdb51_splits", "kinetics600": "kinetics"},
    **{"gym99": "finegym", "gym288": "finegym"},
}


@cache
def read(name):
    data_set = DATA_SETS.get(name)
    official = data_set.read(OfficialFiles(ANNOTATIONS / FOLDERS.get(name, name)), None)
    check_counts(data_set, official)
    return official


@needs_official_files
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_official_files_have_the_published_counts(name):
    official = read(name)
    assert {split: len(videos) for split, videos in official.splits.items()} == PUBLISHED[name]
    assert len(official.class_names) == DATA_SETS.get(name).classes
    for split, videos in official.splits.items():
        published = DATA_SETS.get(name).published_of(split, videos)
        assert published.read
        assert not published.exact or published.count == len(videos)
        labels = {video.label for video in videos}
        assert labels == ({None} if (name, split) == ("jester", "test") else {*official.class_names})


@needs_official_files
def test_each_class_of_hmdb51_has_70_and_30_clips():
    splits = read("hmdb51").splits
    assert {*Counter(video.label for video in splits["train2"]).values()} == {70}
    assert {*Counter(video.label for video in splits["test3"]).values()} == {30}


@needs_official_files
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ucf101", "ucf101"),
        ("hmdb51", "hmdb51"),
        ("ssv2", "sthv2"),
        ("jester", "jester"),
        ("kinetics600", "../kinetics/label_map_k600"),
    ],
)
def test_classes_have_the_order_that_others_have(name, file):
    """mmaction2's label maps, which were made from the same files by other people's programs."""
    path = (ANNOTATIONS / "label_maps" / f"{file}_label_map.txt") if "/" not in file else None
    path = path or (ANNOTATIONS / "label_maps" / f"{file}.txt").resolve()
    assert read(name).class_names == tuple(path.read_text().splitlines())


def test_names_and_splits_are_those_of_files():
    assert len(DATA_SETS) >= 15
    for data_set in DATA_SETS:
        assert data_set.name.isidentifier()
        assert data_set.published
        assert {count.split for count in data_set.published} <= {*data_set.splits}
        assert all(count.source for count in data_set.published)
