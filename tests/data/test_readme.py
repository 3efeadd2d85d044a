"""The package README: its examples are plugins that work."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pvbias
from pvbias.config import complete, load_cfg
from pvbias.data import build_source, build_test_loader, build_train_loader
from pvbias.errors import DataError
from pvbias.plugin_loading import load_plugins
from pvbias.registries import DATASET, EVALUATOR, OBJECTIVE, SAMPLING, TRACK
from pvbias.report import read_results
from pvbias.run import run

README = (Path(pvbias.__file__).parent / "data" / "README.md").read_text(encoding="utf-8")
SIDE, FRAMES = 20, 10


@pytest.fixture
def my_lab(tmp_path, monkeypatch):
    """The examples' modules, where Python finds them."""
    blocks = re.findall(r"```python\n# my_lab/(\w+)\.py\n(.*?)```", README, re.S)
    assert [name for name, _ in blocks] == ["arrays", "middle", "depth", "worst_group", "adaptation"]
    (tmp_path / "code" / "my_lab").mkdir(parents=True)
    for name, source in blocks:
        (tmp_path / "code" / "my_lab" / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "code")
    importlib.invalidate_caches()
    load_plugins()  # what they register stays
    restore = [registry.snapshot() for registry in (DATASET, EVALUATOR, OBJECTIVE, SAMPLING, TRACK)]
    yield
    for undo in restore:
        undo()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


@pytest.fixture
def videos(tmp_path):
    """Grey videos in arrays, frame k of level 10 k, with the same levels as their depth."""
    for split in ("train", "test"):
        for number in range(6):
            file = tmp_path / "arrays" / split / "ab"[number % 2] / f"{number}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            levels = 10 * np.arange(FRAMES, dtype=np.uint8)
            np.save(file, np.broadcast_to(levels[:, None, None, None], (FRAMES, SIDE, SIDE, 3)))
            depth = tmp_path / "depth" / file.relative_to(tmp_path / "arrays" / split).with_suffix(".npy.npy")
            depth.parent.mkdir(parents=True, exist_ok=True)
            np.save(depth, np.broadcast_to(levels[:, None, None], (FRAMES, 10, 10)).astype(np.float16))
    return tmp_path


def configured(videos, *overrides):
    sizes = ("NUM_FRAMES", 4, "SAMPLING_RATE", 1, "TRAIN_CROP_SIZE", 16, "TEST_CROP_SIZE", 16, "TEST_SHORT_SIDE", 16)
    keys = {f"DATA.{name}": value for name, value in zip(sizes[::2], sizes[1::2], strict=True)}
    keys |= {
        "PLUGINS": str([f"my_lab.{name}" for name in ("arrays", "middle", "depth", "worst_group", "adaptation")]),
        "MODEL.MODEL_NAME": "r3d_small",
        "TRAIN.DATASET": "arrays",
        "TEST.DATASET": "arrays",
        "ARRAYS.DIR": videos / "arrays",
        "DEPTH.DIR": videos / "depth",
        "TRAIN.BATCH_SIZE": 2,
        "DATA_LOADER.NUM_WORKERS": 0,
    }
    return load_cfg(None, [*(str(part) for pair in keys.items() for part in pair), *overrides])


def test_a_data_set_a_sampling_and_a_track_of_ones_own(my_lab, videos):
    cfg = complete(configured(videos, "DATA.TEMPORAL_SAMPLING", "middle"), num_classes=2)
    source = build_source(cfg, "test")
    assert source.class_names == ["a", "b"]
    for workers in (0, 1):
        cfg.defrost()
        cfg.DATA_LOADER.NUM_WORKERS = workers
        views = list(build_test_loader(cfg, source, rank=0, world_size=1, tracks=["depth"]))
        assert [video.record.label for video in views] == [0, 0, 0, 1, 1, 1]
        for video in views:
            # Frames 3.5 to 6.5, shown are those that have come up; no view differs in it.
            assert video.clips[:, 0, :, 0, 0].tolist() == [[30, 40, 50, 60]] * len(video.clips)
            assert torch.equal(video.tracks["depth"][:, 0].float(), video.clips[:, 0].float())
    for batch in build_train_loader(cfg, build_source(cfg, "train"), rank=0, world_size=1, tracks=["depth"]).epoch(0):
        assert batch.clips.shape == (2, 3, 4, 16, 16)
        assert torch.equal(batch.tracks["depth"][:, 0].float(), batch.clips[:, 0].float())


def test_an_objective_with_a_second_stream(my_lab, videos):
    (told,) = re.findall(r"```yaml\n(.*?)```", README, re.S)
    (videos / "told.yaml").write_text(told)
    assert load_cfg(videos / "told.yaml").DATA.STREAMS.target.BATCH_SIZE == 16
    keys = ("OBJECTIVE.NAME", "MatchedMeans", "OUTPUT_DIR", str(videos / "run"))
    keys += ("DATA.STREAMS.target.DATASET", "arrays", "DATA.STREAMS.target.SPLIT", "test")
    off = ("TEST.ENABLE", "False", "BIAS.ENABLE", "False", "TENSORBOARD.ENABLE", "False", "SOLVER.MAX_EPOCH", "1.0")
    run(configured(videos, *keys, *off, "SOLVER.BASE_LR", "0.01"))
    assert '"gap"' in (videos / "run" / "train_log.jsonl").read_text()


def test_an_evaluator_that_uses_an_attribute(my_lab, videos):
    keys = ("BIAS.EVALUATORS", "['worst_group']", "BIAS.BREAK_DOWN_BY", "[take]", "OUTPUT_DIR", str(videos / "run"))
    off = ("TRAIN.ENABLE", "False", "TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1")
    run(configured(videos, *keys, *off, "WORST_GROUP.ATTRIBUTE", "take"))
    results = read_results(videos / "run").results
    (figure,) = results["worst_group"].figures
    table = results["breakdown"].tables["take"]
    accuracies = {
        row["group"]: row["value"] for row in table if (row["evaluator"], row["level"]) == ("accuracy", "video")
    }
    assert len(accuracies) == 6
    assert figure.value == min(accuracies.values())
    assert accuracies[figure.note.removeprefix("take: ")] == figure.value
    with pytest.raises(DataError, match=r"The evaluator 'worst_group' asks for 'scene', and no video .* Known: take\."):
        run(configured(videos, *keys, *off))
