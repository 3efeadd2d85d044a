"""The k-th frame is the k-th that comes out of the decoder, in every container, whatever else is asked for."""

import struct
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from pvbias.video import BadVideoError
from pvbias.video.decoding import FileVideo
from pvbias.video.packets import forget_indexes

from .videos import frame_number, write_video

pytestmark = pytest.mark.smoke

COUNT = 36


def size(height, width):
    return height, width


def numbers(path, chosen=None, *, first_visit=True):
    """The numbers that frames show: all of a file's, or the chosen ones."""
    if first_visit:
        forget_indexes()
    with closing(FileVideo(str(path))) as video:
        times = video.timestamps if chosen is None else video.timestamps[list(chosen)]
        return [frame_number(frame) for frame in video.read(times.tolist(), size)]


def plain(path):
    """What a loop through the file gives."""
    with av.open(str(path)) as container:
        return [frame_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def check_all_ways(path, expected):
    assert numbers(path) == expected
    for first_visit in (True, False):
        assert [numbers(path, [k], first_visit=first_visit)[0] for k in range(len(expected))] == expected
    generator = np.random.default_rng(0)
    for _ in range(10):
        chosen = generator.integers(0, len(expected), generator.integers(1, 9))
        assert numbers(path, chosen, first_visit=False) == [expected[k] for k in chosen]


H264 = {"x264-params": "bframes=2:keyint=12:b-adapt=0:scenecut=0"}

#: Reordered frames in containers that store no times of display, or few, or those of decoding; frames that are not
#: shown; several frames in a pack.
KINDS = {
    "h264.avi": H264,
    "h264_pyramid.avi": {"x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:keyint=12"},
    "h264_plain.avi": {"x264-params": "bframes=0:keyint=12"},
    "h264.asf": H264,
    "h264.mxf": H264 | {"size": (96, 128)},
    "h264.mpg": H264,
    "h264.flv": H264,
    "h264.h264": H264,
    "hevc.hevc": {"codec": "libx265", "x265-params": "bframes=2:keyint=12:log-level=none"},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": "2", "g": "12"},
    "mpeg1.mpg": {"codec": "mpeg1video", "bf": "2", "g": "12"},
    "mpeg1_plain.mpg": {"codec": "mpeg1video", "g": "12"},
    "mpeg2.vob": {"codec": "mpeg2video", "bf": "2", "g": "12"},
    "vp8_hidden.webm": {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "4"},
    "av1.mkv": {"codec": "libsvtav1", "preset": "12", "g": "12"},
    "intra_refresh.ts": {"x264-params": "intra-refresh=1:keyint=12:bframes=2"},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_container(name, tmp_path):
    options = dict(KINDS[name])
    path = write_video(tmp_path / name, COUNT, **options)
    assert plain(path) == list(range(COUNT))
    check_all_ways(path, list(range(COUNT)))


def remuxed(source: Path, target: Path, *, all_keys: bool = False, times=lambda times: times) -> Path:
    """A copy of the packets in another container; ``times``: what becomes of theirs, in the order of decoding."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [packet for packet in reader.demux(stream) if packet.size]
        for packet, pts in zip(packets, times([packet.pts for packet in packets]), strict=True):
            packet.pts = pts
            packet.is_keyframe = packet.is_keyframe or all_keys
            packet.stream = copy
            writer.mux(packet)
    return target


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "flv", "ts"])
def test_times_of_decoding_that_were_copied_from_an_avi(suffix, tmp_path):
    path = remuxed(write_video(tmp_path / "v.avi", COUNT, **H264), tmp_path / f"v.{suffix}")
    check_all_ways(path, list(range(COUNT)))


def test_made_up_times_that_were_copied_from_an_avi(tmp_path):
    source = write_video(tmp_path / "v.avi", COUNT, codec="mpeg4", bf="2", g="12")
    path = remuxed(source, tmp_path / "v.mp4")
    check_all_ways(path, list(range(COUNT)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "nut"])
def test_made_up_times_that_are_right_for_some_frames(suffix, tmp_path):
    source = write_video(tmp_path / "v.mp4", COUNT, codec="mpeg4", bf="2", g="12")
    # As ffmpeg copies XviD's AVI files: rising in the order of decoding, here up to the 20th packet.
    path = remuxed(source, tmp_path / f"copy.{suffix}", times=lambda times: sorted(times[:20]) + times[20:])
    check_all_ways(path, list(range(COUNT)))


def test_frames_that_claim_the_same_time(tmp_path):
    source = write_video(tmp_path / "v.mp4", COUNT, codec="mpeg4", g="12")
    path = remuxed(source, tmp_path / "v.mkv", times=lambda times: [time for time in times[1::2] for _ in range(2)])
    check_all_ways(path, list(range(COUNT)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("options", [{"codec": "mpeg4", "g": "12"}, H264], ids=["mpeg4", "h264"])
def test_key_flags_that_lie(suffix, options, tmp_path):
    path = remuxed(write_video(tmp_path / "v.mp4", COUNT, **options), tmp_path / f"keys.{suffix}", all_keys=True)
    check_all_ways(path, list(range(COUNT)))


@pytest.mark.parametrize("damage", ["offsets", "hole"])
def test_a_damaged_index_of_an_avi(damage, tmp_path):
    path = write_video(tmp_path / "v.avi", COUNT, codec="mpeg4", g="12")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"idx1") + 8
    entries = [data[at + 16 * k : at + 16 * k + 16] for k in range(COUNT)]
    if damage == "offsets":  # the entries from the 20th on name the chunk before
        for k in range(COUNT - 1, 20, -1):
            entries[k][8:] = entries[k - 1][8:]
    else:  # one is missing, and another one stands twice
        del entries[15]
        entries.append(entries[-1])
    data[at : at + 16 * COUNT] = b"".join(entries)
    path.write_bytes(data)
    check_all_ways(path, plain(path))


def test_an_elementary_stream_under_another_name(tmp_path):
    path = write_video(tmp_path / "v.h264", COUNT, **H264).rename(tmp_path / "v.mp4")
    check_all_ways(path, list(range(COUNT)))


def test_a_stream_that_was_cut_anywhere(tmp_path):
    whole = write_video(tmp_path / "v.ts", 60, codec="mpeg2video", bf="2", g="12").read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(whole[len(whole) // 3 // 188 * 188 :])
    check_all_ways(path, plain(path))


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.mpg"])
def test_recordings_that_were_strung_together(name, tmp_path):
    codec = {} if name.startswith("h264") else {"codec": "mpeg2video"}
    first = write_video(tmp_path / name, COUNT, **codec, bf="2", g="12").read_bytes()
    second = write_video(tmp_path / f"second_{name}", 50, **codec, bf="2", g="12").read_bytes()
    path = tmp_path / f"both_{name}"
    path.write_bytes(first + second)
    with closing(FileVideo(str(path))) as video:
        # One frame off at the joint: MPEG-2 leaves it without a time.
        assert video.timestamps == pytest.approx(np.arange(COUNT + 50) / 30, abs=0.034)
    check_all_ways(path, [*range(COUNT), *range(50)])


def test_a_damaged_time_stamp(tmp_path):
    path = write_video(tmp_path / "v.flv", COUNT, **H264)
    data = bytearray(path.read_bytes())
    tags, at = [], 13
    while at + 11 <= len(data):
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        tags += [at] if kind == 9 else []
        at += 11 + length + 4
    data[tags[20] + 7] = 0xFF  # the highest byte of its time in milliseconds: 49 days
    path.write_bytes(data)
    with closing(FileVideo(str(path))) as video:
        assert video.duration == pytest.approx(COUNT / 30, abs=0.05)
        assert np.diff(video.timestamps) == pytest.approx(1 / 30, abs=0.03)
    check_all_ways(path, list(range(COUNT)))


def test_times_that_leap_for_good_make_a_bad_video(tmp_path):
    times = [33 * k + (10**9 if k >= 20 else 0) for k in range(COUNT)]
    path = write_video(tmp_path / "v.mkv", COUNT, codec="mjpeg", pix_fmt="yuvj420p", times=times)
    with pytest.raises(BadVideoError, match=r"damaged times: after 0\.63 s its times have no frame for 1,000,000 s"):
        FileVideo(str(path))


def test_a_slide_show_is_no_damage(tmp_path):
    path = write_video(tmp_path / "v.mkv", 4, codec="mjpeg", pix_fmt="yuvj420p", times=[0, 90_000, 180_000, 2_000_000])
    with closing(FileVideo(str(path))) as video:
        assert video.timestamps == pytest.approx([0, 90, 180, 2000])


def test_frames_closer_than_a_millisecond(tmp_path):
    path = write_video(tmp_path / "v.mp4", 8, fps=4000)
    check_all_ways(path, list(range(8)))


def test_a_doubtful_file_is_named_once(tmp_path, caplog):
    path = write_video(tmp_path / "v.asf", COUNT, **H264)
    for first_visit in (True, False):
        numbers(path, first_visit=first_visit)
    named = [record.getMessage() for record in caplog.records if str(path) in record.getMessage()]
    assert len(named) == 1
    assert "is decoded linearly, and its frames are counted" in named[0]


def test_open_gops_are_no_damage(tmp_path, caplog):
    options = {"x264-params": "open-gop=1:bframes=3:b-adapt=0:keyint=12:scenecut=0"}
    path = write_video(tmp_path / "v.mp4", COUNT, **options)
    check_all_ways(path, list(range(COUNT)))
    assert not [record for record in caplog.records if str(path) in record.getMessage()]


def broken(path):
    with pytest.raises(BadVideoError) as caught, closing(FileVideo(str(path))) as video:
        video.read([0.0], size)
    return str(caught.value)


def test_files_that_are_no_videos_say_so_in_plain_words(tmp_path):
    fragmented = tmp_path / "fragmented.mp4"
    with av.open(str(fragmented), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    data = fragmented.read_bytes()
    (tmp_path / "fragment.mp4").write_bytes(data[data.index(b"moof") - 4 :])
    whole = write_video(tmp_path / "v.mp4", 5).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.index(b"moov") - 4])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "zeros.avi").write_bytes(bytes(5000))
    (tmp_path / "text.mp4").write_text("<html><title>Log in</title></html>")
    assert "the file is empty (0 bytes)" in broken(tmp_path / "empty.mp4")
    assert "bytes that are all zero" in broken(tmp_path / "zeros.avi")
    assert "a text file, which begins with '<html><title>Log in" in broken(tmp_path / "text.mp4")
    assert "a fragment of an MP4 without its initialisation segment" in broken(tmp_path / "fragment.mp4")
    assert "the MP4 has no index (no moov box)" in broken(tmp_path / "cut.mp4")


def test_an_encrypted_video_is_not_decoded_into_noise(tmp_path):
    path = tmp_path / "v.mp4"
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}
    with av.open(str(path), "w", options=key) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    assert broken(path) == "encrypted: the file says that its pictures are encrypted"


def test_an_avi_with_a_damaged_header_is_read_or_bad(tmp_path):
    path = write_video(tmp_path / "v.avi", COUNT, codec="mpeg4", g="12")
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8
    data[at + 20 : at + 28] = struct.pack("<II", 0, 0)  # scale and rate
    path.write_bytes(data)
    check_all_ways(path, plain(path))
