"""Arrays in .npz files, written and read piece by piece: the files that NumPy writes and reads."""

import zipfile

import numpy as np
import pytest

from pvbias.evaluation import rows
from pvbias.report import npz

ARRAYS = {
    "names": np.array(["a.mp4", "été/b.mp4", ""]),
    "labels": np.array([3, -1, 0]),
    "values": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    "none": np.array([], np.str_),
    "variants/shuffle": np.zeros((0, 4), np.float32),
}


def given():
    return {name: npz.Texts(array.tolist()) if array.dtype.kind == "U" else array for name, array in ARRAYS.items()}


def test_the_file_is_numpys_byte_by_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_BLOCK", 30)  # of one row
    monkeypatch.setattr(npz, "_TEXTS_AT_ONCE", 2)
    with open(tmp_path / "own.npz", "wb") as file:
        npz.write(file, given())
    np.savez(tmp_path / "numpy.npz", **ARRAYS)
    assert (tmp_path / "own.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_maps_are_the_arrays(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS, fortran=np.asfortranarray(ARRAYS["values"]))
    found = npz.mapped(tmp_path / "a.npz")
    assert list(found) == [*ARRAYS, "fortran"]
    for name, array in found.items():
        wanted = ARRAYS.get(name, ARRAYS["values"])
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(array, wanted)


def test_a_changed_byte_is_found(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    place = content.index(ARRAYS["values"].tobytes()) + 7
    content[place] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(zipfile.BadZipFile, match=r"values\.npy"):
        npz.mapped(tmp_path / "a.npz")


def test_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([None, {}]))
    with pytest.raises(ValueError, match="allow_pickle"):
        npz.mapped(tmp_path / "a.npz")
