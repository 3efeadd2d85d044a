"""The strips of frames in the report."""

import io

import pytest
import torch
from PIL import Image
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.data import VideoRecord
from pvbias.evaluation import SampleClips, VideoViews
from pvbias.models import Outputs
from pvbias.models.recognizer import Recognizer


def evaluator(class_names=(), modulations=()):
    cfg = get_cfg()
    cfg.BIAS.MODULATIONS = list(modulations)
    spec = ClipSpec(num_frames=1, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
    return SampleClips(cfg, Recognizer(nn.Sequential(nn.Linear(3, 30)), clip_spec=spec, head="0"), class_names)


def grey_ramp(num_views=1, num_frames=12, size=40):
    """Frame t is grey 20 t."""
    levels = (20 * torch.arange(num_frames)).to(torch.uint8)
    return levels.view(1, 1, -1, 1, 1).expand(num_views, 3, -1, size, size)


def feed(samples, labels, indices=None, clips=None):
    clips = grey_ramp() if clips is None else clips
    logits = torch.zeros(len(clips), 30)
    logits[:, 1] = 3.0
    for index, label in zip(indices or range(len(labels)), labels, strict=True):
        video = VideoViews(index=index, name=f"v{index}.mp4", label=label, clips=clips)
        samples.process(video, dict.fromkeys(samples.needs.modulations, Outputs({"": logits})))
    return samples


def shown(result):
    return list(dict.fromkeys(row["video"] for row in result.tables["samples"]))


def greys(image):
    """Grey level of each of the six frames of a strip."""
    picture = Image.open(io.BytesIO(image))
    assert picture.size == (480, 80)
    return [picture.getpixel((80 * i + 40, 40))[0] for i in range(6)]


def test_first_video_of_each_class_at_most_eight():
    labels = [0, 0, 1, 0, 2, 1, 3, 4, 5, 6, 7, 8, 9]
    result = feed(evaluator(), labels).evaluate()
    assert shown(result) == [f"v{i}.mp4" for i in (0, 2, 4, 6, 7, 8, 9, 10)]
    assert len(result.tables["samples"]) == len(result.images) == 8 * 4


def test_videos_without_labels():
    assert shown(feed(evaluator(), [None] * 20).evaluate()) == [f"v{i}.mp4" for i in range(8)]


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_together_choose_the_same_videos(world_size):
    labels = [i * i % 11 for i in range(40)]
    alone = feed(evaluator(), labels).evaluate()
    parts = [range(rank, len(labels), world_size) for rank in range(world_size)]
    rows = [feed(evaluator(), [labels[i] for i in part], part).rows for part in parts]
    assert all(len(part) <= 8 for part in rows)
    together = evaluator()
    together.rows = dict(sorted((index, row) for part in rows for index, row in part.items()))
    result = together.evaluate()
    assert result.tables == alone.tables
    assert result.images == alone.images


def test_strips_show_the_variants():
    result = feed(evaluator(), [0], clips=grey_ramp(num_views=3)).evaluate()
    strips = {row["variant"]: greys(result.images[row["image"]]) for row in result.tables["samples"]}
    ramp = [20 * t for t in (0, 2, 4, 7, 9, 11)]
    assert strips["original"] == pytest.approx(ramp, abs=3)
    assert strips["reverse"] == pytest.approx([220 - grey for grey in ramp], abs=3)
    assert strips["freeze_middle"] == pytest.approx([120] * 6, abs=3)
    assert strips["shuffle"] != pytest.approx(ramp, abs=3)


def test_strips_show_what_the_configuration_adds():
    result = feed(evaluator(modulations=["subsample(step=6)"]), [0]).evaluate()
    strips = {row["variant"]: greys(result.images[row["image"]]) for row in result.tables["samples"]}
    assert list(strips) == ["original", "shuffle", "reverse", "freeze_middle", "subsample(step=6)"]
    assert strips["subsample(step=6)"] == pytest.approx([0, 0, 0, 120, 120, 120], abs=3)


def test_rows_say_what_the_model_sees():
    row = feed(evaluator(["walk", "run"]), [0]).evaluate().tables["samples"][0]
    probability, content = row.pop("probability"), row.pop("content")
    assert len(content) == 16
    assert probability == pytest.approx(torch.tensor([3.0] + [0.0] * 29).softmax(0)[0].item())
    assert row == {
        "video": "v0.mp4",
        "label": "walk",
        "variant": "original",
        "predicted": "run",
        "image": "sample_000000_original.jpg",
    }


def test_clips_of_one_frame():
    image = next(iter(feed(evaluator(), [0], clips=grey_ramp(num_frames=1)).evaluate().images.values()))
    assert Image.open(io.BytesIO(image)).size == (80, 80)


def content_of(path, clips=None, **part):
    record = VideoRecord(path=str(path), name="v.mp4", **part)
    clips = grey_ramp() if clips is None else clips
    return VideoViews(index=0, name="v.mp4", label=0, clips=clips, record=record).content()


def test_a_video_is_known_by_its_file(tmp_path):
    """Not by its name, nor by how it is sampled; a part of it is another clip."""
    (tmp_path / "a").mkdir()
    for name, content in (("a/v.mp4", b"one"), ("v.mp4", b"two"), ("copy.mp4", b"one")):
        (tmp_path / name).write_bytes(content)

    one = content_of(tmp_path / "a/v.mp4")
    assert content_of(tmp_path / "copy.mp4") == one
    assert content_of(tmp_path / "copy.mp4", clips=grey_ramp(num_frames=4)) == one
    assert content_of(tmp_path / "v.mp4") != one
    assert content_of(tmp_path / "a/v.mp4", start=0.0, end=1.0) not in (one, content_of(tmp_path / "v.mp4"))


def test_a_video_that_is_made_up_is_known_by_its_pixels():
    brighter = grey_ramp() + 1

    assert content_of("made up 1") == content_of("made up 2")
    assert content_of("made up 1", clips=brighter) != content_of("made up 1")
