"""Rows and arrays that go to a file without a name: what comes back is what was given."""

import functools
import mmap
import threading

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.evaluation import rows as kept
from pvbias.evaluation.rows import RowArray, Rows, row_blocks


@pytest.fixture(params=["in memory", "on disk"])
def folder(request, tmp_path, monkeypatch):
    """Made when it is needed; nothing that has a name is left in it."""
    monkeypatch.setattr(kept, "IN_MEMORY", 200 if request.param == "on disk" else 1 << 20)
    yield tmp_path / "run" / "out"
    assert (tmp_path / "run" / "out").exists() == (request.param == "on disk")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_rows_are_a_mapping_in_the_order_of_videos(folder):
    rows, plain = Rows(folder), {}
    for index in (7, 2, 30, 0, 2):  # 2 twice: the later one counts
        rows[index] = plain[index] = {"name": f"{index}.mp4", "scores": [index / 3] * 20, "count": len(plain)}
    del rows[30], plain[30]
    assert list(rows) == [0, 2, 7]
    assert rows == plain
    assert (len(rows), 2 in rows, 30 in rows, 31 in rows, -1 in rows) == (3, True, False, False, False)
    for index in (30, 31, -1):
        with pytest.raises(KeyError):
            rows[index]
    rows.update({1: None, 7: "new"})
    assert list(rows.items())[1] == (1, None)
    assert rows.pop(7) == "new"
    assert list(rows) == [0, 1, 2]


def test_a_row_that_cannot_be_pickled_stays(folder):
    rows = Rows(folder)
    lock = threading.Lock()
    rows[0], rows[1], rows[2] = "a" * 300, lock, lock
    rows[2] = "b"
    assert [rows[0], rows[1], rows[2]] == ["a" * 300, lock, "b"]


def test_a_row_that_is_filled_in_after_it_was_set(folder):
    rows = Rows(folder)
    for index in (4, 1):
        row = rows[index] = {}
        row["scores"] = [index / 3] * 30
    rows.setdefault(2, []).append("first")
    rows[2].append("second")
    rows.pop(1)
    assert dict(rows) == {2: ["first", "second"], 4: {"scores": [4 / 3] * 30}}


def test_rows_have_numbers_of_videos(folder):
    rows = Rows(folder)
    rows[np.int64(3)] = "three" * 80
    rows[0] = deep = functools.reduce(lambda inner, _: [inner], range(100_000), [])  # more than pickle takes
    rows[5] = "five"
    assert (np.int64(3) in rows, np.int64(4) in rows, "3" in rows, list(rows)) == (True, False, False, [0, 3, 5])
    assert rows[0] is deep
    with pytest.raises(ValueError, match="index of its video, 0 or more, and not under -1"):
        rows[-1] = "minus one"
    assert (len(rows), rows[3], rows[5]) == (3, "three" * 80, "five")


def test_an_array_grows_bit_by_bit(folder):
    wanted = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float32)
    array = RowArray(folder)
    array.append(wanted[0])
    array.append(*wanted[1:, :, ::1])
    found = array.array()
    assert (found.dtype, found.shape) == (np.float32, (50, 2, 3))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("rows", [1, 5, 12])
def test_blocks_are_all_rows_in_order(folder, monkeypatch, rows):
    wanted = np.arange(120, dtype=np.int64).reshape(12, 10)
    array = RowArray(folder)
    array.append(*wanted)
    monkeypatch.setattr(kept, "_BLOCK", rows * 80 + 79)
    blocks = list(row_blocks(array.array()))
    assert [len(block) for block in blocks] == [rows] * (12 // rows) + [12 % rows] * (12 % rows > 0)
    np.testing.assert_array_equal(np.concatenate(blocks), wanted)


def test_a_map_is_the_part_of_the_file_that_is_meant(tmp_path):
    wanted = np.arange(3000, dtype=np.float32).reshape(-1, 2)
    begin = mmap.ALLOCATIONGRANULARITY + 3
    (tmp_path / "file").write_bytes(b"?" * begin + wanted.tobytes() + b"??")
    np.testing.assert_array_equal(kept.mapped_array(tmp_path / "file", begin, (1500, 2), wanted.dtype), wanted)
    assert kept.mapped_array(tmp_path / "file", 1, (0, 2), wanted.dtype).shape == (0, 2)


def test_a_folder_that_takes_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "IN_MEMORY", 10)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be kept in .*out.*another OUTPUT_DIR"):
        Rows(tmp_path / "out").update({0: "more than ten bytes", 1: "another"})
