"""Folders of places as videos that stand still."""

import numpy as np
import pytest

from pvbias.config import load_cfg
from pvbias.data import build_source
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.scene_bias import still_images

from .toys import COLOURS, write_places


def test_every_fifth_image_is_held_out(tmp_path):
    write_places(tmp_path, images=6)
    training, held_out = (still_images(str(tmp_path), split) for split in ("train", "test"))
    assert tuple(training.class_names) == ("barn", "garden", "library")
    names = [record.name for record in held_out.records]
    assert names == [f"{place}/{number}.png" for place in COLOURS for number in (1, 6)]
    assert not {record.name for record in training.records} & set(names)
    assert len(training.records) == 12
    record = held_out.records[2]
    assert (record.label, dict(record.attributes)) == (1, {"place": "garden"})
    assert still_images(str(tmp_path), "train", labelled=False).records[0].label is None


def test_a_still_is_a_video_of_one_frame(tmp_path):
    write_places(tmp_path)
    cfg = load_cfg(overrides=["TRAIN.DATASET", "still_images", "SCENE_BIAS.PLACES_DIR", str(tmp_path)])
    source = build_source(cfg, "train")
    video = source.open(source.records[-1])
    frames = video.read([0.0, 0.5, 1.0], lambda height, width: (height, width))
    assert frames.shape == (3, 16, 16, 3)
    assert np.abs(frames.astype(int) - np.array(COLOURS["library"])).max() < 16
    assert (frames == frames[:1]).all()


def test_folders_of_splits(tmp_path):
    write_places(tmp_path / "train")
    write_places(tmp_path / "val", images=1)
    assert len(still_images(str(tmp_path), "train").records) == 15
    assert len(still_images(str(tmp_path), "test").records) == len(still_images(str(tmp_path), "val").records) == 3
    (tmp_path / "val" / "attic").mkdir()
    with pytest.raises(DataError, match="different places: attic"):
        still_images(str(tmp_path), "test")


def test_what_is_no_folder_of_places(tmp_path):
    for folder in ("", str(tmp_path / "none")):
        with pytest.raises(ConfigError, match="is no folder"):
            still_images(folder, "train")
    write_places(tmp_path)
    (tmp_path / "attic").mkdir()
    with pytest.raises(DataError, match=r"attic .* has no image"):
        still_images(str(tmp_path), "train")
    with pytest.raises(ConfigError, match="has 0 subfolders"):
        still_images(str(tmp_path / "attic"), "train")
