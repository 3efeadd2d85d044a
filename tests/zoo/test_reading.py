"""Checkpoint files: read once, and nothing but what was written comes out of them."""

import argparse
import pathlib
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from pvbias.errors import WeightsError
from pvbias.zoo import peek_checkpoint, read_checkpoint
from pvbias.zoo.checked_file import CheckedFile

CHECKPOINT = {
    "model_state": {
        "first": torch.arange(5000.0),
        "half": torch.ones(300, dtype=torch.bfloat16),
        "none": torch.ones(0),
    },
    "epoch": 3,
    "class_names": ["left", "right"],
}


@pytest.fixture
def path(tmp_path):
    torch.save(CHECKPOINT, tmp_path / "model.pyth")
    return str(tmp_path / "model.pyth")


def contents(path):
    """(name, first byte, length) of each record's content."""
    found = []
    with zipfile.ZipFile(path) as file, open(path, "rb") as raw:
        for record in file.infolist():
            raw.seek(record.header_offset + 26)
            name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
            found.append((record.filename, record.header_offset + 30 + name + extra, record.file_size))
    return found


def flip(path, position, bit=0x10):
    with open(path, "r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ bit]))


def test_what_is_written_is_read(path):
    for read in (read_checkpoint, peek_checkpoint):
        found = read(path)
        assert found["class_names"] == ["left", "right"]
        for name, value in CHECKPOINT["model_state"].items():
            assert torch.equal(found["model_state"][name], value)


def test_damage_in_any_record_is_noticed_and_named(path):
    whole = Path(path).read_bytes()
    for name, start, length in contents(path):
        for place in {0, length // 2, length - 1} if length else ():
            flip(path, start + place)
            if name.endswith(".pkl"):
                with pytest.raises(WeightsError, match=f"is damaged: {name} is"):
                    peek_checkpoint(path)
            with pytest.raises(WeightsError, match=rf"model\.pyth' is damaged: {name} is .*delete this one"):
                read_checkpoint(path)
            Path(path).write_bytes(whole)
    assert read_checkpoint(path)["epoch"] == 3


def test_two_damaged_records_are_both_named(path):
    places = {name.split("/", 1)[1]: start for name, start, _ in contents(path)}
    flip(path, places["data/0"])
    flip(path, places["data/1"])
    with pytest.raises(WeightsError, match=r"data/0, \S+data/1 are not"):
        read_checkpoint(path)


def test_no_changed_byte_changes_a_value(path):
    """Each byte of the file in turn, in a step: an error, or what was written."""
    size = Path(path).stat().st_size
    outcomes = Counter()
    for position in range(0, size, 37):
        flip(path, position, bit=0xFF)
        try:
            found = read_checkpoint(path)
        except WeightsError:
            outcomes["refused"] += 1
        else:
            assert found["epoch"] == 3
            assert found["class_names"] == ["left", "right"]
            assert all(
                torch.equal(found["model_state"][name], CHECKPOINT["model_state"][name]) for name in ("first", "half")
            )
            outcomes["unharmed"] += 1  # padding, times of day
        flip(path, position, bit=0xFF)
    assert outcomes["refused"] > 5 * outcomes["unharmed"]


def test_every_length_but_the_whole_is_cut_off(path, tmp_path):
    whole = Path(path).read_bytes()
    cut = tmp_path / "cut.pyth"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        for read in (read_checkpoint, peek_checkpoint):
            with pytest.raises(WeightsError):
                read(str(cut))


@pytest.mark.parametrize("beside", [3, argparse.Namespace(lr=0.1), pathlib.PurePosixPath("/a"), Counter(a=1)])
def test_it_is_read_once(tmp_path, monkeypatch, beside):
    """Also where there are Python objects beside the weights."""
    path, read = str(tmp_path / "large.pyth"), Counter()
    torch.save({str(number): torch.rand(250_000) for number in range(8)} | {"args": beside}, path)

    class Counted(CheckedFile):
        def readinto(self, buffer, /):
            count = super().readinto(buffer)
            read[len(memoryview(buffer))] += 1
            return count

    monkeypatch.setattr("pvbias.zoo.reading.CheckedFile", Counted)
    read_checkpoint(path)
    assert read[1_000_000] == 8
    assert sum(size * times for size, times in read.items()) < 8_100_000  # and the directory at the end


def test_a_peek_reads_no_values(path):
    places = {name.split("/", 1)[1]: start for name, start, _ in contents(path)}
    flip(path, places["data/0"] + 10)
    shapes = {name: tuple(value.shape) for name, value in peek_checkpoint(path)["model_state"].items()}
    assert shapes == {"first": (5000,), "half": (300,), "none": (0,)}
    with pytest.raises(WeightsError, match="damaged"):
        read_checkpoint(path)


def test_pytorchs_old_format_has_no_checksums(tmp_path):
    path = str(tmp_path / "old.pth")
    torch.save(CHECKPOINT, path, _use_new_zipfile_serialization=False)
    for read in (read_checkpoint, peek_checkpoint):
        assert torch.equal(read(path)["model_state"]["first"], torch.arange(5000.0))


def test_a_zip_file_that_somebody_has_compressed(path, tmp_path):
    """PyTorch reads those, too."""
    other = tmp_path / "compressed.pyth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as file:
        for record in source.infolist():
            file.writestr(record.filename, source.read(record))
    assert torch.equal(read_checkpoint(str(other))["model_state"]["first"], torch.arange(5000.0))
    _, start, _ = next(place for place in contents(other) if place[0].endswith("data/0"))
    flip(other, start + 100)
    with pytest.raises(WeightsError, match=r"damaged|cut off"):
        read_checkpoint(str(other))


def test_a_zip_file_that_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "videos.zip", "w") as file:
        file.writestr("video.mp4", bytes(100))
    with pytest.raises(WeightsError, match=r"videos\.zip' is cut off, or no PyTorch checkpoint"):
        read_checkpoint(str(tmp_path / "videos.zip"))
