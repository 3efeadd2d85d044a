"""Re-encoding a data set: what is kept, what is made small, what survives an interruption."""

import json
import os
import tarfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pvbias.data.annotations import read_annotation
from pvbias.errors import ConfigError, DataError
from pvbias.shard import Shard
from pvbias.storage import local_cache
from pvbias.storage.local_cache import LocalCache
from pvbias.tools.prepare import main
from pvbias.transcoding.encoding import Encoding
from pvbias.transcoding.prepare import prepare

#: Display times of a video of uneven frame rate, milliseconds.
UNEVEN = [0, 40, 80, 200, 210, 300, 500, 533, 566, 1000, 1040, 1080]


def write_video(path, *, width=64, height=48, times_ms=range(0, 1000, 40), codec="mpeg4", gop=250, sound=False):
    """A ramp that gets brighter with time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.bit_rate = 4_000_000
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, 1000)
        if sound:
            voice = container.add_stream("aac", rate=16000)
        ramp = np.linspace(0, 100, width)[None, :, None] + np.linspace(0, 50, height)[:, None, None]
        for time in times_ms:
            frame = av.VideoFrame.from_ndarray(np.repeat(ramp + time / 12, 3, axis=2).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate = 16000
            container.mux(voice.encode(samples))
            container.mux(voice.encode())


def read(path):
    """(display times in seconds from the first frame, frames, positions of the key frames) with plain PyAV."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    times = np.array([frame.time for frame in decoded])
    frames = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return times - times[0], frames, [i for i, frame in enumerate(decoded) if frame.key_frame]


def run(data, out, **options):
    options = {"encoding": Encoding(short_side=32, gop=5), "workers": 0, "progress": False, **options}
    return prepare(data, out, **options)


@pytest.mark.smoke
def test_small_frames_close_key_frames_same_times(tmp_path):
    write_video(tmp_path / "in/walk/a.mkv", sound=True)
    write_video(tmp_path / "in/run/fast/b.mkv", times_ms=UNEVEN)
    summary = run(tmp_path / "in", tmp_path / "out")
    assert len(summary.finished) == 2
    assert not summary.bad
    assert sum(file.frames for file in summary.finished) == 25 + len(UNEVEN)
    for name, expected in (("walk/a", range(0, 1000, 40)), ("run/fast/b", UNEVEN)):
        times, frames, keys = read(tmp_path / "out" / f"{name}.mp4")
        np.testing.assert_allclose(times, np.array(expected) / 1000, atol=1e-4)
        assert frames.shape[1:] == (32, 42, 3), "48 x 64 with short side 32 is 32 x 42.7"
        assert keys == list(range(0, len(expected), 5))
    with av.open(str(tmp_path / "out/walk/a.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].format.name == "yuv420p"
        assert float(container.duration / av.time_base) == pytest.approx(1.0, abs=0.01), "the last frame lasts, too"


def test_pictures_and_stated_quality(tmp_path):
    write_video(tmp_path / "in/a.mkv")
    summary = run(tmp_path / "in", tmp_path / "out", encoding=Encoding(short_side=256, crf=10))
    _, before, _ = read(tmp_path / "in/a.mkv")
    _, after, _ = read(tmp_path / "out/a.mp4")
    assert before.shape == after.shape, "never larger"
    sampled = [0, 8, 16, 24]
    error = np.square(before[sampled].astype(float) - after[sampled]).mean()
    assert summary.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1.0)
    assert summary.psnr > 35
    assert summary.lowest_psnr == summary.psnr
    assert "CRF 10" in str(summary)
    assert f"{summary.psnr:.1f} dB" in str(summary)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (128, 170)), (720, 1280, (128, 228)), (1280, 720, (228, 128)), (101, 75, (100, 74)), (1, 1, (2, 2))],
)
def test_sizes(height, width, expected):
    assert Encoding(short_side=128).size(height, width) == expected


