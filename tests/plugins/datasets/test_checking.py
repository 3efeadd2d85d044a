"""Bad videos of a list are reported, and the rest goes on."""

import json
import os
from pathlib import Path

import pytest

from pvbias.data.annotations import read_annotation
from pvbias.data.source import VideoFiles
from pvbias.plugins.datasets.checking import check_list

from ...video.videos import write_video

DATA = os.environ.get("PVBIAS_REAL_DATA")


def videos(path):
    return VideoFiles(read_annotation(path), fps=30.0)


def test_bad_ones_among_good_ones(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", 8)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:400])
    (tmp_path / "list.csv").write_text(
        "path,label,start,end\na.mp4,0,,\ncut.mp4,0,,\ngone.mp4,0,,\nb.mp4,1,0.1,0.2\nb.mp4,1,5,6\n"
    )
    checked = check_list(videos(tmp_path / "list.csv"), out=tmp_path / "out", progress=False)
    assert [(Path(bad.path).name, bad.index) for bad in checked.bad] == [("cut.mp4", 1), ("gone.mp4", 2), ("b.mp4", 4)]
    assert "5 videos, 2 good, 3 bad" in str(checked)
    listed = [json.loads(line) for line in (tmp_path / "out/bad_videos.jsonl").read_text().splitlines()]
    assert [Path(entry["path"]).name for entry in listed] == ["cut.mp4", "gone.mp4", "b.mp4"]
    assert listed[1]["cause"] == "missing"

    (tmp_path / "list.csv").write_text("a.mp4 0\nb.mp4 1\n")
    checked = check_list(videos(tmp_path / "list.csv"), out=tmp_path / "out", progress=False)
    assert not checked.bad
    assert not (tmp_path / "out/bad_videos.jsonl").exists()


@pytest.mark.skipif(not DATA, reason="PVBIAS_REAL_DATA names no folder of videos")
def test_real_files_by_worker_processes():
    """Those are good of which ffmpeg decodes a frame: what its own program said when the files were collected."""
    rows = [line.split("\t") for line in (Path(DATA) / "nasty/PROBE.tsv").read_text().splitlines()]
    column = rows[0].index("decoded")
    decoded = {row[0]: row[column].isdecimal() and int(row[column]) > 0 for row in rows[1:]}
    checked = check_list(videos(Path(DATA) / "nasty"), workers=2, progress=False)
    bad = {str(Path(each.path).relative_to(DATA)) for each in checked.bad}
    assert checked.videos == 84
    newer = {"nasty/libwebm/invalid/blockgroup_block_ends_beyond_blockgroup.mkv"}  # FFmpeg 6 and later decode it
    assert bad | newer == {name for name, good in decoded.items() if not good} | newer
