"""The page shows the clips of a training's first mini-batch."""

import re

import numpy as np
import pytest

from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_train_loader
from pvbias.errors import ConfigError
from pvbias.plugins.datasets.showing import write_clips

from ...video.videos import write_video


def cfg_of(path, *keys):
    return load_cfg(
        overrides=[
            *("DATA.TRAIN_SPLIT", str(path), "MODEL.MODEL_NAME", "x3d_xs", "DATA_LOADER.NUM_WORKERS", "0"),
            *("DATA.TRAIN_CROP_SIZE", "32", *keys),
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_video(folder / f"v{number}.mp4", 20, size=(40, 56))
    (folder / "train.csv").write_text(
        "path,label,scene\n" + "".join(f"v{number}.mp4,class <{number % 2}>,s{number}\n" for number in range(4))
    )
    (folder / "unlabelled.csv").write_text("".join(f"v{number}.mp4\n" for number in range(4)))
    return folder


def shown(page):
    """Label and name of each clip on the page."""
    return re.findall(r'<h3>(.*?)<span class="file">(.*?)</span>', page.read_text())


def test_clips_of_the_first_mini_batch(tmp_path, folder):
    cfg = cfg_of(folder / "train.csv")
    page = write_clips(cfg, tmp_path / "new" / "page.html", count=3)
    completed = complete(cfg, num_classes=2)
    completed.defrost()
    completed.TRAIN.BATCH_SIZE = 3
    batch = next(build_train_loader(completed, build_source(completed, "train"), rank=0, world_size=1).epoch(0))
    labels = [f"class &lt;{int(label)}&gt;" for label in batch.labels]
    assert shown(page) == list(zip(labels, batch.names, strict=True))
    assert page.read_text().count('<img src="data:image/jpeg') == 3
    assert f"scene: {batch.attributes[0]['scene']}" in page.read_text()


def test_mixed_clips_have_the_shares_of_their_classes(tmp_path, folder):
    page = write_clips(cfg_of(folder / "train.csv", "TRAIN.TRANSFORMS", "['mixup']"), tmp_path / "page.html", count=40)
    assert len(shown(page)) == 4  # as many as there are videos
    assert any(re.fullmatch(r"[0-9]+% class &lt;.&gt; \+ [0-9]+% class &lt;.&gt;", label) for label, _ in shown(page))


def test_a_transform_that_needs_masks(tmp_path, folder):
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(4):
        mask = np.zeros((20, 40, 56), bool)
        mask[:, :, :28] = True
        np.savez(masks / f"v{number}.npz", mask)
    keys = ("TRAIN.TRANSFORMS", "['actor_cutmix']", "DATA.MASK_DIR", str(masks), "ACTOR_CUTMIX.PROB", "1.0")
    page = write_clips(cfg_of(folder / "train.csv", *keys), tmp_path / "page.html", count=4)
    assert any("% class" in label for label, _ in shown(page))


def test_a_transform_that_has_to_be_prepared(tmp_path, folder):
    cfg = cfg_of(folder / "train.csv", "TRAIN.TRANSFORMS", "['still_mix']")
    with pytest.raises(ConfigError, match="'still_mix', which looks at all training videos"):
        write_clips(cfg, tmp_path / "page.html", count=2)


def test_a_list_without_labels(tmp_path, folder):
    page = write_clips(cfg_of(folder / "unlabelled.csv"), tmp_path / "page.html", count=2)
    assert {label for label, _ in shown(page)} == {"No label"}
    mixed = cfg_of(folder / "unlabelled.csv", "TRAIN.TRANSFORMS", "['mixup']")
    with pytest.raises(ConfigError, match="changes labelled clips, and this list has none"):
        write_clips(mixed, tmp_path / "page.html", count=2)
