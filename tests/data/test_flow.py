"""Optical flow beside the frames: coded, stored, and on its way through resizing, cropping and mirroring."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.config import load_cfg
from pvbias.data import VideoRecord, build_source, build_test_loader, build_train_loader
from pvbias.data.bad_videos import BadVideoLog
from pvbias.data.flow import FlowFiles
from pvbias.errors import ConfigError, DataError
from pvbias.transcoding.batch_encoding import encode_all, plan_jobs
from pvbias.transcoding.encoding import Encoding
from pvbias.video.flow_coding import decode_flow, encode_flow, mirror_coded_flow, mirror_flow
from pvbias.video.video import frames_shown

from ..video.videos import data_cfg

SIDE, FRAMES = 64, 12
#: Pixels to the right and down, from one frame of the videos to the next.
WAY = (3, -2)


class CodedVideo:
    """Coded flow of ``FRAMES`` frames at ``times``; implements :class:`pvbias.video.Video`."""

    def __init__(self, vectors, times):
        self.timestamps = np.asarray(times, float)
        self.duration = float(2 * self.timestamps[-1] - self.timestamps[-2])
        self._images = encode_flow(vectors)

    def read(self, times, size):
        needed, place = frames_shown(self.timestamps, times)
        return self._images[needed][place]

    def close(self):
        pass


class CodedVideos:
    """The same flow for every record."""

    class_names, description = (), "made up"

    def __init__(self, names, vectors, times):
        self.records = [VideoRecord(path=name, name=name, label=0) for name in names]
        self._video = CodedVideo(vectors, times)

    def open(self, record):
        return self._video


def write_flow(folder: Path, names, vectors, times) -> Path:
    """What ``pvbias flow extract`` leaves."""
    source = CodedVideos(names, vectors, times)
    log = BadVideoLog(str(folder), 0.0)
    encoding = Encoding(short_side=8192, lossless=True)
    encode_all(plan_jobs(source.records), source, folder, encoding, workers=0, log=log, progress=False)
    return folder


def smooth_texture(rng) -> np.ndarray:
    """A picture ``(SIDE, SIDE, 3)`` that goes on at the other side where it ends."""
    y, x = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / SIDE)
    waves = [np.cos(k * x + m * y + rng.uniform(0, 6, (3, 1, 1))) for k in range(1, 4) for m in range(-3, 4)]
    texture = np.sum(waves, axis=0).transpose(1, 2, 0)
    return (128 + 100 * texture / np.abs(texture).max()).round().astype(np.uint8)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Folders of images that all move by WAY from frame to frame, their annotation, and the folder of their flow."""
    folder = tmp_path_factory.mktemp("moving")
    names = [f"v{number}" for number in range(8)]
    for number, name in enumerate(names):
        texture = smooth_texture(np.random.default_rng(number))
        (folder / name).mkdir()
        for frame in range(FRAMES):
            image = np.roll(texture, (WAY[1] * frame, WAY[0] * frame), axis=(0, 1))
            Image.fromarray(image).save(folder / name / f"{frame:03d}.png")
    annotation = folder / "all.csv"
    annotation.write_text("".join(f"{name} 0\n" for name in names))
    vectors = np.broadcast_to(np.array(WAY, np.float32), (FRAMES, SIDE, SIDE, 2))
    return annotation, write_flow(folder / "flow", names, vectors, np.arange(FRAMES) / 30)


def configured(moving, *, crop=48, short_side=64, **data):
    annotation, folder = moving
    sizes = {"SAMPLING_RATE": 1, "TRAIN_CROP_SIZE": crop, "TEST_CROP_SIZE": crop, "TEST_SHORT_SIDE": short_side}
    jitter = {"TRAIN_JITTER_SCALES": [short_side, short_side]}
    return data_cfg(annotation, **({"FLOW_DIR": str(folder)} | sizes | jitter | data))


def train_batches(cfg):
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1, tracks=["flow"])
    return [batch for epoch in range(3) for batch in loader.epoch(epoch)]


