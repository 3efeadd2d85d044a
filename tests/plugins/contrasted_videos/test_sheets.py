"""The sheet: a row of frames for each kind of clips."""

import numpy as np
from PIL import Image

from pvbias.plugins.contrasted_videos.sheets import draw_sheet, main

SMALL = ["DECOUPLED.SIZE", "32", "DATA.TEST_CROP_SIZE", "32", "DATA.TEST_SHORT_SIDE", "32"]


def test_frames_are_what_the_clips_show():
    image = np.asarray(draw_sheet(SMALL, ["original", "human_only", "scufo"])).astype(int)
    assert image.shape == (3 * (32 + 3), 200 + 6 * (32 + 3), 3)
    original, human, still = (
        [image[top : top + 32, left : left + 32] for left in range(200, image.shape[1], 35)] for top in (0, 35, 70)
    )
    for frame, actor in zip(original, human, strict=True):
        grey = (actor == (124, 116, 104)).all(-1)
        assert (~grey).sum() == 8 * 8  # the face
        np.testing.assert_array_equal(actor[~grey], frame[~grey])
    assert all((frame == still[0]).all() for frame in still)
    assert (image[:, :200] < 100).any(axis=(1, 2)).sum() > 20  # words


def test_the_command_writes_it_or_says_why_not(tmp_path, capsys):
    assert main([str(tmp_path / "new" / "sheet.png"), "--modulations", "restyle", "--set", *SMALL]) == 0
    assert Image.open(tmp_path / "new" / "sheet.png").size == (200 + 6 * 35, 35)
    assert main([str(tmp_path / "sheet.png"), "--modulations", "scuba(background=images)", "--set", *SMALL]) == 2
    assert "error: CONTRASTED.IMAGES_DIR = '' is no folder with images" in capsys.readouterr().err
