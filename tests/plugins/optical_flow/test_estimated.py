"""Optical flow: known motion is found, in pixels, to the right and down; nothing is decoded or estimated twice."""

import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from torchvision.models import optical_flow

from pvbias.data.records import VideoRecord
from pvbias.errors import ConfigError, WeightsError
from pvbias.plugins.optical_flow import EstimatedFlow
from pvbias.registries import FLOW
from pvbias.video.flow_coding import BOUND, decode_flow
from pvbias.video.video import BadVideoError, frames_shown

HEIGHT, WIDTH = 48, 64


def texture(right=0.0, down=0.0, height=HEIGHT, width=WIDTH):
    """A sum of waves, moved by a way that need not be whole pixels: nothing is interpolated."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(float)
    image = np.zeros((height, width, 3))
    for _ in range(20):
        frequency, phase = rng.uniform(-0.4, 0.4, 2), rng.uniform(0, 2 * np.pi, 3)
        image += np.cos(frequency[0] * (x - right) + frequency[1] * (y - down))[..., None] * np.cos(phase)
    return np.clip(128 + 15 * image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", ["tvl1", "dis"])
@pytest.mark.parametrize("way", [(1.5, -0.75), (-3.0, 2.0), (0.0, 0.0)])
def test_known_motion_is_found(method, way):
    if method == "dis":
        pytest.importorskip("cv2")
    vectors = FLOW.get(method)()(texture(), texture(*way))
    assert vectors.shape == (HEIGHT, WIDTH, 2)
    assert vectors.dtype == np.float32
    error = np.linalg.norm(vectors - way, axis=-1)[8:-8, 8:-8]  # at the border there is nothing to match
    assert error.mean() < 0.1


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"pvbias\[flow\]"):
        FLOW.get("dis")()


def cached_weights(monkeypatch, folder, weights):
    monkeypatch.setenv("FVCORE_CACHE", str(folder))
    path = folder / "download.pytorch.org/models" / optical_flow.Raft_Small_Weights.DEFAULT.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    torch.save(weights, path)


def test_raft_is_torchvisions_on_padded_frames(monkeypatch, tmp_path):
    torch.manual_seed(0)
    network = optical_flow.raft_small().eval()
    cached_weights(monkeypatch, tmp_path, network.state_dict())
    estimator = FLOW.get("raft_small")()
    pair = texture(height=124, width=136), texture(2, 1, height=124, width=136)
    padded = [torch.from_numpy(np.pad(frame, ((0, 4), (0, 0), (0, 0)), mode="edge")) for frame in pair]
    tensors = optical_flow.Raft_Small_Weights.DEFAULT.transforms()(*(frame.permute(2, 0, 1)[None] for frame in padded))
    with torch.inference_mode():
        expected = network(*tensors)[-1][0, :, :124]
    vectors = estimator(*pair)
    assert vectors.shape == (124, 136, 2)
    np.testing.assert_allclose(vectors, expected.permute(1, 2, 0), atol=1e-4)


def test_raft_without_its_weights(monkeypatch, tmp_path):
    def unreachable(*args, **options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match=r"empty/download.pytorch.org/models/raft_large.*copy the file there"):
        FLOW.get("raft_large")()
    cached_weights(monkeypatch, tmp_path, {"other.weight": torch.zeros(3)})
    with pytest.raises(WeightsError, match="raft_small"):
        FLOW.get("raft_small")()


class Numbered:
    """Frames that show their own number; keeps the numbers of those that were read."""

    def __init__(self, timestamps, side=16):
        self.timestamps = np.asarray(timestamps, float)
        self.duration = self.timestamps[-1] + 0.5
        self.was_read = []
        self.closed = False
        self._side = side

    def read(self, times, size):
        needed, place = frames_shown(self.timestamps, times)
        self.was_read += needed.tolist()
        height, width = size(self._side, self._side)
        return np.broadcast_to(needed[place][:, None, None, None], (len(times), height, width, 3)).astype(np.uint8)

    def close(self):
        self.closed = True


class Videos:
    records, class_names, description = (), (), "numbers"

    def __init__(self, video):
        self._video = video

    def open(self, record):
        return self._video


def numbers(first, second):
    """As if to the right by the number of the first frame, and down by how many frames lie between."""
    return np.stack([first[..., 0], second[..., 0].astype(int) - first[..., 0]], axis=-1).astype(np.float32)


def open_flow(video):
    estimated = []

    def estimator(first, second):
        estimated.append(int(first[0, 0, 0]))
        return numbers(first, second)

    return EstimatedFlow(Videos(video), lambda: estimator).open(VideoRecord(path="a", name="a")), estimated


def same(height, width):
    return height, width


def test_frames_in_order_are_decoded_and_estimated_once():
    times = [0, 0.1, 0.4, 0.45, 0.9, 1.0, 1.7]
    video = Numbered(times)
    flow, estimated = open_flow(video)
    assert flow.timestamps is video.timestamps
    assert flow.duration == video.duration
    chunks = [flow.read(times[i:j], same) for i, j in ((0, 1), (1, 4), (4, 6), (6, 7))]
    vectors = decode_flow(np.concatenate(chunks))[:, 0, 0]
    np.testing.assert_allclose(vectors, [[0, 1], [1, 1], [2, 1], [3, 1], [4, 1], [5, 1], [5, 1]], atol=BOUND / 254)
    assert video.was_read == list(range(7))
    assert estimated == list(range(6))
    assert flow.figures["pairs"] == 6
    assert flow.figures["vectors"] == 6 * 16 * 16
    flow.close()
    assert video.closed


def test_any_order_and_size():
    flow, _ = open_flow(Numbered([0, 1, 2, 3, 4]))
    for times, expected in (([3, 0.5, 4.4, 0, 3], [3, 0, 3, 0, 3]), ([1, 2, 3], [1, 2, 3]), ([4], [3]), ([0], [0])):
        vectors = decode_flow(flow.read(times, same))[:, 0, 0]
        np.testing.assert_allclose(vectors[:, 0], expected, atol=BOUND / 254)
    assert flow.read([1], lambda height, width: (32, 20)).shape == (1, 32, 20, 3)


def test_what_is_beyond_the_code_is_counted():
    flow, _ = open_flow(Numbered(range(30)))
    vectors = decode_flow(flow.read(range(30), same))
    assert flow.figures["clipped"] == 8 * 16 * 16, "those from frames 21 to 28"
    assert vectors.max() == BOUND


def test_one_frame_does_not_move():
    flow, estimated = open_flow(Numbered([0.0]))
    assert not decode_flow(flow.read([0.0, 0.3], same)).any()
    assert not estimated
    with pytest.raises(BadVideoError, match="8 x 8 pixels"):
        open_flow(Numbered([0.0], side=8))[0].read([0.0], same)
