"""Decoding against a plain PyAV loop, against the numbers written into the frames, and on broken files."""

import os
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pvbias.data import BadVideoError
from pvbias.data.decoding import FileVideo
from pvbias.data.resizing import Resizer

from .videos import frame_number, write_video

pytestmark = pytest.mark.smoke


def same_size(height, width):
    return height, width


def numbers(frames):
    return [frame_number(frame) for frame in frames]


def plain_loop(path, height, width):
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        images = []
        for packet in container.demux(stream) if stream else ():
            try:
                images += [Resizer()(frame, height, width).copy() for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return images


# Reordered frames, several key frames, open GOPs; a container that seeks by bytes; one without display times.
KINDS = {
    "b_frames.mp4": {"bf": "3", "g": "12"},
    "open_gop.mkv": {"x264-params": "open-gop=1:bframes=3:keyint=10:scenecut=0"},
    "stream.ts": {"g": "8"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "10"},
    "xvid_like.avi": {"codec": "mpeg4", "bf": "2", "g": "15"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "10", "deadline": "realtime", "cpu-used": "8"},
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def video_file(request, tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / request.param, 40, **KINDS[request.param])


def test_frames_are_bit_identical_to_a_plain_loop_wherever_one_looks(video_file):
    reference = plain_loop(video_file, 30, 40)
    rng = np.random.default_rng(0)
    for _ in range(12):
        with FileVideo(str(video_file)) as video:
            assert len(video.timestamps) == len(reference) == 40
            chosen = rng.integers(0, 40, rng.integers(1, 6))
            for _ in range(2):  # the second read starts where the first one left the file
                frames = video.read(video.timestamps[chosen].tolist(), lambda h, w: (30, 40))
                assert all(np.array_equal(frame, reference[i]) for frame, i in zip(frames, chosen, strict=True))


def test_the_frame_shown_is_the_last_that_has_come_up(tmp_path):
    path = write_video(tmp_path / "uneven.mkv", 6, times=[0, 33, 67, 500, 520, 900])
    with FileVideo(str(path)) as video:
        assert video.timestamps == pytest.approx([0, 0.033, 0.067, 0.5, 0.52, 0.9])
        times = [0.0, 0.02, 1 / 30, 2 / 30, 0.4, 0.5, 0.519, 0.8999, 0.95, 0.0]
        assert numbers(video.read(times, same_size)) == [0, 0, 1, 2, 2, 3, 4, 5, 5, 0]


def test_frames_at_whole_multiples_are_never_the_ones_before(tmp_path):
    path = write_video(tmp_path / "v.webm", 90, codec="libvpx-vp9", deadline="realtime", **{"cpu-used": "8"})
    with FileVideo(str(path)) as video:
        assert video.duration == pytest.approx(3.0, abs=0.01)
        assert numbers(video.read([i / 30 for i in range(90)], same_size)) == list(range(90))


def test_files_whose_first_timestamp_is_not_zero_begin_at_zero(tmp_path):
    path = write_video(tmp_path / "late.mkv", 4, times=[5000, 5100, 5200, 5300])
    with FileVideo(str(path)) as video:
        assert video.timestamps == pytest.approx([0, 0.1, 0.2, 0.3])
        assert video.duration == pytest.approx(0.4)
        assert numbers(video.read([0.0, 0.3], same_size)) == [0, 3]


@pytest.mark.parametrize(
    ("pix_fmt", "size"), [("yuv420p10le", (48, 64)), ("yuv444p", (49, 67)), ("yuv422p", (33, 64)), ("gbrp", (48, 65))]
)
def test_bit_depths_and_odd_sizes(tmp_path, pix_fmt, size):
    codec = "libx264rgb" if pix_fmt == "gbrp" else "libx264"
    pix_fmt = "rgb24" if pix_fmt == "gbrp" else pix_fmt
    path = write_video(tmp_path / "v.mp4", 5, size=size, pix_fmt=pix_fmt, codec=codec)
    with FileVideo(str(path)) as video:
        frames = video.read(video.timestamps.tolist(), same_size)
    assert frames.shape == (5, *size, 3)
    assert numbers(frames) == list(range(5))
    assert abs(int(frames[0].min()) - 30) < 12  # dark bars stay dark: the range is right


def test_rotation_makes_frames_upright(tmp_path):
    path = write_video(tmp_path / "v.mp4", 3)
    _rotate(path)
    with FileVideo(str(path)) as video:
        seen = []
        frames = video.read([0.0, 0.05], lambda h, w: seen.append((h, w)) or (h, w))
    assert seen == [(64, 48)]
    assert frames.shape == (2, 64, 48, 3)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation == -90  # clockwise
        plain = frame.to_ndarray(format="rgb24")
    assert np.array_equal(frames[0], np.rot90(plain, -1))


def _rotate(path: Path) -> None:
    """Write a display matrix for a quarter turn clockwise into the track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and ids, reserved .. volume
    unit, zero = (0x10000).to_bytes(4, "big"), bytes(4)
    minus = (0x100000000 - 0x10000).to_bytes(4, "big")
    data[at : at + 36] = zero + unit + zero + minus + zero + zero + zero + zero + (0x40000000).to_bytes(4, "big")
    path.write_bytes(data)


def test_a_lost_packet_costs_its_own_frame_only(tmp_path):
    path = write_video(tmp_path / "v.mkv", 30, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][20]
        image = bytes(packet)
    data = path.read_bytes()
    path.write_bytes(data.replace(image, bytes(len(image))))
    with FileVideo(str(path)) as video:
        assert numbers(video.read([0.0, 19 / 30, 20 / 30, 21 / 30], same_size)) == [0, 19, 19, 21]


def test_a_long_gap_of_broken_data_is_a_decoder_error_with_its_time(tmp_path):
    path = write_video(tmp_path / "v.mkv", 60, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        images = [bytes(p) for p in container.demux(video=0) if p.size]
    data = path.read_bytes()
    for image in images[15:55]:
        data = data.replace(image, bytes(len(image)))
    path.write_bytes(data)
    with FileVideo(str(path)) as video:
        assert numbers(video.read([0.3, 1.9, 0.6], same_size)) == [9, 57, 14]
        with pytest.raises(BadVideoError, match=r"decoder error: at 1\.1\d s"):
            video.read([0.0, 35 / 30], same_size)


def test_causes_are_true(tmp_path):
    def cause(path):
        with pytest.raises(BadVideoError) as caught, FileVideo(str(path)) as video:
            video.read([0.0], same_size)
        return caught.value.cause

    whole = write_video(tmp_path / "v.mp4", 30)
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:600])
    os.mkfifo(tmp_path / "pipe.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert cause(tmp_path / "no.mp4") == "missing"
    assert cause(tmp_path / "text.mp4") == "unreadable"
    assert cause(tmp_path / "cut.mp4") == "unreadable"
    assert cause(tmp_path / "pipe.mp4") == "unreadable"  # opening it would wait for ever
    assert cause(tmp_path / "sound.mp4") == "no video stream"


def test_a_cut_file_gives_what_it_has_and_no_handle_leaks(tmp_path):
    path = write_video(tmp_path / "v.mkv", 60, codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with FileVideo(str(path)) as video:
        assert 20 < len(video.timestamps) < 40
        assert video.duration < 1.4
        video.read([0.0, video.duration], same_size)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_odd_names(tmp_path):
    path = write_video(tmp_path / "v.mp4", 3).rename(tmp_path / "a:b %03d, ü'#?.mp4")
    with FileVideo(str(path)) as video:
        assert len(video.timestamps) == 3


@pytest.mark.skipif("PVBIAS_REAL_DATA" not in os.environ, reason="PVBIAS_REAL_DATA is not set")
def test_odd_real_files_give_what_a_plain_loop_gives_or_say_why_not():
    root = Path(os.environ["PVBIAS_REAL_DATA"]) / "nasty"
    files = sorted(p for p in root.rglob("*.*") if p.is_file() and p.suffix != ".tsv")
    assert len(files) > 80
    for file in files:
        try:
            reference = plain_loop(file, 24, 32)
        except av.FFmpegError:  # not even opened
            reference = []
        try:
            with FileVideo(str(file)) as video:
                frames = video.read(video.timestamps.tolist(), lambda h, w: (24, 32))
        except BadVideoError as error:
            assert not reference, (file, error)  # noqa: PT017 (some files fail and some do not)
            continue
        distinct = 1 + sum(not np.array_equal(a, b) for a, b in pairwise(frames))
        assert distinct <= len(reference) <= len(frames), file
        if file.name not in ("corrupted.mp4", "no_timescale.mp4"):  # these lose frames; neighbours stand in
            assert len(frames) == len(reference), file
