"""Sizes of the files of a list: right, and looked up once."""

import os
from collections import Counter

import pytest

from pvbias.data import VideoFiles, VideoRecord, fingerprint, list_fingerprints, set_fingerprints
from pvbias.data.annotations import read_annotation
from pvbias.data.extents import MISSING, UNKNOWN, extents

pytestmark = pytest.mark.smoke


def test_sizes_of_files_and_folders_and_of_nothing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(7))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "frames").mkdir()
    for number in range(3):
        (tmp_path / "frames" / f"{number}.jpg").touch()
    names = ["a.mp4", "none.mp4", "frames", "a.mp4/b.mp4", "empty.mp4", "x" * 300, "nul\0.mp4", "a.mp4"]
    records = [VideoRecord(path=str(tmp_path / name), name=name) for name in names]
    assert extents(records).tolist() == [7, MISSING, 3, MISSING, 0, UNKNOWN, MISSING, 7]


def test_each_file_is_looked_up_once_whoever_asks(tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / f"{number}.mp4").write_bytes(bytes(number))
    (tmp_path / "list.csv").write_text("".join(f"{number % 7}.mp4 {number}\n" for number in range(14)))
    source = VideoFiles(read_annotation(tmp_path / "list.csv"), fps=30)
    looked_up, stat = Counter(), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: looked_up.update([str(path)]) or stat(path, **options))
    assert source.missing() == [5, 6, 12, 13]
    assert extents(source.records[3:8]).tolist() == [3, 4, MISSING, MISSING, 0]
    for made in (fingerprint, list_fingerprints, set_fingerprints):
        made(source)
    assert {looked_up[str(tmp_path / f"{number}.mp4")] for number in range(7)} == {1}
