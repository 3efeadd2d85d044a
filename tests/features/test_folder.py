"""Folders of features: what is written is read back."""

import json
from importlib.metadata import version

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.features import folder, read_features, write_features

NAMES = [f"{number}.mp4" for number in range(7)]
KEY = ("embedding", "freeze(frame=first)")


def some(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_arrays_are_read_back_as_they_were(tmp_path, dtype, monkeypatch):
    """However many files they are in, and however they are indexed."""
    monkeypatch.setattr(folder, "SHARD_BYTES", 3 * 2 * 5 * np.dtype(dtype).itemsize)
    values = some(7, 2, 5, dtype=dtype)
    write_features(tmp_path, {KEY: values, ("logits", "original"): values[..., :3]}, NAMES)
    found = read_features(tmp_path).arrays[KEY]
    assert len(list(tmp_path.glob("embedding/*/*.npy"))) == 3
    assert (found.shape, found.dtype, len(found)) == ((7, 2, 5), dtype, 7)
    for index in (3, -1, slice(None), slice(2, 5), slice(6, 1, -2), slice(4, 2), [5, 0, 5], np.arange(7) % 2 == 0):
        np.testing.assert_array_equal(found[index], values[index])
        np.testing.assert_array_equal(found[index, ..., 1], values[index, ..., 1])
    for index in (..., (..., 1), (slice(1, 6), ..., 1, 0), (np.array(4), slice(None), [3, 0]), (slice(2), [1, 0, 1])):
        np.testing.assert_array_equal(found[index], values[index])
    np.testing.assert_array_equal(np.asarray(found), values)
    np.testing.assert_array_equal(np.concatenate(list(found.blocks())), values)
    np.testing.assert_array_equal(read_features(tmp_path).logits(), values[..., :3])
    with pytest.raises(IndexError):
        found[7]
    for index in (None, ([0, 1], [1, 0]), values[:, 0] > 0):
        with pytest.raises(IndexError, match="no new axes"):
            found[index]


def test_files_are_plain_npy(tmp_path):
    values = some(7, 2, 5)
    write_features(tmp_path, {("blocks.4", "original"): values}, NAMES)
    np.testing.assert_array_equal(np.load(tmp_path / "blocks.4" / "original" / "00000.npy"), values)


def test_videos_are_means_over_views(tmp_path):
    values = np.array([[[1, 2], [3, 6]], [[0, 0], [1, 0.5]]], np.float16)
    features = write_features(tmp_path, {("embedding", "original"): values}, NAMES[:2])
    assert features.videos().dtype == np.float32
    np.testing.assert_array_equal(features.videos(), [[2, 4], [0.5, 0.25]])


def test_one_view_may_be_left_out(tmp_path):
    features = write_features(tmp_path, {("embedding", "original"): some(7, 5)}, NAMES)
    assert features.array("embedding").shape == (7, 1, 5)


def test_labels_attributes_and_class_names_are_read_back(tmp_path):
    features = write_features(
        tmp_path,
        {KEY: some(7, 1, 2)},
        NAMES,
        labels=[0, 1, None, 1, 0, -1, 2],
        attributes={"scene": ["park", None, *["gym"] * 5], "seconds": [1.5] * 7},
        class_names=["run", "walk", "jump"],
    )
    assert features.labels.dtype == np.int64
    assert features.labels.tolist() == [0, 1, -1, 1, 0, -1, 2]
    assert features.attributes == {"scene": ["park", None, *["gym"] * 5], "seconds": [1.5] * 7}
    assert features.class_names == ["run", "walk", "jump"]
    assert features.names == NAMES


def test_a_video_may_have_several_labels(tmp_path):
    labels = np.eye(7, 9, dtype=bool) | np.eye(7, 9, k=2, dtype=bool)
    labels[3] = False
    np.testing.assert_array_equal(write_features(tmp_path, {KEY: some(7, 1, 2)}, NAMES, labels=labels).labels, labels)
    listed = [np.flatnonzero(row).tolist() for row in labels]
    found = write_features(tmp_path, {KEY: some(7, 1, 2)}, NAMES, labels=listed, class_names=list("abcdefghi"))
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize(
    ("labels", "class_names", "said"),
    [
        ([[0, 1], [2], [], [0], [0], [0], [0]], (), "give class_names"),
        ([[0, 1], 2, *[[0]] * 5], "abc", r"not 2 and \[0, 1\]"),
        ([[0, 1], [3], *[[0]] * 5], "abc", "the label 3, and there are 3 class_names"),
    ],
)
def test_labels_of_no_class_are_refused(tmp_path, labels, class_names, said):
    with pytest.raises(DataError, match=said):
        write_features(tmp_path, {KEY: some(7, 1, 2)}, NAMES, labels=labels, class_names=class_names)


def test_each_array_says_which_pvbias_wrote_it(tmp_path):
    written = write_features(tmp_path, {KEY: some(7, 1, 2)}, NAMES)
    assert written.versions == {KEY: version("pvbias")}


@pytest.mark.parametrize(
    ("arrays", "names", "said"),
    [
        ({KEY: some(7, 1, 2)}, NAMES[:6], "6 names of videos, and 7"),
        ({KEY: some(7, 1, 2, dtype=np.float64)}, NAMES, "float64"),
        ({KEY: np.full((7, 2), np.inf, np.float32)}, NAMES, "not all finite"),
        ({KEY: some(0, 1, 2)}, [], "0 names"),
    ],
)
def test_what_makes_no_features_is_refused(tmp_path, arrays, names, said):
    with pytest.raises(DataError, match=said):
        write_features(tmp_path, arrays, names)


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(DataError, match="no features in"):
        read_features(tmp_path)
    write_features(tmp_path, {KEY: some(7, 1, 2)}, NAMES)
    with pytest.raises(DataError, match="has no features 'embedding' on 'original' clips: it has embedding on freeze"):
        read_features(tmp_path).videos()
    lines = (tmp_path / "videos.jsonl").read_text().splitlines()
    (tmp_path / "videos.jsonl").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="7 videos"):
        read_features(tmp_path)
    manifest = tmp_path / "features.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    with pytest.raises(DataError, match="format 2"):
        read_features(tmp_path)
