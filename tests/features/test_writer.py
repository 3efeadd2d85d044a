"""The evaluator that writes features: in any number of attempts and parts the same files."""

from contextlib import suppress
from itertools import repeat

import numpy as np
import pytest
import torch

from pvbias.clips import modulation, view_seeds
from pvbias.data import BadVideo, build_test_loader
from pvbias.errors import DataError
from pvbias.evaluation import VideoViews, measure_shard
from pvbias.features import folder as on_disk
from pvbias.features.folder import directory_of
from pvbias.features.writer import FeatureWriter
from pvbias.models.outputs import Features, Outputs
from pvbias.models.recognizer import Recognizer
from pvbias.shard import Shard

from ..evaluation.toys import SETTINGS, NoiseSource, config, measure, recognizer

KEYS = (("embedding", "original"), ("conv", "shuffle"), ("logits", "shuffle"))
BAD, NUM_VIDEOS, VIEWS = (5, 17), 130, 3


class Killed(BaseException):
    """Nothing catches it."""


class Mortal(FeatureWriter):
    """Dies of its ``life``-th video."""

    def __init__(self, *args, life=0):
        super().__init__(*args)
        self.left = iter(range(life - 1)) if life else repeat(0)

    def process(self, video, outputs):
        if next(self.left, None) is None:
            raise Killed
        super().process(video, outputs)


def write(folder, *, life=0, keys=KEYS, source=None, shard=None, **features):
    """Write features, or die of it; the writer and the names of the videos that were opened."""
    cfg, model, source = config(), recognizer(), source or NoiseSource(BAD, NUM_VIDEOS)
    cfg.OUTPUT_DIR = str(folder)
    cfg.FEATURES.update(features)
    writer = Mortal(cfg, model, keys, folder / "partial/arrays", folder, life=life)
    partial = folder / "partial"
    with suppress(Killed):
        if shard is None:
            measure(folder, cfg, {"features": writer}, model=model, source=source, keep=partial)
        else:
            measure_shard(cfg, model, source, {"features": writer}, shard, settings=SETTINGS, keep=partial)
    return writer, source.opened


def files(folder, keys=KEYS):
    return {key: (folder / directory_of(key) / "00000.npy").read_bytes() for key in keys}


def array(folder, key):
    return np.load(folder / directory_of(key) / "00000.npy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, write(folder)[0]


def test_features_are_those_of_the_model(whole):
    """As it gives them for the views of one video after another."""
    folder, writer = whole
    model = recognizer().eval()
    good = 0
    for video in build_test_loader(config(), NoiseSource(BAD, NUM_VIDEOS), rank=0, world_size=1):
        if isinstance(video, BadVideo):
            continue
        assert writer.videos[good] == video.index
        clips = video.clips
        shuffled = modulation("shuffle")(clips, view_seeds(0, video.record.name, len(clips)))
        with torch.no_grad():
            one = model.outputs(clips.float() / 255, ["embedding"]).features["embedding"]
            other = model.outputs(shuffled.float() / 255, ["conv"])
        expected = [one, other.features["conv"].mean((2, 3, 4)), other.logits]
        for key, values in zip(KEYS, expected, strict=True):
            np.testing.assert_allclose(array(folder, key)[good], values.numpy(), rtol=1e-4, atol=1e-5)
        good += 1
    assert good == NUM_VIDEOS - len(BAD) == len(writer.videos) == len(array(folder, KEYS[0]))
    assert writer.views.tolist() == [VIEWS] * good


def test_killed_again_and_again_they_are_the_same(whole, tmp_path):
    """And no video is decoded again whose chunk was through."""
    opened = [write(tmp_path, life=life)[1] for life in (30, 1, 50)]
    opened.append(write(tmp_path)[1])
    assert files(tmp_path) == files(whole[0])
    assert sum(map(len, opened)) < NUM_VIDEOS + 3 * 4  # chunks of two


def test_in_parts_they_are_the_same(whole, tmp_path):
    for index in (2, 0, 1):
        write(tmp_path, shard=Shard(index, 3))
    _, opened = write(tmp_path)
    assert opened == []
    assert files(tmp_path) == files(whole[0])


def test_what_a_machine_took_with_it_is_computed_again(whole, tmp_path):
    write(tmp_path, life=60)  # after 30 chunks of two and a video: two of the 61 are bad
    (file,) = (tmp_path / "partial/arrays").glob("*.features")
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    of_one = VIEWS * (4 + 4 + 6) * 4
    file.write_bytes(content[: -of_one - 40])
    _, opened = write(tmp_path)
    assert len(opened) == NUM_VIDEOS - 60 + 2 + 2
    assert files(tmp_path) == files(whole[0])


def test_videos_may_have_different_numbers_of_views(tmp_path, monkeypatch):
    """As windows do; in shards of any size."""
    monkeypatch.setattr(on_disk, "SHARD_BYTES", 5 * 4 * 4)
    writer = FeatureWriter(config(), recognizer(), KEYS[:1], tmp_path / "arrays", tmp_path)
    values = [torch.randn(views, 4, generator=torch.Generator().manual_seed(views)) for views in (2, 7, 1, 3)]
    for number, value in enumerate(values):
        outputs = {"original": Outputs({"": value}, Features({"embedding": value}))}
        writer.process(VideoViews(index=3 * number, name="a.mp4", label=None, clips=value), outputs)
    writer.evaluate()
    assert writer.videos.tolist() == [0, 3, 6, 9]
    assert [np.load(file).shape for file in sorted(tmp_path.glob("embedding/*/*.npy"))] == [(2, 4), (7, 4), (4, 4)]
    on_disk.write_views(tmp_path, writer.views)
    on_disk.write_videos(tmp_path, ((number, f"{number}.mp4", None, {}) for number in writer.videos.tolist()))
    named = {"class_names": (), "logit_names": (), "fingerprint": on_disk.Fingerprint()}
    on_disk.write_manifest(tmp_path, writer.shards, num_classes=0, uneven=True, **named)
    features = on_disk.read_features(tmp_path)
    for found, value in zip(features.arrays[KEYS[0]], values, strict=True):
        np.testing.assert_array_equal(found, value)
    means = torch.stack([value.mean(0) for value in values])
    torch.testing.assert_close(torch.tensor(features.videos()), means)
    for index in (slice(None), [0, 1]):
        with pytest.raises(ValueError, match="1 to 7 views"):
            features.arrays[KEYS[0]][index]


def test_positions_can_be_kept_and_numbers_be_short(whole, tmp_path):
    write(tmp_path, POOL="none", DTYPE="float16")
    kept = array(tmp_path, KEYS[1])
    assert (kept.shape, kept.dtype) == ((NUM_VIDEOS - len(BAD), VIEWS, 4, 8, 8, 4), np.float16)
    means = kept.astype(np.float32).mean((2, 3, 4))
    np.testing.assert_allclose(means, array(whole[0], KEYS[1]), rtol=1e-2, atol=1e-3)


def test_what_float16_does_not_hold_is_refused(tmp_path, monkeypatch):
    outputs = Recognizer.outputs

    def larger(self, clip, features=()):
        return outputs(self, clip, features).map(lambda value: value * 1e6)

    monkeypatch.setattr(Recognizer, "outputs", larger)
    with pytest.raises(DataError, match=r"'embedding' of video '0.mp4' \(original clips\).*float16"):
        write(tmp_path, keys=KEYS[:1], DTYPE="float16")
