"""Units planted by hand, in networks whose channels see what a square looks like, where it goes, both or nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.data import build_source
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.plugins import decoupled_videos, factor_units
from pvbias.plugins.factor_units import FactorUnits
from tests.evaluation import toys

SPEC = ClipSpec(
    num_frames=8, sampling_rate=1, crop_size=32, test_crop_size=32, short_side=32, mean=(0,) * 3, std=(1,) * 3
)
STATIC, DYNAMIC, JOINT, NEITHER = 3, 5, 2, 4


class Planted(nn.Module):
    """Maps of channels of known kinds: brightness of the moving image (static), where its centre is at the end
    (dynamic), one of them or the other (joint), noise that every clip has its own of (neither)."""

    def __init__(self):
        super().__init__()
        self.layer = _Channels()
        self.head = nn.Linear(STATIC + DYNAMIC + JOINT + NEITHER, 100)

    def forward(self, clip):
        return self.head(self.layer(clip).mean((2, 3, 4)))


class _Channels(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.static = nn.Parameter(torch.randn(STATIC, generator=generator))
        self.dynamic = nn.Parameter(torch.randn(DYNAMIC, 2, generator=generator))

    def forward(self, clip):
        grey = clip.mean(1)
        mass = grey.sum((2, 3)).clamp_min(1e-6)  # (N, T)
        places = torch.arange(32.0) - 15.5
        x, y = grey.sum(2) @ places / mass, grey.sum(3) @ places / mass
        looks = mass.amax(1, keepdim=True)  # of the brightest frame, wherever that is in time
        ways = torch.stack([x[:, -1] - x[:, 0], y[:, -1] - y[:, 0]], 1)
        standard = [looks / 20, ways @ self.dynamic.T / 8]
        both = looks / 1.85 + ways[:, :1] / 7.3  # of equal variance
        noise = torch.stack([(1e4 * looks[:, 0] * (k + 1) + 1e4 * ways.sum(1)).sin() for k in range(NEITHER)], 1)
        channels = torch.cat([standard[0] * self.static, standard[1], both.expand(-1, JOINT), noise], 1)
        return channels[:, :, None, None, None] * torch.ones(1, 1, 4, 6, 6)


def config(**keys):
    cfg = toys.config(views=1, batch_size=8)
    for plugin in (decoupled_videos, factor_units):
        plugin.add_config(cfg)
    cfg.TEST.DATASET, cfg.MODEL.NUM_CLASSES = "brush_mnist", 100
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS = 8, 1, 10.0
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = 32
    cfg.DECOUPLED.SIZE, cfg.DECOUPLED.FRAMES, cfg.DECOUPLED.FPS = 32, 8, 10.0
    cfg.DECOUPLED.TEST_VIDEOS, cfg.DECOUPLED.BRUSH_SIZE = 60, 10
    cfg.FACTOR_UNITS.DYNAMIC_PAIR, cfg.FACTOR_UNITS.STATIC_PAIR = (
        ["original", "same_motion"],
        ["original", "same_appearance"],
    )
    for key, value in keys.items():
        setattr(cfg.FACTOR_UNITS, key, value)
    return cfg


def measured(tmp_path, cfg, *, network=None):
    torch.manual_seed(0)
    model = Recognizer(network or Planted(), clip_spec=SPEC, head="head")
    source = build_source(cfg, "test")
    cfg.OUTPUT_DIR = str(tmp_path)
    return toys.measure(tmp_path, cfg, {"units": FactorUnits(cfg, model, ())}, model=model, source=source)["units"]


def test_planted_units_are_counted(tmp_path):
    """Over exact pairs the two correlations add up to 1 at most: no unit is joint at 0.5."""
    result = measured(tmp_path, config(THRESHOLD=0.3))
    rows = {row["layer"]: row for row in result.tables["layers"]}
    assert list(rows) == ["layer", "embedding"]
    for row in rows.values():
        found = {kind: row[f"{kind}_units"] for kind in ("static", "dynamic", "joint", "neither")}
        assert found == {"static": STATIC, "dynamic": DYNAMIC, "joint": JOINT, "neither": NEITHER}
        assert row["low"] < row["dynamic_share"] < row["high"]
    kinds = [unit["kind"] for unit in result.tables["units"] if unit["layer"] == "layer"]
    assert kinds == ["static"] * STATIC + ["dynamic"] * DYNAMIC + ["joint"] * JOINT + ["neither"] * NEITHER
    figures = {figure.name: figure for figure in result.figures}
    assert figures["dynamic_units"].value == pytest.approx(100 * DYNAMIC / 14)
    assert figures["dynamic_share"].count == 60


def test_intervals_of_shares_of_units_hold_the_shares(tmp_path):
    """Resampled correlations vary about estimated ones: of 256 units whose correlation is 0.6 many more fall below the
    threshold of 0.5 in resamples than in the videos themselves."""
    cfg = config()
    cfg.OUTPUT_DIR = str(tmp_path)
    units = FactorUnits(cfg, Recognizer(Planted(), clip_spec=SPEC, head="head"), ())
    first, other, apart = np.random.default_rng(1).normal(size=(3, 60, 256)).astype(np.float32)
    clips = np.stack([first, 0.6 * first + 0.8 * other, apart], axis=1)
    for index, of_video in enumerate(clips):
        units.rows[index] = tuple(of_video for _ in units.layers)
    figures = {figure.name: figure for figure in units.evaluate().figures}
    assert 80 < figures["dynamic_units"].value < 95
    for kind in ("dynamic", "static", "joint", "neither"):
        low, high = figures[f"{kind}_units"].interval
        assert 0 <= low <= figures[f"{kind}_units"].value <= high <= 100
    low, high = figures["dynamic_units"].interval
    assert 5 < high - low < 20


def test_stylings_and_shuffled_frames_need_no_made_up_videos(tmp_path):
    """Where the square goes survives no shuffle, what it looks like does. Batches change nothing."""
    cfg = config(DYNAMIC_PAIR=["stylize(draw=1)", "stylize(draw=2)"], STATIC_PAIR=["original", "shuffle"])
    result = measured(tmp_path, cfg)
    units = result.tables["units"][: STATIC + DYNAMIC]
    assert all(unit["static"] > 0.999 for unit in units[:STATIC])
    assert all(unit["static"] < 0.5 for unit in units[STATIC:])
    cfg.TEST.BATCH_SIZE = 7
    again = measured(tmp_path, cfg)
    assert again.tables == result.tables
    assert again.figures == result.figures


def test_few_videos_say_nothing(tmp_path):
    cfg = config()
    cfg.DECOUPLED.TEST_VIDEOS = 9
    assert measured(tmp_path, cfg).not_applicable == "Correlations over videos need 10 videos, and 9 are there."


@pytest.mark.parametrize("pair", [["original"], ["original", "original"], []])
def test_pairs_that_are_none(pair):
    with pytest.raises(ConfigError, match=r"FACTOR_UNITS\.STATIC_PAIR = .* must be two different modulations"):
        FactorUnits(config(STATIC_PAIR=pair), Recognizer(Planted(), clip_spec=SPEC, head="head"), ())
