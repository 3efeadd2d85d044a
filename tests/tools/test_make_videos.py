"""Files of generated videos: what is written, and that they are read as what they were made from."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_test_loader, build_train_loader
from pvbias.data.annotations import read_annotation
from pvbias.errors import ConfigError, DataError
from pvbias.tools.main import main
from pvbias.tools.make_videos import make_videos
from pvbias.transcoding.encoding import Encoding, encode
from pvbias.video.decoding import FileVideo

BRUSH = {"SIZE": 32, "FRAMES": 12, "TRAIN_VIDEOS": 8, "VAL_VIDEOS": 4, "TEST_VIDEOS": 6}
LOSSLESS = Encoding(lossless=True, short_side=8192)


def overrides(dataset="brush_mnist", **keys):
    pairs = {"TRAIN.DATASET": dataset, "TEST.DATASET": dataset}
    pairs |= {f"DECOUPLED.{key}": value for key, value in (BRUSH | keys).items()}
    return [str(part) for pair in pairs.items() for part in pair]


def write(out, splits=("test",), encoding=LOSSLESS, dataset="brush_mnist", suffix="", **keys):
    cfg = load_cfg(overrides=overrides(dataset, **keys))
    return make_videos(cfg, out, splits, encoding=encoding, workers=0, suffix=suffix, progress=False)


def run_config(*more, crop=32):
    """A completed configuration of clips that are as large as the videos, or larger or smaller."""
    keys = f"MODEL.MODEL_NAME x3d_xs DATA.TRAIN_CROP_SIZE {crop} DATA.TEST_CROP_SIZE {crop} DATA.TEST_SHORT_SIDE {crop}"
    keys += " TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 1 DATA_LOADER.NUM_WORKERS 0 TRAIN.BATCH_SIZE 4"
    keys += f" DATA.RANDOM_FLIP False DATA.SAMPLING_RATE 2 DATA.TRAIN_JITTER_SCALES [{crop},{crop + 8}]"
    return complete(load_cfg(overrides=[*keys.split(), *more]), num_classes=128)


@pytest.mark.parametrize(
    ("dataset", "crop", "keys"),
    [
        ("brush_mnist", 32, {}),
        ("brush_mnist", 24, {"FPS": 24.0}),
        ("places_faces_mnist", 48, {"SIZE": 33, "FPS": 29.97}),
    ],
)
def test_lossless_files_give_the_same_batches(tmp_path, dataset, crop, keys):
    write(tmp_path, ("train", "test"), dataset=dataset, **keys)
    files = [f"DATA.PATH_TO_DATA_DIR {tmp_path} DATA.CLASS_NAMES_FILE {tmp_path}/class_names.txt".split()]
    configs = [run_config(*overrides(dataset, **keys), crop=crop), run_config(*files[0], crop=crop)]
    generated, read = ([build_source(cfg, split) for split in ("train", "test")] for cfg in configs)
    for made, found in zip(generated, read, strict=True):
        assert tuple(made.class_names) == found.class_names
        assert [(record.name, record.label) for record in made.records] == [
            (record.name, record.label) for record in found.records
        ]
    views = [list(build_test_loader(configs[0], source[1], rank=0, world_size=1)) for source in (generated, read)]
    for made, found in zip(*views, strict=True):
        assert (made.record.name, made.record.label) == (found.record.name, found.record.label)
        assert made.clips.shape == (2, 3, 4, crop, crop)
        assert made.clips.equal(found.clips)
    batches = [
        list(build_train_loader(configs[0], source[0], rank=0, world_size=1).epoch(0)) for source in (generated, read)
    ]
    assert len(batches[0]) == 2
    for made, found in zip(*batches, strict=True):
        assert made.names == found.names
        assert torch.equal(made.labels, found.labels)
        assert torch.equal(made.clips, found.clips)


def test_what_is_written(tmp_path):
    summary = write(tmp_path, ("train", "val", "test"), Encoding(short_side=8192))
    assert summary.splitlines()[0].startswith("train 8 videos, 8 files (0 of them before this run), 96 frames")
    source = build_source(load_cfg(overrides=overrides()), "test")
    lines = (tmp_path / "test.csv").read_text().splitlines()
    assert lines == [f"{record.name} {record.label}" for record in source.records]
    with_attributes = read_annotation(tmp_path / "test.jsonl").records
    assert [record.attributes for record in with_attributes] == [record.attributes for record in source.records]
    assert [record.label for record in with_attributes] == [record.label for record in source.records]
    assert (tmp_path / "class_names.txt").read_text().splitlines() == list(source.class_names)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.mp4*")}
    listed = [line.split()[0] for split in ("train", "val", "test") for line in (tmp_path / f"{split}.csv").open()]
    assert files == set(listed)
    assert len(files) == 18
    with FileVideo(str(tmp_path / source.records[2].name)) as video:
        assert video.timestamps.tolist() == pytest.approx([number / 30 for number in range(12)])
        assert video.duration == pytest.approx(12 / 30)
        frames = video.read(list(video.timestamps), lambda height, width: (height, width))
    made = source.open(source.records[2]).read([number / 30 for number in range(12)], lambda *size: size)
    error = np.square(frames.astype(float) - made).mean()
    assert 0 < error < 65, "not lossless, but better than 30 dB"


def test_other_labels_of_the_same_files(tmp_path):
    write(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    summary = write(tmp_path, suffix="_motion", LABEL="motion")
    assert "6 files (6 of them before this run)" in summary
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")} == stamps
    joint, motion = ((tmp_path / name).read_text().split() for name in ("test.csv", "test_motion.csv"))
    assert joint[::2] == motion[::2]
    assert [int(label) % 10 for label in joint[1::2]] == [int(label) for label in motion[1::2]]
    assert (tmp_path / "class_names_motion.txt").read_text().splitlines()[3] == "shape 3"
    assert len((tmp_path / "class_names.txt").read_text().splitlines()) == 100
    with pytest.raises(ConfigError, match="begun with"):
        write(tmp_path, encoding=Encoding(short_side=8192))


def test_goes_on_and_leaves_bad_videos_out(tmp_path):
    for number in range(3):
        (tmp_path / f"places/{number}").mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (9, 9), (90, 60, 30)).save(tmp_path / f"places/{number}/{index}.png")
    broken = tmp_path / "places/1/2.png"
    good = broken.read_bytes()
    broken.write_bytes(bytes(len(good)))
    keys = {"dataset": "places_faces_mnist", "PLACES_DIR": str(tmp_path / "places"), "PLACES": 3, "MOTIONS": 2}
    with pytest.raises(DataError, match="2 of 6 videos"):
        write(tmp_path / "out", **keys)
    listed = (tmp_path / "out/test.csv").read_text().splitlines()
    assert len(listed) == 4, "all others are written"
    bad = [json.loads(line) for line in (tmp_path / "out/bad_videos.jsonl").read_text().splitlines()]
    assert {(entry["cause"], entry["split"]) for entry in bad} == {("unreadable", "test")}
    assert all("2.png" in entry["detail"] for entry in bad)
    broken.write_bytes(good)
    assert "6 files (4 of them before this run)" in write(tmp_path / "out", **keys)
    assert not (tmp_path / "out/bad_videos.jsonl").exists()
    assert len((tmp_path / "out/test.csv").read_text().splitlines()) == 6


def test_any_data_set_can_be_written(bar_videos, tmp_path):
    """Files are re-encoded at their size, with their labels."""
    cfg = load_cfg(overrides=["DATA.TEST_SPLIT", str(bar_videos / "test.csv")])
    make_videos(cfg, tmp_path, ["test"], encoding=LOSSLESS, workers=0, progress=False)
    assert (tmp_path / "test.csv").read_text() == (bar_videos / "test.csv").read_text()
    name = (tmp_path / "test.csv").read_text().split()[0]
    pair = [FileVideo(str(folder / name)) for folder in (bar_videos, tmp_path)]
    before, after = (video.read(list(video.timestamps), lambda height, width: (height, width)) for video in pair)
    np.testing.assert_array_equal(before, after)
    with pytest.raises(ConfigError, match="overwrite"):
        make_videos(cfg, bar_videos, ["test"], encoding=LOSSLESS, workers=0, progress=False)
    (tmp_path / "parts.jsonl").write_text(json.dumps({"path": str(bar_videos / name), "label": 0, "end": 0.2}) + "\n")
    cfg.DATA.TEST_SPLIT = str(tmp_path / "parts.jsonl")
    with pytest.raises(DataError, match="a part of a video"):
        make_videos(cfg, tmp_path / "parts", ["test"], encoding=LOSSLESS, workers=0, progress=False)


def test_odd_sizes_without_loss(tmp_path):
    class Noise:
        timestamps = np.array([0.0, 0.1, 0.35, 0.36, 2.0])
        duration = 2.5
        frames = np.random.default_rng(0).integers(0, 256, (5, 19, 23, 3), dtype=np.uint8)

        def read(self, times, size):
            return self.frames[np.searchsorted(self.timestamps, times)]

        def close(self):
            pass

    class Source:
        records = class_names = ()

        def open(self, record):
            return Noise()

    source = build_source(load_cfg(overrides=overrides()), "test")
    encoded = encode(Source(), source.records[0], tmp_path / "a.mp4", Encoding(lossless=True))
    assert encoded.squared_error == 0
    with FileVideo(str(tmp_path / "a.mp4")) as video:
        np.testing.assert_allclose(video.timestamps, Noise.timestamps, atol=1e-5)
        read = video.read([0.36, 0.0, 2.4], lambda height, width: (height, width))
    np.testing.assert_array_equal(read, Noise.frames[[3, 0, 4]])


def test_command_line(tmp_path, capsys):
    (tmp_path / "brush.yaml").write_text("TEST: {DATASET: brush_mnist}\nDECOUPLED: {SIZE: 32, FRAMES: 12}\n")
    arguments = ["make-videos", str(tmp_path / "out"), "--cfg", str(tmp_path / "brush.yaml"), "--workers", "2"]
    assert main([*arguments, "--lossless", "--splits", "test", "DECOUPLED.TEST_VIDEOS", "3"]) == 0
    assert "test  3 videos, 3 files" in capsys.readouterr().out
    assert len((tmp_path / "out/test.csv").read_text().splitlines()) == 3
    assert main([*arguments, "DECOUPLED.TEST_VIDEOS", "0", "--splits", "test"]) == 2
    assert "DECOUPLED.TEST_VIDEOS = 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--splits", "tests"])
    assert "none of train, val, test" in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_info:
        main(["make-videos", "--help"])
    assert exit_info.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_videos_of_a_list_are_not_made_up(bar_videos, tmp_path, caplog):
    """Written they are, for whoever wants that."""
    arguments = ["make-videos", str(tmp_path / "out"), "--workers", "0", "--splits", "test"]
    assert main([*arguments, "DATA.TEST_SPLIT", str(bar_videos / "test.csv")]) == 0
    assert "TEST.DATASET is 'videos': the files that DATA.TEST_SPLIT names are re-encoded" in caplog.text

    caplog.clear()
    made_up = [
        "TEST.DATASET",
        "brush_mnist",
        "DECOUPLED.TEST_VIDEOS",
        "1",
        "DECOUPLED.SIZE",
        "32",
        "DECOUPLED.FRAMES",
        "4",
    ]
    assert main([arguments[0], str(tmp_path / "brush"), *arguments[2:], *made_up]) == 0
    assert "re-encoded" not in caplog.text
