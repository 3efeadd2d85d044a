"""Frames of clips as the published code takes them, by hand."""

import numpy as np

from pvbias.config import load_cfg
from pvbias.registries import SAMPLING


def test_vjepa2_spreads_a_clip_up_to_the_frame_after_its_window():
    """Its loader: np.linspace(0, 8, num=4) is 0, 2.67, 5.33 and 8, of which the last one is held at 7."""
    keys = {"NUM_FRAMES": 4, "SAMPLING_RATE": 2, "TARGET_FPS": 10.0}
    cfg = load_cfg(overrides=[text for key, value in keys.items() for text in (f"DATA.{key}", str(value))])
    cfg.TEST.NUM_ENSEMBLE_VIEWS = 1
    times = SAMPLING.get("vjepa2")(cfg).test_clips(0.0, 2.0, np.arange(20) / 10)
    assert np.rint(10 * times).tolist() == [[0, 2, 5, 7]]
