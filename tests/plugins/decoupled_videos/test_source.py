"""BrushMNIST and Places+Faces+MNIST as sources of videos: labels, names, seeds, splits, folders, errors."""

import json
import logging
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.config import complete, load_cfg
from pvbias.data import BadVideo, build_source, build_test_loader, count_classes, fingerprint
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.plugins.decoupled_videos.trajectories import digit_path, positions
from pvbias.run import run
from pvbias.video import BadVideoError

DATASETS = ("brush_mnist", "places_faces_mnist")
SMALL = {"SIZE": 32, "FRAMES": 12, "TRAIN_VIDEOS": 40, "VAL_VIDEOS": 20, "TEST_VIDEOS": 30}


def config(dataset, **keys):
    overrides = ["TRAIN.DATASET", dataset, "TEST.DATASET", dataset]
    for key, value in (SMALL | keys).items():
        overrides += [f"DECOUPLED.{key}", str(value)]
    return load_cfg(overrides=overrides)


def source_of(dataset, split="test", **keys):
    return build_source(config(dataset, **keys), split)


def frames_of(source, index, times=None):
    video = source.open(source.records[index])
    times = video.timestamps if times is None else times
    return video.read(list(times), lambda height, width: (height, width))


def picture(path, colour, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write_places(root, counts, splits=("",)):
    """Classes named as in ``counts``; the pictures of class c are grey 40 * c + 10, 40 * c + 11, ..."""
    for number, (name, count) in enumerate(counts.items()):
        for split in splits:
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                shade = 40 * number + 10 + index + (20 if split == "test" else 0)
                picture(root / split / name / f"{index}.png", (shade,) * 3)
    return str(root)


def background_shades(source, indices):
    """Grey level of each background, at a place where the face is not."""
    return [int(np.median(frames_of(source, index, [0.0]))) for index in indices]


def test_brush_mnist_is_a_grey_digit_that_moves_over_black():
    source = source_of("brush_mnist")
    for index in (0, 7, 23):
        frames = frames_of(source, index)
        assert frames.shape == (12, 32, 32, 3)
        assert (frames == frames[..., :1]).all(), "grey"
        patches = []
        for frame in frames[..., 0]:
            y, x = np.nonzero(frame)
            assert np.ptp(y) < 4
            assert np.ptp(x) < 4, "a brush of 32 / 8 pixels, the rest is black"
            patches.append(frame[y.min() : y.max() + 1, x.min() : x.max() + 1])
        assert all(np.array_equal(patch, patches[0]) for patch in patches), "the same brush all the time"
        assert len({frame.tobytes() for frame in frames}) > 6, "and it moves"


def test_motions_are_drawn_as_their_numbers():
    """A 1 is drawn downwards; 11 is a 1 twice, each in half of the time."""
    source = source_of("places_faces_mnist", PLACES=1, MOTIONS=12, FRAMES=24, BRUSH_SIZE=4)
    heights = {}
    for record in source.records[:12]:
        video = source.open(record)
        still = np.median(video.read(list(video.timestamps), lambda height, width: (height, width)), axis=0)
        frames = video.read(list(video.timestamps), lambda height, width: (height, width))
        moved = np.abs(frames.astype(int) - still).sum(axis=3) > 20
        heights[record.label] = [np.nonzero(frame)[0].mean() for frame in moved]
    once, twice = np.array(heights[1]), np.array(heights[11])
    assert once[0] < 8
    assert once[-1] > 24
    for half in (twice[:12], twice[12:]):
        assert half[0] < 8
        assert half[-1] > 24


def test_the_papers_largest_set():
    """P+F+M_256_256, Table 2: 65,536 classes; each third of 111 is a 1."""
    source = source_of("places_faces_mnist", PLACES=256, MOTIONS=256, FRAMES=24, TEST_VIDEOS=256)
    assert len(source.class_names) == 65536
    assert len({record.label % 256 for record in source.records}) == 256
    (record,) = (record for record in source.records if record.name.split("/")[-2].endswith("_motion111"))
    video = source.open(record)
    frames = video.read(list(video.timestamps), lambda height, width: (height, width)).astype(int)
    moved = np.abs(frames - np.median(frames, axis=0)).sum(axis=3) > 20
    heights = [np.nonzero(frame)[0].mean() for frame in moved]
    for first in (0, 8, 16):
        assert heights[first + 7] > heights[first] + 8


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_brushes_and_strokes_are_of_digits_of_the_videos_own_split(split):
    """A brush of 28 pixels is the digit's image as it is; the strokes are those of one of the split's ones."""
    own = load_digits("", split)
    others = [load_digits("", other) for other in ("train", "val", "test") if other != split]
    images = {image.tobytes() for image in own.images}
    assert not images & {image.tobytes() for digits in others for image in digits.images}
    source = source_of("brush_mnist", split, SIZE=60, BRUSH_SIZE=28, TEST_VIDEOS=40, VAL_VIDEOS=40, FRAMES=6)
    videos = [source.open(record) for record in source.records if record.attributes["motion"] == "shape 1"]
    assert len(videos) == 4
    paths = [digit_path(own.images[index], 1) for index in own.of_class[1]]
    ways = {np.rint(positions([path], 6) * (60 - 28)).tobytes() for path in paths}
    for video in videos:
        corners = video.centres - 13.5
        assert corners.astype(np.float32).tobytes() in ways
        x, y = corners[0].astype(int)
        frame = video.read([0.0], lambda height, width: (height, width))[0]
        assert frame[y : y + 28, x : x + 28, 0].tobytes() in images


def test_labels_and_class_names():
    expected = {
        "joint": (100, "brush 3 + shape 7", 37),
        "appearance": (10, "brush 3", 3),
        "motion": (10, "shape 7", 7),
    }
    for label, (count, name, number) in expected.items():
        source = source_of("brush_mnist", LABEL=label, TEST_VIDEOS=100)
        (record,) = (record for record in source.records if "/brush3_shape7/" in record.name)
        assert record.label == number
        assert source.class_names[number] == name
        assert len(source.class_names) == len(set(source.class_names)) == count_classes(source) == count
    source = source_of("places_faces_mnist", PLACES=3, MOTIONS=20, TEST_VIDEOS=60)
    (record,) = (record for record in source.records if "/place2_motion17/" in record.name)
    assert record.label == 2 * 20 + 17
    assert source.class_names[record.label] == "place 2 + motion 17"


def test_the_factors_are_attributes():
    source = source_of("brush_mnist", TEST_VIDEOS=100)
    assert len({(record.attributes["appearance"], record.attributes["motion"]) for record in source.records}) == 100
    for index, record in enumerate(source.records):
        appearance, motion = record.attributes["appearance"], record.attributes["motion"]
        assert source.class_names[record.label] == f"{appearance} + {motion}"
        assert record.attributes["tied"] == (appearance.split()[1] == motion.split()[1])
        assert record.attributes["index"] == index
    for context in ("in", "out"):
        records = source_of("places_faces_mnist", PLACES=3, MOTIONS=20, TEST_VIDEOS=60, CONTEXT=context).records
        assert {record.attributes["tied"] for record in records} == {context == "in"}


def test_names_tell_videos_apart_whose_pixels_differ():
    def folders(dataset="brush_mnist", **keys):
        return tuple(source_of(dataset, split, **keys).records[5].name.split("/")[0] for split in ("train", "test"))

    base = folders()
    assert base[0] == base[1]
    assert base[0].startswith("brush_mnist-")
    for same in ({"LABEL": "motion"}, {"TEST_VIDEOS": 20}, {"PLACES": 3}, {"BRUSH_SIZE": 4}):
        assert folders(**same) == base
    others = [{"SEED": 1}, {"SIZE": 40}, {"FRAMES": 13}, {"FPS": 25.0}, {"BRUSH_SIZE": 5}]
    assert len({base, *(folders(**keys) for keys in others), folders("places_faces_mnist")}) == 7
    assert folders(RHO=0.5)[0] != base[0]
    assert folders(RHO=0.5)[1] == base[1], "the test videos are the same"
    assert folders(CONTEXT="out")[0] == base[0]
    assert folders(CONTEXT="out")[1] != base[1]
    assert folders(CONTEXT="train") == base, "nothing is tied"
    tied = folders(CONTEXT="train", RHO=0.5)
    assert tied[0] == tied[1] == folders(RHO=0.5)[0]
    assert fingerprint(source_of("brush_mnist")) != fingerprint(source_of("brush_mnist", SEED=1))


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_video_is_a_pure_function_of_seed_split_and_index(dataset):
    source = source_of(dataset)
    frames = frames_of(source, 11)
    other_order = source_of(dataset, TEST_VIDEOS=12, LABEL="motion")
    frames_of(other_order, 2)
    np.testing.assert_array_equal(frames_of(other_order, 11), frames)
    np.testing.assert_array_equal(frames_of(source, 11, [0.3, 0.1]), frames[[9, 3]])
    for different in (source_of(dataset, "val"), source_of(dataset, "train"), source_of(dataset, SEED=1)):
        assert not np.array_equal(frames_of(different, 11), frames)


@pytest.mark.parametrize("dataset", DATASETS)
def test_sources_travel_light(dataset):
    source = source_of(dataset, TRAIN_VIDEOS=10_000, RHO=0.5)
    frames_of(source, 3)
    sent = pickle.dumps(source)
    assert len(sent) < 2000
    np.testing.assert_array_equal(frames_of(pickle.loads(sent), 3), frames_of(source, 3))


def test_other_processes_deliver_the_same_clips():
    """Loader workers are fresh interpreters, and take the videos in another order."""
    overrides = "MODEL.MODEL_NAME x3d_xs DATA.TEST_CROP_SIZE 24 DATA.TRAIN_CROP_SIZE 24 TEST.NUM_ENSEMBLE_VIEWS 2"
    overrides += " TEST.NUM_SPATIAL_CROPS 1"
    cfg = complete(load_cfg(overrides=overrides.split()), num_classes=128)
    source = source_of("places_faces_mnist", TEST_VIDEOS=6)
    loaded = []
    for workers in (0, 2):
        cfg.defrost()
        cfg.DATA_LOADER.NUM_WORKERS = workers
        loaded.append(list(build_test_loader(cfg, source, rank=0, world_size=1)))
    for one, other in zip(*loaded, strict=True):
        assert one.record == other.record
        assert one.clips.shape == (2, 3, 4, 24, 24)
        assert one.clips.equal(other.clips)


def test_masks_are_where_what_moves_is():
    """Nothing else changes from frame to frame, and a brush shines nowhere else."""
    overrides = ["MODEL.MODEL_NAME", "x3d_xs", "TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"]
    sizes = ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE", "TEST_SHORT_SIDE")
    overrides += [part for name in sizes for part in (f"DATA.{name}", "32")]
    cfg = complete(load_cfg(overrides=overrides), num_classes=128)
    for dataset, side in (("brush_mnist", 4), ("places_faces_mnist", 8)):
        source = source_of(dataset, TEST_VIDEOS=4)
        for video in build_test_loader(cfg, source, rank=0, world_size=1, tracks=["mask"]):
            (clip,), (mask,) = video.clips.int(), video.tracks["mask"]
            assert mask.sum((0, 2, 3)).tolist() == [side**2] * 4
            for before, after in ((0, 1), (1, 2), (0, 3)):
                still = (mask[0, before] | mask[0, after]) == 0
                assert torch.equal(clip[:, before, still], clip[:, after, still])
            assert any(not torch.equal(clip[:, 0], frame) for frame in clip.unbind(1))
            assert dataset != "brush_mnist" or not clip[:, mask[0] == 0].any()


def test_mirroring_is_warned_of(caplog):
    cfg = load_cfg(overrides=["MODEL.MODEL_NAME", "x3d_xs", "TRAIN.DATASET", "brush_mnist"])
    for flip, split, warned in ((True, "train", True), (True, "val", False), (False, "train", False)):
        cfg.DATA.RANDOM_FLIP = flip
        with caplog.at_level(logging.WARNING):
            build_source(complete(cfg, num_classes=100), split)
        assert ("DATA.RANDOM_FLIP" in caplog.text) == warned
        caplog.clear()


def test_pictures_from_folders(tmp_path):
    """Classes in natural order; 10 pictures of each: 7 for training, 1 for validation, 2 for testing."""
    folder = write_places(tmp_path / "places", {"place10": 10, "place2": 10, "kitchen": 10})
    for person in range(5):
        for index in range(2):
            picture(tmp_path / f"faces/someone/{person}/{index}.png", (200 + 10 * person, 0, 0), size=(9, 12))
    keys = {"PLACES_DIR": folder, "FACES_DIR": str(tmp_path / "faces"), "PLACES": 2, "MOTIONS": 3, "TEST_VIDEOS": 60}
    seen, reds = {}, {}
    for split in ("train", "val", "test"):
        source = source_of("places_faces_mnist", split, **keys | {"TRAIN_VIDEOS": 60, "VAL_VIDEOS": 60})
        assert source.class_names[4] == "place2 + motion 1", "kitchen, place2, place10"
        shades = background_shades(source, range(60))
        seen[split] = {label: set() for label in (0, 1)}
        for record, shade in zip(source.records, shades, strict=True):
            seen[split][record.label // 3].add(shade)
        reds[split] = {int(frames_of(source, index, [0.0])[..., 0].max()) for index in range(60)}
    # The third class written is the first in order, the second one is the second.
    assert [seen["train"][place] for place in (0, 1)] == [set(range(90, 97)), set(range(50, 57))]
    assert [seen["val"][place] for place in (0, 1)] == [{97}, {57}]
    assert [seen["test"][place] for place in (0, 1)] == [{98, 99}, {58, 59}]
    assert [reds[split] for split in ("train", "val", "test")] == [{200, 210, 220}, {230}, {240}], "new persons"


def test_folders_that_are_split_already(tmp_path):
    folder = write_places(tmp_path, {"sea": 8, "street": 8}, splits=("train", "test"))
    keys = {"PLACES_DIR": folder, "PLACES": 2, "MOTIONS": 1}
    shades = {
        split: set(background_shades(source_of("places_faces_mnist", split, **keys), range(0, 20, 2)))
        for split in ("train", "val", "test")
    }
    assert shades["train"] <= set(range(10, 17))
    assert shades["val"] == {17}
    assert shades["test"] <= set(range(30, 38))
    assert len(shades["test"]) > 3


def test_pictures_are_cut_out_of_the_middle(tmp_path):
    for index in range(3):
        wide = Image.new("RGB", (60, 20), (0, 0, 255))
        wide.paste((255, 0, 0), (20, 0, 40, 20))
        (tmp_path / "a").mkdir(exist_ok=True)
        wide.save(tmp_path / f"a/{index}.png")
    source = source_of("places_faces_mnist", PLACES_DIR=str(tmp_path), PLACES=1, MOTIONS=1, BRUSH_SIZE=1)
    frame = frames_of(source, 0, [0.0])[0].reshape(-1, 3)
    assert (frame[:, 2] > 128).sum() <= 1, "blue is at most the face"


def test_an_unreadable_picture_is_a_bad_video(tmp_path):
    folder = write_places(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "b/2.png").write_bytes(b"no picture")
    cfg = config("places_faces_mnist", PLACES_DIR=folder, PLACES=2, MOTIONS=2)
    source = build_source(cfg, "test")
    bad = next(index for index, record in enumerate(source.records) if "/b_" in record.name)
    with pytest.raises(BadVideoError, match=r"unreadable.*2\.png") as caught:
        source.open(source.records[bad])
    assert caught.value.cause == "unreadable"
    cfg.MODEL.MODEL_NAME = "x3d_xs"
    cfg.DATA_LOADER.NUM_WORKERS = 0
    videos = list(build_test_loader(complete(cfg, num_classes=4), source, rank=0, world_size=1))
    assert [isinstance(video, BadVideo) for video in videos] == ["/b_" in record.name for record in source.records]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"MOTIONS": 1001}, r"DECOUPLED\.MOTIONS = 1001 must lie in \[1, 1000\]"),
        ({"MOTIONS": 256, "FRAMES": 5}, r"DECOUPLED\.FRAMES = 5 must be at least 6: DECOUPLED\.MOTIONS = 256"),
        ({"MOTIONS": 0}, r"DECOUPLED\.MOTIONS = 0"),
        ({"PLACES": 0}, r"DECOUPLED\.PLACES = 0"),
        ({"BRUSH_SIZE": 33}, r"DECOUPLED\.BRUSH_SIZE = 33 must lie in \[1, 32\]"),
        ({"RHO": 1.01}, r"DECOUPLED\.RHO = 1\.01"),
        ({"LABEL": "place"}, r"DECOUPLED\.LABEL = 'place' must be one of 'joint', 'motion', 'appearance'"),
        ({"CONTEXT": "none"}, r"DECOUPLED\.CONTEXT = 'none'"),
        ({"CONTEXT": "out", "PLACES": 1}, "every appearance is tied"),
        ({"PLACES_DIR": "/nowhere"}, r"DECOUPLED\.PLACES_DIR = '/nowhere' is no folder"),
        ({"FACES_DIR": "/nowhere"}, r"DECOUPLED\.FACES_DIR = '/nowhere' is no folder"),
        ({"MNIST_DIR": "/nowhere"}, r"MNIST_DIR.*/nowhere"),
    ],
)
def test_keys_that_cannot_be(keys, message):
    with pytest.raises(ConfigError, match=message):
        source_of("places_faces_mnist", **keys)