def is_where_the_flow_says(clip: torch.Tensor, way, *, tolerance: float) -> bool:
    """Whether each frame of a clip ``(3, T, S, S)`` shows what the one before did, moved by ``way`` (whole pixels)."""
    u, v = round(way[0]), round(way[1])
    side = clip.shape[-1]
    inner = [(max(0, -way), min(side, side - way)) for way in (v, u)]
    (top, bottom), (left, right) = inner
    before = clip[:, :-1, top:bottom, left:right].int()
    after = clip[:, 1:, top + v : bottom + v, left + u : right + u].int()
    return bool((before - after).abs().max() <= tolerance)


def test_a_coded_vector_is_at_most_0_08_pixels_off():
    vectors = np.stack(np.meshgrid(np.linspace(-20, 20, 999), [-20, -3.3, 0, 0.01, 20]), -1).astype(np.float32)
    assert np.abs(decode_flow(encode_flow(vectors)) - vectors).max() < 0.079
    assert decode_flow(encode_flow(np.zeros((2, 2), np.float32))).tolist() == [[0, 0], [0, 0]]
    assert decode_flow(encode_flow(np.array([-25.0, 1000.0]))).tolist() == [-20, 20]
    assert encode_flow(vectors).dtype == np.uint8


def test_mirrored_vectors_point_the_other_way():
    vectors = np.array([[[1.0, 2.0], [-3.0, 4.0]]], np.float32)  # (1, w, 2)
    assert mirror_flow(vectors).tolist() == [[[3.0, 4.0], [-1.0, 2.0]]]
    wide = np.random.default_rng(0).uniform(-25, 25, (3, 4, 5, 2))
    np.testing.assert_array_equal(mirror_coded_flow(encode_flow(wide)), encode_flow(mirror_flow(wide)))


def test_training_clips_and_their_flow_are_cropped_and_mirrored_alike(moving):
    seen = set()
    for batch in train_batches(configured(moving)):
        assert batch.tracks["flow"].shape == (4, 2, 4, 48, 48)
        assert batch.tracks["flow"].dtype == torch.float16
        for clip, flow in zip(batch.clips, batch.tracks["flow"], strict=True):
            u, v = flow.float().mean((1, 2, 3)).tolist()
            assert (flow.float() - torch.tensor([u, v])[:, None, None, None]).abs().max() < 1e-3
            assert (abs(u), v) == pytest.approx((3, -2), abs=0.08)
            assert is_where_the_flow_says(clip, (u, v), tolerance=0)
            assert not is_where_the_flow_says(clip, (-u, v), tolerance=10)
            seen.add(u > 0)
    assert seen == {True, False}  # mirrored half of the time


def test_resizing_scales_the_vectors(moving):
    for batch in train_batches(configured(moving, crop=96, short_side=128)):
        for clip, flow in zip(batch.clips, batch.tracks["flow"], strict=True):
            u, v = flow.float().mean((1, 2, 3)).tolist()
            assert (abs(u), v) == pytest.approx((6, -4), abs=0.16)
            assert is_where_the_flow_says(clip, (u, v), tolerance=16)
            assert not is_where_the_flow_says(clip, (u / 2, v / 2), tolerance=16)


def test_random_crops_of_other_shapes_scale_each_direction_by_itself(moving):
    shapes = {"TRAIN_JITTER_SCALES_RELATIVE": [0.3, 1.0], "TRAIN_JITTER_ASPECT_RELATIVE": [0.5, 2.0]}
    ratios = set()
    for batch in train_batches(configured(moving, RANDOM_FLIP=False, **shapes)):
        for clip, flow in zip(batch.clips, batch.tracks["flow"], strict=True):
            u, v = flow.float().mean((1, 2, 3)).tolist()
            # The crop of side 48 shows 48 * 3 / u pixels of the frame, a fraction of it; and its frames move so.
            assert u * 64 / 48 * 1.02 >= 3
            assert -v * 64 / 48 * 1.02 >= 2
            moved = torch.nn.functional.grid_sample(
                clip.float().transpose(0, 1)[1:],
                _grid(48, u, v).expand(3, -1, -1, -1),
                align_corners=False,
            )
            margin = 12
            inside = (slice(None), slice(None), slice(margin, -margin), slice(margin, -margin))
            assert (moved[inside] - clip.float().transpose(0, 1)[:-1][inside]).abs().mean() < 4
            ratios.add(round(u / -v, 1))
    assert len(ratios) > 3