def test_upright(tmp_path):
    write_video(tmp_path / "in/a.mp4", codec="libx264")
    with av.open(str(tmp_path / "in/a.mp4")) as source, av.open(str(tmp_path / "turned.mp4"), "w") as turned:
        stream = turned.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
    # The track header's matrix: a quarter turn, in 16.16 and 2.30 fixed point.
    content = bytearray((tmp_path / "turned.mp4").read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    one, minus_one = (1 << 16).to_bytes(4, "big"), (-(1 << 16)).to_bytes(4, "big", signed=True)
    content[matrix : matrix + 16] = bytes(4) + one + bytes(4) + minus_one
    (tmp_path / "in/a.mp4").write_bytes(content)
    run(tmp_path / "in", tmp_path / "out", encoding=Encoding(short_side=256))
    _, frames, _ = read(tmp_path / "out/a.mp4")
    assert frames.shape[1:] == (64, 48, 3)
    with av.open(str(tmp_path / "out/a.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_annotations_are_written_anew(tmp_path):
    for name in ("a b.mkv", "clips/c.mkv"):
        write_video(tmp_path / "videos" / name, times_ms=range(0, 200, 40))
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.csv").write_text("a b.mkv 3\nclips/c.mkv 0\nmissing.mkv 1\na b.mkv 3\n")
    summary = run(lists / "train.csv", tmp_path / "out", path_prefix=str(tmp_path / "videos"), max_bad_fraction=0.4)
    assert (tmp_path / "out/train.csv").read_text() == "a b.mp4 3\nclips/c.mp4 0\na b.mp4 3\n"
    assert [video.cause for video in summary.bad] == ["missing"]
    lines = [
        {"path": str(tmp_path / "videos/clips/c.mkv"), "label": "walk", "start": 0.04, "end": 0.16},
        {"path": str(tmp_path / "videos/a b.mkv"), "label": "run"},
    ]
    (lists / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(lists / "test.jsonl", tmp_path / "out2")
    written = [json.loads(line) for line in (tmp_path / "out2/test.jsonl").read_text().splitlines()]
    assert [(entry["label"], entry.get("start"), entry.get("end")) for entry in written] == [
        ("walk", 0.04, 0.16),
        ("run", None, None),
    ]
    assert [len(read(tmp_path / "out2" / entry["path"])[0]) for entry in written] == [5, 5], "the whole files"


def test_class_names_beside_an_annotation_stay_beside_it(tmp_path):
    """Or the same lists would have other numbers: those of sorted names."""
    write_video(tmp_path / "in/a.avi")
    (tmp_path / "in/train.csv").write_text("a.avi,zebra\n")
    (tmp_path / "in/class_names.txt").write_text("zebra\nape\n")
    run(tmp_path / "in/train.csv", tmp_path / "out")
    old, new = (read_annotation(tmp_path / folder / "train.csv") for folder in ("in", "out"))
    assert old.class_names == new.class_names == ("zebra", "ape")
    assert [record.label for record in new.records] == [0]


def test_tar_shards_become_files_and_a_list(tmp_path, monkeypatch):
    monkeypatch.setattr(local_cache, "_current", LocalCache(str(tmp_path / "cache")))
    for number in range(2):
        video = tmp_path / f"{number}.mkv"
        write_video(video, times_ms=range(0, 200 + 40 * number, 40))
        with tarfile.open(tmp_path / f"set-{number}.tar", "w") as tar:
            tar.add(video, f"x/{number}.mkv")
            (tmp_path / "cls").write_text(f"{number + 3}\n")
            tar.add(tmp_path / "cls", f"x/{number}.cls")
    data = str(tmp_path / "set-{0..1}.tar")
    summary = run(data, tmp_path / "out")
    assert [file.bytes_before for file in summary.finished] == [
        (tmp_path / f"{number}.mkv").stat().st_size for number in range(2)
    ]
    written = [json.loads(line) for line in (tmp_path / "out/set.jsonl").read_text().splitlines()]
    assert written == [{"path": "x/0.mp4", "label": 3}, {"path": "x/1.mp4", "label": 4}]
    assert [len(read(tmp_path / "out" / entry["path"])[0]) for entry in written] == [5, 6]
    assert run(data, tmp_path / "out").resumed == 2
    with pytest.raises(ConfigError, match="s3://bucket/out: files are written to a disk"):
        run(data, "s3://bucket/out")


def test_new_annotations_say_what_the_old_ones_said(tmp_path):
    """Of forms that a new file cannot have: JSON becomes JSON lines, and names that would be columns go in quotes."""
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mkv", times_ms=range(0, 200, 40))
    (tmp_path / "val.json").write_text('{"a.mkv": "jump 2", "b.mkv": "run, then sit"}')
    (tmp_path / "names.txt").write_text('a.mkv "jump 2"\nb.mkv,"run, then sit"\n')
    (tmp_path / "tsn.txt").write_text("a 5 1\nb 5 0\n")
    (tmp_path / "parts.csv").write_text("label,file,start,end\n0,a.mkv,0.04,0.16\n1,b.mkv,,\n")
    scenes = [
        {"file": "a.mkv", "label": 1, "scene": "a\nb", "indoors": True},
        {"file": "b.mkv", "label": 0, "people": 2},
    ]
    (tmp_path / "scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in scenes))
    (tmp_path / "scenes.csv").write_text('file,label,"big, or not",people\na.mkv,run,"so, so",2\nb.mkv,sit,,12\n')
    for name, new, options in (
        ("val.json", "val.jsonl", {}),
        ("names.txt", "names.txt", {}),
        ("tsn.txt", "tsn.txt", {"list_format": "tsn"}),
        ("parts.csv", "parts.csv", {}),
        ("scenes.jsonl", "scenes.jsonl", {}),
        ("scenes.csv", "scenes.csv", {}),
    ):
        run(tmp_path / name, tmp_path / "out", **options)
        before, after = read_annotation(tmp_path / name, **options), read_annotation(tmp_path / "out" / new)
        assert after.class_names == before.class_names
        for old, record in zip(before.records, after.records, strict=True):
            assert (record.label, record.start, record.end) == (old.label, old.start, old.end)
            assert record.attributes == old.attributes
            assert Path(record.path).stem == Path(old.path).stem
            assert Path(record.path).is_file()


def test_names_that_would_collide(tmp_path):
    write_video(tmp_path / "in/a.mkv", times_ms=range(0, 120, 40))
    write_video(tmp_path / "in/a.avi", times_ms=range(0, 200, 40))
    run(tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == ["a.mp4", "a_2.mp4"]
    assert {len(read(path)[0]) for path in (tmp_path / "out").glob("*.mp4")} == {3, 5}


def test_goes_on_where_it_was_interrupted(tmp_path):
    for name in "abc":
        write_video(tmp_path / f"in/{name}.mkv", times_ms=range(0, 200, 40))
    out = tmp_path / "out"
    run(tmp_path / "in", out)
    # As a kill leaves it: one file not begun, one half written, its line in the list half written, too.
    (out / "b.mp4").unlink()
    (out / "c.mp4").rename(out / "c.mp4.part")
    finished = (out / "prepared.jsonl").read_text()
    (out / "prepared.jsonl").write_text(finished[:-20])
    stamp = os.stat(out / "a.mp4").st_mtime_ns
    summary = run(tmp_path / "in", out)
    assert (summary.resumed, len(summary.finished)) == (1, 3)
    assert os.stat(out / "a.mp4").st_mtime_ns == stamp, "finished files are left alone"
    assert sorted(path.name for path in out.glob("*.mp4*")) == ["a.mp4", "b.mp4", "c.mp4"]
    assert run(tmp_path / "in", out).resumed == 3
    with pytest.raises(ConfigError, match="begun with"):
        run(tmp_path / "in", out, encoding=Encoding(short_side=40))


def test_a_source_that_has_changed_is_encoded_again(tmp_path):
    write_video(tmp_path / "in/a.mp4", times_ms=range(0, 400, 40))
    write_video(tmp_path / "in/b.mp4", times_ms=range(0, 400, 40))
    assert run(tmp_path / "in", tmp_path / "out").resumed == 0
    write_video(tmp_path / "in/b.mp4", times_ms=range(0, 800, 40))
    again = run(tmp_path / "in", tmp_path / "out")
    assert (again.resumed, sorted(file.frames for file in again.finished)) == (1, [10, 20])


def test_bad_files_are_listed_and_do_not_end_the_run(tmp_path):
    for name in "abc":
        write_video(tmp_path / f"in/{name}.mkv", times_ms=range(0, 200, 40))
    (tmp_path / "in/broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match="1 of 4"):
        run(tmp_path / "in", tmp_path / "out", max_bad_fraction=0.2)
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 3, "the others are finished"
    summary = run(tmp_path / "in", tmp_path / "out", max_bad_fraction=0.25)
    assert (summary.resumed, len(summary.bad)) == (3, 1)
    (line,) = (tmp_path / "out/bad_videos.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == str(tmp_path / "in/broken.mp4")
    assert json.loads(line)["cause"] == "unreadable"


def test_the_number_of_processes_does_not_matter(tmp_path):
    for index in range(5):
        write_video(tmp_path / f"in/{index}.mkv", times_ms=range(0, 200 + 40 * index, 40))
    (tmp_path / "in/broken.mp4").write_bytes(b"no video at all")
    summaries = [run(tmp_path / "in", tmp_path / f"out{n}", workers=n, max_bad_fraction=0.5) for n in (0, 2)]
    assert summaries[0].finished == summaries[1].finished
    assert summaries[0].bad == summaries[1].bad
    for file in summaries[0].finished:
        assert (tmp_path / "out0" / file.target).read_bytes() == (tmp_path / "out2" / file.target).read_bytes()


def test_parts_become_one_data_set(tmp_path):
    for name in "abc":
        write_video(tmp_path / f"{name}.mkv", times_ms=range(0, 120, 40))
    (tmp_path / "list.csv").write_text("a.mkv 0\nb.mkv 1\nc.mkv 0\n")
    out = tmp_path / "out"
    for index in range(2):
        run(tmp_path / "list.csv", out, shard=Shard(index, 2))
        assert not (out / "list.csv").exists(), "no part knows all"
    assert run(tmp_path / "list.csv", out).resumed == 3
    assert (out / "list.csv").read_text() == "a.mp4 0\nb.mp4 1\nc.mp4 0\n"


def test_sources_are_not_overwritten(tmp_path):
    write_video(tmp_path / "a.mp4", codec="libx264")
    (tmp_path / "list.csv").write_text("a.mp4 0\n")
    for data in (tmp_path, tmp_path / "list.csv"):
        with pytest.raises(ConfigError, match="overwrite"):
            run(data, tmp_path)


@pytest.mark.parametrize("option", [{"short_side": 0}, {"gop": 0}, {"crf": 52}, {"preset": "quick"}])
def test_impossible_settings(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        Encoding(**option)


def test_command_line(tmp_path, capsys):
    write_video(tmp_path / "in/a.mkv", times_ms=range(0, 200, 40))
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--short-side", "16", "--workers", "0"]) == 0
    assert "1 re-encoded" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_info:
        main(["--help"])
    assert exit_info.value.code == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.skipif("PVBIAS_REAL_DATA" not in os.environ, reason="PVBIAS_REAL_DATA is not set: no real videos")
def test_real_videos_keep_their_times(tmp_path):
    data = Path(os.environ["PVBIAS_REAL_DATA"]) / "clips/misc"
    summary = run(data, tmp_path, encoding=Encoding(short_side=64))
    assert not summary.bad
    for file in summary.finished:
        if (data / file.name).is_file():
            before, after = read(data / file.name), read(tmp_path / file.target)
            np.testing.assert_allclose(after[0], np.sort(before[0]) - before[0].min(), atol=1e-4)
            assert after[2] == list(range(0, len(after[0]), 15))