def test_folders_that_cannot_be(tmp_path):
    def refused(error, message, **keys):
        with pytest.raises(error, match=message):
            source_of("places_faces_mnist", **keys)

    two = write_places(tmp_path / "two", {"a": 3, "b": 3})
    refused(ConfigError, r"DECOUPLED\.PLACES = 3.*has 2 folders", PLACES_DIR=two, PLACES=3)
    empty = write_places(tmp_path / "empty", {"a": 3, "hollow": 0})
    refused(DataError, r"hollow.*holds no image", PLACES_DIR=empty, PLACES=2)
    assert source_of("places_faces_mnist", PLACES_DIR=empty, PLACES=1).class_names[0] == "a + motion 0"
    few = write_places(tmp_path / "few", {"a": 3, "b": 2})
    refused(DataError, r"2 images in .*b.*one each", PLACES_DIR=few, PLACES=2)
    untested = write_places(tmp_path / "untested", {"a": 3, "b": 3}, splits=("train", "test"))
    (tmp_path / "untested/test/b").rename(tmp_path / "untested/test/c")
    refused(DataError, r"test.b.*holds no image", PLACES_DIR=untested, PLACES=2)
    picture(tmp_path / "faces/one.png", (1, 2, 3))
    refused(DataError, r"1 images in .*FACES_DIR", FACES_DIR=str(tmp_path / "faces"))


