"""The pictures: what is in them where, and that the command says what went wrong."""

import numpy as np
import pytest
from PIL import Image

from pvbias.plugins.decoupled_videos.sheets import draw_sheets, main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets") / "new"
    files = draw_sheets(folder, size=48)
    assert sorted(file.name for file in files) == sorted(file.name for file in folder.iterdir())
    return folder


def pixels(image):
    return np.asarray(image.convert("RGB")).astype(int)


def test_ten_digits_of_each_class_with_coloured_ways(folder):
    image = pixels(Image.open(folder / "digits.png"))
    assert image.shape[0] == image.shape[1]
    coloured = np.ptp(image, axis=2) > 100
    side = image.shape[0] // 10
    cells = coloured[: side * 10, : side * 10].reshape(10, side, 10, side)
    assert (cells.sum(axis=(1, 3)) > 20).all()


def test_frames_over_their_footprint(folder):
    """Four rows of ten frames of 48 pixels, 4 between them, and 18 for the name under each row."""
    image = pixels(Image.open(folder / "brush_mnist.png"))
    assert image.shape == (4 * (48 + 18 + 4) - 4, 10 * (48 + 4) - 4, 3)
    frames = [image[:48, x : x + 48] for x in range(0, image.shape[1], 52)]
    for frame in frames:
        assert (frame[..., 0] >= frame[..., 1]).all()
        np.testing.assert_array_equal(frame[..., 1], frame[..., 2])
        assert 0 < (frame[..., 1] > 0).sum() <= 36  # the brush of 6 x 6
        np.testing.assert_array_equal(frame[..., 0], frames[0][..., 0])  # the footprint is the same in all
    assert len({frame.tobytes() for frame in frames}) == 10


def test_frames_with_a_dotted_way(folder):
    image = pixels(Image.open(folder / "places_faces_mnist.png"))
    assert image.shape == (4 * (48 + 18 + 4) - 4, 3 * (48 + 4) - 4, 3)
    for y in range(0, image.shape[0], 70):
        dots = [(image[y : y + 48, x : x + 48] == (255, 230, 0)).all(axis=2) for x in (0, 52, 104)]
        assert dots[0].sum() > 10
        np.testing.assert_array_equal(dots[0], dots[1])
        np.testing.assert_array_equal(dots[0], dots[2])


@pytest.mark.parametrize("name", ["brush_mnist.gif", "places_faces_mnist.gif"])
def test_animations(folder, name):
    with Image.open(folder / name) as animation:
        assert animation.size == (4 * (48 + 4) - 4, 48 + 18)
        assert animation.n_frames == 40
        assert animation.info["loop"] == 0  # for ever
        frames = []
        for number in (0, 39):
            animation.seek(number)
            frames.append(pixels(animation))
    for x in (0, 52, 104, 156):  # something moves in each video; the names stand still
        assert (frames[0][:48, x : x + 48] != frames[1][:48, x : x + 48]).any()
    np.testing.assert_array_equal(frames[0][48:], frames[1][48:])


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--mnist-dir", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_lists_its_files(tmp_path, capsys):
    assert main([str(tmp_path), "--size", "32"]) == 0
    assert capsys.readouterr().out.count(str(tmp_path)) == 5
