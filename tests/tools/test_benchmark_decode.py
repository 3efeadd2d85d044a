"""The decoding benchmark runs, with or without the other readers."""

import pytest

from pvbias.errors import DataError
from pvbias.tools.benchmark_decode import decode_benchmark, main

from ..video.videos import write_video


def test_tables_name_every_reader(tmp_path, capsys):
    write_video(tmp_path / "v.mp4", 50)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    assert main([str(tmp_path), "--clips", "1", "--repeats", "1"]) == 0
    printed = capsys.readouterr()
    assert "one clip of 1 s anywhere" in printed.out
    assert "10 uniform clips at once" in printed.out
    for name in ("pvbias", "PyAV by hand", "torchcodec exact", "decord"):
        assert name in printed.out
    assert "broken.mp4: unreadable" in printed.err


def test_nothing_to_time(tmp_path):
    with pytest.raises(DataError, match="nothing to time"):
        decode_benchmark([str(tmp_path / "gone.mp4")])