def test_a_run_says_what_it_measured(tmp_path):
    keys = "MODEL.MODEL_NAME x3d_xs TRAIN.ENABLE False BIAS.ENABLE False TEST.DATASET brush_mnist"
    keys += " DATA.TRAIN_CROP_SIZE 32 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0"
    keys += " DECOUPLED.SIZE 32 DECOUPLED.TEST_VIDEOS 3 DECOUPLED.CONTEXT out"
    run(load_cfg(overrides=[*keys.split(), "OUTPUT_DIR", str(tmp_path)]))
    results = json.loads((tmp_path / "results.json").read_text())["run"]
    assert re.fullmatch(
        r"brush_mnist-[0-9a-f]{8}/test: 10 appearances x 10 motions, out of context, joint labels, "
        r"150 frames of 32 x 32 pixels at 30 frames per second",
        results["data"],
    )
    assert results["num_videos"] == 3
    assert results["num_classes"] == 100


@pytest.mark.skipif("PVBIAS_REAL_DATA" not in os.environ, reason="PVBIAS_REAL_DATA is not set: no real pictures")
def test_real_pictures():
    data = Path(os.environ["PVBIAS_REAL_DATA"])
    folders = {"PLACES_DIR": data / "scenes/15scene", "FACES_DIR": data / "faces", "MNIST_DIR": data / "mnist"}
    seen = {}
    for split in ("train", "val", "test"):
        source = source_of("places_faces_mnist", split, PLACES=15, MOTIONS=100, SIZE=64, **folders)
        assert source.class_names[100].startswith("coast + ")
        seen[split] = {frames_of(source, index, [0.0]).tobytes() for index in range(20)}
    assert len(set.union(*seen.values())) == 60


def test_the_greedy_control_has_the_same_digits_under_other_names():
    walked, greedy = (source_of("brush_mnist", TRAJECTORIES=way) for way in ("walk", "greedy"))
    assert [record.label for record in greedy.records] == [record.label for record in walked.records]
    assert greedy.records[0].name != walked.records[0].name
    assert walked.records[0].name == source_of("brush_mnist").records[0].name
    frames = [[frames_of(source, index) for index in range(10)] for source in (walked, greedy)]
    assert any(not np.array_equal(*pair) for pair in zip(*frames, strict=True))
    for one, other in zip(*frames, strict=True):
        assert np.array_equal(np.sort(one.reshape(12, -1)), np.sort(other.reshape(12, -1))), "the same brush"
