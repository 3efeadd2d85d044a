"""Folders of frame images: which of them are the video, in which order, and what colours they have."""

import logging

import numpy as np
import pytest
from PIL import Image

from pvbias.config import load_cfg
from pvbias.data import build_source
from pvbias.video import BadVideoError, frame_folder
from pvbias.video.frame_folder import FrameFolder

from .videos import frame_image, frame_number

pytestmark = pytest.mark.smoke


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(frame_folder, "_told", set())


def write_images(folder, names):
    """Images that show their position in ``names``."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(frame_image(number)).save(folder / name)
    return str(folder)


def shown(path, **options):
    video = FrameFolder(path, fps=25.0, **options)
    frames = video.read(video.timestamps.tolist(), lambda height, width: (height, width))
    assert video.duration == len(frames) / 25
    return [frame_number(frame) for frame in frames]


def numbered(pattern, count, first=1):
    return [pattern.format(number) for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("frames", "others"),
    [
        (numbered("img_{:05d}.jpg", 4), numbered("flow_x_{:05d}.jpg", 4) + numbered("flow_y_{:05d}.jpg", 4)),
        (numbered("img_{:05d}.jpg", 4), numbered("x_{:05d}.jpg", 3) + numbered("y_{:05d}.jpg", 3)),
        (numbered("{:06d}.png", 4, 0), numbered("u{:d}.png", 4, 0) + numbered("V{:d}.png", 4, 0)),
        (numbered("flower{:d}.png", 4), numbered("optical_flow_{:d}.png", 4)),
        (numbered("frame{:d}.png", 12), ["cover.jpg", "Thumbs2.png", "poster.webp", "0.txt.png"]),
        (numbered("v_Run_g01_c02_{:04d}.png", 3), []),
        (numbered("{:03d}_rgb.png", 3), ["cover.png"]),
        (["a7.png", "a8.PNG", "a09.bmp", "a10.png"], []),
        (numbered("x_{:d}.png", 2), []),
        (["3.png"], ["cover.png"]),
    ],
)
def test_the_video_is_one_series_in_the_order_of_its_numbers(tmp_path, caplog, frames, others):
    path = write_images(tmp_path / "v", frames + others)
    assert shown(path) == list(range(len(frames)))
    assert len(caplog.records) == bool(others)
    assert ("left out" in caplog.text) == bool(others)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (numbered("a_{}.png", 2) + numbered("b_{}.png", 3), r"a_# \(2\), b_# \(3\).*DATA\.FRAME_PREFIX"),
        (numbered("flow_x_{}.png", 2) + numbered("flow_y_{}.png", 2), r"flow_x_# \(2\), flow_y_# \(2\).*FRAME_PREFIX"),
        (numbered("a_{}.png", 1) + numbered("b_{}.png", 1), r"a_# \(1\), b_# \(1\)"),
        (["img_1.png", "img_01.png"], r"img_01\.png and img_1\.png are both number 1"),
        (["img_1.png", "img_1.bmp"], r"img_1\.bmp and img_1\.png are both number 1"),
        (["left.png", "right.png"], r"none of its images has a number in its name \(left\.png"),
        ([], "it has no images"),
    ],
)
def test_no_telling_which_images_are_the_video(tmp_path, names, message):
    with pytest.raises(BadVideoError, match=message):
        FrameFolder(write_images(tmp_path / "v", names), fps=25.0)


def test_a_prefix_chooses(tmp_path, caplog):
    a, b, plain = (numbered(pattern, 3) for pattern in ("a_{}.png", "b_{}.png", "{}.png"))
    path = write_images(tmp_path / "v", a + b + plain)
    assert shown(path, prefix="b_") == [3, 4, 5]
    assert shown(path, prefix="") == [6, 7, 8]
    assert not caplog.records
    with pytest.raises(BadVideoError, match=r"a_# \(3\).*no series with 'c_' before the number"):
        FrameFolder(path, fps=25.0, prefix="c_")


def test_the_prefix_is_a_key(tmp_path):
    write_images(tmp_path / "v", numbered("a_{}.png", 3) + numbered("b_{}.png", 3))
    (tmp_path / "test.csv").write_text("v 0\n")
    keys = ["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.FRAME_PREFIX", "b_"]
    source = build_source(load_cfg(None, keys), "test")
    frames = source.open(source.records[0]).read([0.0], lambda *_: (48, 64))
    assert frame_number(frames[0]) == 3


def test_the_frame_shown_is_the_last_that_has_come_up(tmp_path):
    for number in range(3):
        Image.fromarray(np.full((8, 8, 3), 10 * number, np.uint8)).save(tmp_path / f"{number}.png")
    times = [0.0, 0.1 - 0.002, 0.1 - 0.0005, 0.1, 0.2, 0.3]  # up to a millisecond early, as in files
    frames = FrameFolder(str(tmp_path), fps=10.0).read(times, lambda height, width: (height, width))
    assert frames[:, 0, 0, 0].tolist() == [0, 0, 10, 10, 20, 20]


def test_missing_numbers_make_no_pause_and_are_told(tmp_path, caplog):
    path = write_images(tmp_path / "v", ["f1.png", "f2.png", "f5.png"])
    assert shown(path) == [0, 1, 2]
    assert "between 1 and 5 are missing" in caplog.text


def test_every_fifth_frame_is_no_gap(tmp_path, caplog):
    assert shown(write_images(tmp_path / "v", ["f5.png", "f10.png", "f15.png"])) == [0, 1, 2]
    assert not caplog.records


def test_what_was_left_out_is_told_once_for_folders_that_are_alike(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name in ("one", "two"):
        names = numbered("img_{}.png", 3) + numbered("x_{}.png", 2) + numbered("y_{}.png", 2)
        FrameFolder(write_images(tmp_path / name, names), fps=25.0)
    assert len(caplog.records) == 1
    assert "img_# (3); left out: x_# (2), y_# (2)" in caplog.text
    FrameFolder(write_images(tmp_path / "three", ["img_1.png", "img_2.png", "cover.jpg"]), fps=25.0)
    assert "left out: cover.jpg" in caplog.text


#: Pixels of an image of each kind, and the RGB that they are.
GREY16 = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
GREY8 = np.repeat(np.array([[0, 0, 1], [128, 255, 255]], np.uint8)[..., None], 3, axis=2)
COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 200, 30]]], np.uint8)


def palette():
    image = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8), mode="P")
    image.putpalette(COLOURS.tobytes())
    return image


def cmyk():
    return Image.fromarray(np.concatenate([255 - COLOURS, np.zeros((2, 2, 1), np.uint8)], axis=2), mode="CMYK")


KINDS = {
    "1.png": (Image.fromarray(GREY16), GREY8),
    "1.tif": (Image.fromarray(GREY16), GREY8),
    "2.png": (Image.fromarray(np.array([[True, False]])), np.repeat([[[255], [0]]], 3, axis=2)),
    "3.png": (palette(), COLOURS),
    "4.png": (
        Image.fromarray(np.array([[[7, 0], [200, 255]]], np.uint8), mode="LA"),
        np.repeat([[[7], [200]]], 3, axis=2),
    ),
    "5.tif": (cmyk(), COLOURS),
    "6.png": (Image.fromarray(np.dstack([COLOURS, np.full((2, 2), 9, np.uint8)])), COLOURS),
}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_colours(tmp_path, name):
    image, expected = KINDS[name]
    image.save(tmp_path / name)
    frames = FrameFolder(str(tmp_path), fps=25.0).read([0.0], lambda height, width: (height, width))
    np.testing.assert_array_equal(frames[0], expected)


def test_16_bits_of_a_portable_grey_map(tmp_path):
    (tmp_path / "1.pgm").write_bytes(b"P5 3 2 65535\n" + GREY16.astype(">u2").tobytes())
    frames = FrameFolder(str(tmp_path), fps=25.0).read([0.0], lambda height, width: (height, width))
    np.testing.assert_array_equal(frames[0], GREY8)


@pytest.mark.parametrize("values", [np.float32(0.5), np.int32(70000)])
def test_values_without_a_white_are_refused(tmp_path, values):
    Image.fromarray(np.full((4, 4), values)).save(tmp_path / "1.tif")
    with pytest.raises(BadVideoError, match=r"at 0\.00 s: 1\.tif: values of 32 bits"):
        FrameFolder(str(tmp_path), fps=25.0).read([0.0], lambda height, width: (height, width))
