"""Digits from IDX files that the test writes, and those that come with scikit-learn."""

import gzip
import struct

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from pvbias.errors import ConfigError, DataError
from pvbias.plugins.decoupled_videos.mnist import load_digits

TRAIN, VAL, TEST = 30, 5000, 20


def numbered(first, number):
    """Images whose first two bytes are their number, from ``first`` on."""
    images = np.zeros((number, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(first, first + number), 256)
    return images


def number_of(images):
    return (images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]).tolist()


def idx(magic, array):
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write_mnist(folder, *, zipped=True, **changed):
    """The four files, with the bytes of ``changed`` (train_images=..., None leaves it out) in place of the usual."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "train_images": idx(2051, numbered(0, TRAIN + VAL)),
        "train_labels": idx(2049, (np.arange(TRAIN + VAL) % 10).astype(np.uint8)),
        "test_images": idx(2051, numbered(10000, TEST)),
        "test_labels": idx(2049, (np.arange(TEST) % 10).astype(np.uint8)),
    } | changed
    for name, content in contents.items():
        split, kind = name.split("_")
        file = f"{split.replace('test', 't10k')}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
        if content is not None and zipped:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content, compresslevel=1))
        elif content is not None:
            (folder / file).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inner", ["", "MNIST/raw"])
def test_splits_of_idx_files(tmp_path, zipped, inner):
    write_mnist(tmp_path / inner, zipped=zipped)
    digits = {split: load_digits(str(tmp_path), split) for split in ("train", "val", "test")}
    assert number_of(digits["train"].images) == list(range(TRAIN))
    assert number_of(digits["val"].images) == list(range(TRAIN, TRAIN + VAL))
    assert number_of(digits["test"].images) == list(range(10000, 10000 + TEST))
    assert digits["train"].images.dtype == np.uint8
    assert digits["train"].labels.dtype == np.int64
    assert digits["test"].labels.tolist() == list(range(10)) * 2
    assert [indices.tolist() for indices in digits["train"].of_class] == [[i, i + 10, i + 20] for i in range(10)]


def test_digits_are_read_once_and_cannot_be_changed(tmp_path):
    folder = write_mnist(tmp_path)
    digits = load_digits(folder, "test")
    assert load_digits(folder, "test") is digits
    with pytest.raises(ValueError, match="read-only"):
        digits.images[0] = 0


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"DECOUPLED\.MNIST_DIR.*nowhere"):
        load_digits(str(tmp_path / "nowhere"), "train")


def test_a_missing_file_is_named(tmp_path):
    folder = write_mnist(tmp_path, test_labels=None)
    load_digits(folder, "train")
    with pytest.raises(ConfigError, match="t10k-labels-idx1-ubyte"):
        load_digits(folder, "test")


def test_an_unknown_split():
    with pytest.raises(ConfigError, match="'training'"):
        load_digits("", "training")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"test_images": idx(2049, numbered(0, TEST))}, "does not begin with 2051"),
        ({"test_images": b"\0\0"}, "does not begin with 2051"),
        ({"test_images": idx(2051, numbered(0, TEST))[:-1]}, "t10k-images"),
        ({"test_images": idx(2051, numbered(0, TEST)) + b"\0"}, "t10k-images"),
        ({"test_images": idx(2051, np.zeros((TEST, 8, 8), np.uint8))}, "8x8"),
        ({"test_labels": idx(2049, np.zeros(TEST + 1, np.uint8))}, "20 images.*21 labels"),
        ({"test_labels": idx(2049, np.arange(TEST, dtype=np.uint8))}, "label 19"),
        ({"test_labels": idx(2049, (np.arange(TEST) % 9).astype(np.uint8))}, r"no image of \[9\]"),
    ],
    ids=["wrong magic", "short", "truncated", "too long", "other size", "other number", "label 19", "class missing"],
)
def test_files_that_are_not_mnist(tmp_path, changed, message):
    folder = write_mnist(tmp_path, **changed)
    with pytest.raises(DataError, match=message):
        load_digits(folder, "test")


def test_a_gzip_file_cut_short(tmp_path):
    folder = write_mnist(tmp_path)
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="t10k-images"):
        load_digits(folder, "test")


def test_too_few_training_images_for_a_validation_split(tmp_path):
    folder = write_mnist(
        tmp_path,
        train_images=idx(2051, numbered(0, 5000)),
        train_labels=idx(2049, (np.arange(5000) % 10).astype(np.uint8)),
    )
    with pytest.raises(DataError, match="5000 images are too few"):
        load_digits(folder, "train")


def test_built_in_digits_are_split_class_by_class_without_overlap():
    digits = {split: load_digits("", split) for split in ("train", "val", "test")}
    assert sum(len(part.images) for part in digits.values()) == 1797
    kept = [{image.tobytes() for image in part.images} for part in digits.values()]
    assert not kept[0] & kept[1]
    assert not kept[0] & kept[2]
    assert not kept[1] & kept[2]
    for digit in range(10):
        sizes = np.array([len(part.of_class[digit]) for part in digits.values()])
        np.testing.assert_allclose(sizes / sizes.sum(), [0.60, 0.15, 0.25], atol=0.01)
        for part in digits.values():
            assert (part.labels[part.of_class[digit]] == digit).all()


def test_built_in_digits_look_as_they_did_with_the_margins_of_mnist():
    images = load_digits("", "train").images
    assert images.shape[1:] == (28, 28)
    assert images.dtype == np.uint8
    inner = images[:, 4:24, 4:24]
    assert inner.astype(int).sum() == images.astype(int).sum()
    small = sklearn_digits().images[0]  # the first 0, in the training split
    back = inner[0].reshape(4, 5, 4, 5).mean(axis=(1, 3)) / 255 * 16  # 4x4 blocks of both
    np.testing.assert_allclose(back, small.reshape(4, 2, 4, 2).mean(axis=(1, 3)), atol=1.0)
