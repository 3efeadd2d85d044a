"""Decoding against a plain PyAV loop, against the numbers written into the frames, and on broken files."""

import gc
import os
import struct
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from pvbias.video import BadVideoError
from pvbias.video.decoding import FileVideo
from pvbias.video.orientation import Orientation, orientation_of
from pvbias.video.resizing import Resizer

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


#: Display matrices (a, b, c, d), and where the quarters of a picture, red green over blue white, are then shown. What
#: ffmpeg shows, too (its own turning, version 9).
ORIENTATIONS = {
    (1, 0, 0, 1): "RG BW",
    (-1, 0, 0, 1): "GR WB",  # mirrored left to right
    (1, 0, 0, -1): "BW RG",  # top to bottom
    (-1, 0, 0, -1): "WB GR",  # turned by 180 degrees
    (0, 1, -1, 0): "BR WG",  # clockwise
    (0, -1, 1, 0): "GW RB",  # counterclockwise
    (0, 1, 1, 0): "RB GW",  # mirrored and turned
    (0, -1, -1, 0): "WG BR",
}
COLOURS = {"R": (230, 30, 30), "G": (30, 230, 30), "B": (30, 30, 230), "W": (230, 230, 230)}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_display_matrices_turn_and_mirror_frames(tmp_path, matrix, container):
    path = _quarters(tmp_path / f"v.{container}", matrix)
    with FileVideo(str(path)) as video:
        seen = []
        frames = video.read([0.0, 0.05], lambda h, w: seen.append((h, w)) or (h, w))
    height, width = (48, 64) if matrix[0] else (64, 48)
    assert seen == [(height, width)]
    assert frames.shape == (2, height, width, 3)
    places = [[(row * height // 4, column * width // 4) for column in (1, 3)] for row in (1, 3)]
    shown = " ".join("".join(_nearest(frames[1][place]) for place in row) for row in places)
    assert shown == ORIENTATIONS[matrix]


#: Colour matrices of H.273 that libswscale knows, with the weights of red and blue, and those that it does not.
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
REFUSED = {8: "YCgCo", 10: "BT.2020 with constant luminance", 14: "ICtCp"}


@pytest.mark.parametrize("number", [*MATRICES, *REFUSED])
def test_the_colour_matrix_that_a_stream_is_marked_with_is_used_or_named(tmp_path, number):
    """Y = 120, Cb = 140, Cr = 100 throughout, limited range."""
    with av.open(str(tmp_path / "plain.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame(32, 32, "yuv420p")
        for plane, value in zip(frame.planes, (120, 140, 100), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path = _marked(tmp_path / "plain.mp4", number)
    with FileVideo(str(path)) as video:
        if number in REFUSED:
            with pytest.raises(BadVideoError, match=f"marked as {REFUSED[number]}.*zscale"):
                video.read([0.0], same_size)
            return
        seen = video.read([0.0], same_size)[0, 16, 16]
    red_weight, blue_weight = MATRICES[number]
    y, cb, cr = (120 - 16) / 219, (140 - 128) / 224, (100 - 128) / 224
    red, blue = y + 2 * (1 - red_weight) * cr, y + 2 * (1 - blue_weight) * cb
    green = (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    assert seen == pytest.approx([255 * value for value in (red, green, blue)], abs=2)


def _marked(path: Path, number: int) -> Path:
    """A copy of an H.264 stream whose headers name another colour matrix."""
    marked = path.with_name("marked.mp4")
    with av.open(str(path)) as source, av.open(str(marked), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        context = BitStreamFilterContext(f"h264_metadata=matrix_coefficients={number}", source.streams.video[0], stream)
        for packet in [*source.demux(video=0), None]:
            if packet is None or packet.dts is not None:
                for filtered in context.filter(packet):
                    filtered.stream = stream
                    target.mux(filtered)
    return marked


def test_a_broken_display_matrix_leaves_frames_as_they_are():
    for rows in (np.zeros((2, 2)), [[1, 1], [-1, 1]], [[1, 0], [0, 0]], [[0.7, 0.7], [-0.7, 0.7]]):
        matrix = np.zeros((3, 3), np.int32)
        matrix[:2, :2] = np.array(rows) * 65536
        assert orientation_of(matrix) == Orientation()
    half_size = np.array([[0, -32768, 0], [20000, 0, 0], [5, 7, 1 << 30]], np.int32)
    assert orientation_of(half_size) == Orientation(transpose=True, flip_rows=True)


def test_frames_go_when_they_are_done_with():
    """And not when Python next looks for what refers to itself: of large frames that is hundreds of megabytes."""
    frame = av.VideoFrame(64, 48, "yuv420p")
    gc.collect()
    gc.disable()
    try:
        assert Orientation.of(frame) == Orientation()
        del frame
        assert gc.collect() == 0
    finally:
        gc.enable()


def _quarters(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A video of four quarters, the display matrix in its track header (MP4), or copied from there."""
    plain = path.with_name("plain.mp4")
    image = np.empty((48, 64, 3), np.uint8)
    for name, (row, column) in zip("RGBW", ((0, 0), (0, 32), (24, 0), (24, 32)), strict=True):
        image[row : row + 24, column : column + 32] = COLOURS[name]
    with av.open(str(plain), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times and ids, reserved .. volume
    a, b, c, d = (65536 * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    plain.write_bytes(data)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return path


def _nearest(pixel: np.ndarray) -> str:
    return min(COLOURS, key=lambda name: np.abs(pixel.astype(int) - COLOURS[name]).sum())


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


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    """Also by a process that has read it before, under the same name."""
    path = tmp_path / "v.mp4"
    for frames in (10, 25):
        write_video(path, frames, g="5", bf="0")
        with FileVideo(str(path)) as video:
            assert len(video.timestamps) == frames
            last = video.read([(frames - 1) / 30], same_size)[0]
        assert frame_number(last) == frames - 1