def _grid(side: int, u: float, v: float) -> torch.Tensor:
    """Where ``grid_sample`` has to look for what moved by (u, v) pixels."""
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres + 2 * v / side, centres + 2 * u / side, indexing="ij")
    return torch.stack([x, y], -1)[None]


def test_flow_does_not_depend_on_how_far_a_clips_frames_are_apart(moving):
    for batch in train_batches(configured(moving, SAMPLING_RATE=2, RANDOM_FLIP=False)):
        for clip, flow in zip(batch.clips, batch.tracks["flow"], strict=True):
            assert flow.float().mean((1, 2, 3)).tolist() == pytest.approx([3, -2], abs=0.08)
            assert is_where_the_flow_says(clip, (6, -4), tolerance=0)


def test_flow_of_a_video_of_another_length_is_refused(moving):
    # Folders of images are shown at the target rate, and their flow was estimated at another one.
    with pytest.raises(DataError, match=r"lasts 0\.800 s.*flow 0\.400 s"):
        train_batches(configured(moving, TARGET_FPS=15.0))


def test_a_variable_rate_counts_in_seconds(tmp_path):
    # The same way in 1/10 s, then in 3/10 s, and again.
    way = 12 * 20 / 127  # pixels, a whole grey level
    times = np.cumsum([0, 0.1, 0.3, 0.1, 0.3])
    folder = write_flow(tmp_path, ["v"], np.full((5, 16, 16, 2), way), times)
    flow = FlowFiles(str(folder)).open_flow(VideoRecord(path="v", name="v"))
    velocity = flow.velocity([0.0, 0.15, 0.45, 0.7, 0.8], lambda height, width: (16, 8))
    assert velocity.shape == (5, 16, 8, 2)
    assert velocity[:, 8, 4, 1] == pytest.approx(way * np.array([10, 10 / 3, 10, 10 / 3, 10 / 3]), rel=1e-3)
    assert velocity[:, 8, 4, 0] == pytest.approx(way * np.array([5, 5 / 3, 5, 5 / 3, 5 / 3]), rel=1e-3)
    flow.close()


def test_test_views_have_theirs(moving):
    cfg = configured(moving, crop=32, short_side=32)
    loader = build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1, tracks=["flow"])
    for video in loader:
        assert video.tracks["flow"].shape == (len(video.clips), 2, 4, 32, 32)
        assert video.tracks["flow"].float().mean((0, 2, 3, 4)).tolist() == pytest.approx([1.5, -1], abs=0.05)


def test_clips_of_flow(moving):
    cfg = configured(moving, MODALITY="flow")
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1)
    right = set()
    for epoch in range(3):
        for batch in loader.epoch(epoch):
            assert not batch.tracks
            assert (batch.clips[:, 2] == 128).all()
            for clip in batch.clips:
                vectors = decode_flow(clip.permute(1, 2, 3, 0).numpy())
                assert np.abs(vectors[..., 1] + 2).max() < 0.08
                assert np.ptp(vectors[..., 0]) == 0
                right.add(round(float(vectors[0, 0, 0, 0])))
    assert right == {-3, 3}
    for video in build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1):
        assert decode_flow(video.clips.permute(0, 2, 3, 4, 1).numpy()).mean((0, 1, 2, 3)) == pytest.approx(
            [3, -2], abs=0.08
        )


def test_clips_of_flow_need_no_videos(moving, tmp_path):
    annotation, folder = moving
    elsewhere = tmp_path / "all.csv"
    elsewhere.write_text(annotation.read_text())
    cfg = configured((elsewhere, folder), MODALITY="flow")
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1)
    assert sum(len(batch.bad) for batch in loader.epoch(0)) == 0


def stacked(frames: int) -> dict:
    """Keys of clips that show RGB and ``frames`` stacked flow frames."""
    return {"MODALITY": "rgb+flow", "MEAN": [0.5] * (3 + 2 * frames), "STD": [0.5] * (3 + 2 * frames)}


def test_clips_of_rgb_and_flow(moving):
    cfg = configured(moving, **stacked(2))
    right = set()
    for epoch in range(3):
        loader = build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1)
        for batch in loader.epoch(epoch):
            assert batch.clips.shape == (4, 7, 4, 48, 48)
            for clip in batch.clips:
                vectors = [decode_flow(clip[place : place + 2].permute(1, 2, 3, 0).numpy()) for place in (3, 5)]
                u, v = vectors[0][0, 0, 0].tolist()
                assert (abs(u), v) == pytest.approx((3, -2), abs=0.08)
                assert all(np.ptp(flow, axis=(0, 1, 2)).max() == 0 for flow in vectors)
                assert is_where_the_flow_says(clip[:3], (u, v), tolerance=0)
                right.add(round(u))
    assert right == {-3, 3}


@pytest.fixture(scope="module")
def slowing(moving, tmp_path_factory):
    """The same videos with flow that says something else of each frame: 10 pixels down less half the frame's number."""
    annotation, _ = moving
    names = [f"v{number}" for number in range(8)]
    vectors = np.zeros((FRAMES, SIDE, SIDE, 2), np.float32)
    vectors[..., 1] = (10 - np.arange(FRAMES) / 2)[:, None, None]
    return annotation, write_flow(tmp_path_factory.mktemp("slowing"), names, vectors, np.arange(FRAMES) / 30)


@pytest.mark.parametrize("rate", [1, 2])
def test_stacked_flow_is_that_of_the_frames_that_follow(slowing, rate):
    cfg = configured(slowing, SAMPLING_RATE=rate, crop=64, **stacked(3))
    for video in build_test_loader(cfg, build_source(cfg, "test"), rank=0, world_size=1):
        down = (video.clips[:, [4, 6, 8], :, 32, 32].double() - 128) * 20 / 127  # (V, k, T)
        frames = 2 * (10 - down)
        # Where the video has no frame any more, the last vector stays: that of the frame before the last.
        start = frames[:, :1, :1]
        expected = (start + torch.arange(3)[None, :, None] + rate * torch.arange(4)[None, None]).clamp(max=FRAMES - 1)
        assert (frames - expected).abs().max() < 0.35  # 0.16 from coding twice, of 0.5 between frames


def test_the_normalisation_of_rgb_and_flow_has_a_value_for_each_channel():
    for modality, means, message in (
        ("rgb+flow", 3, r"DATA\.MEAN = .*3 \+ 2k means.* there are 3 means and 5 standard deviations"),
        ("rgb+flow", 7, r"DATA\.MEAN = .*7 means and 5 standard deviations"),
        ("rgb", 5, r"DATA\.MEAN = .*'rgb' are normalised with 3 means.* there are 5 means"),
        ("rgb+flow", 6, r"DATA\.MEAN = .*two more for each flow frame"),
    ):
        data = {"DATA.MODALITY": modality, "DATA.MEAN": [0.5] * means, "DATA.STD": [0.5] * 5}
        with pytest.raises(ConfigError, match=message):
            load_cfg(overrides=[str(part) for pair in data.items() for part in pair])


def test_a_video_without_flow_is_a_bad_one(moving, tmp_path):
    annotation, _ = moving
    names = [f"v{number}" for number in range(7)]
    vectors = np.zeros((FRAMES, SIDE, SIDE, 2), np.float32)
    folder = write_flow(tmp_path / "flow", names, vectors, np.arange(FRAMES) / 30)
    bad = [video for batch in train_batches(configured((annotation, folder))) for video in batch.bad]
    assert {video.name for video in bad} == {"v7"}
    assert "pvbias flow extract" in bad[0].detail
    empty = configured((annotation, write_flow(tmp_path / "other", ["w"], vectors, np.arange(FRAMES) / 30)))
    with pytest.raises(DataError, match="has no optical flow of it"):
        train_batches(empty)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"FLOW_DIR": ""}, "DATA.FLOW_DIR is empty.*pvbias flow extract"),
        ({"FLOW_DIR": "nowhere"}, "'nowhere' holds no optical flow"),
        ({"MODULATION": "reverse"}, "DATA.MODULATION = 'reverse' changes what the clips show"),
    ],
)
def test_flow_that_cannot_be_had_is_said_before_training(moving, data, message):
    cfg = configured(moving, **data)
    with pytest.raises(ConfigError, match=message):
        build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1, tracks=["flow"])
