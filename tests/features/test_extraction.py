"""Features from the command line: labels and attributes with them, nothing twice, nothing mixed."""

import json
import re
import shutil

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.features import read_features
from pvbias.models import ZooModel
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.tools.main import main
from pvbias.video import decoding


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.proj = nn.Linear(4, num_classes)

    def forward(self, clip):
        return self.proj(self.conv(clip).relu().mean((2, 3, 4)))


@pytest.fixture(autouse=True)
def registered():
    load_plugins()  # what they register stays
    restore = MODEL.snapshot()
    entry = ZooModel(
        zoo="tests",
        build=lambda num_classes, num_frames, crop_size: Net(num_classes),
        clip_spec=ClipSpec(num_frames=4, sampling_rate=1, crop_size=16, test_crop_size=16, short_side=16),
        head="proj",
    )
    MODEL.register(entry, name="feature_net")
    yield
    restore()


@pytest.fixture
def weights(tmp_path):
    """``weights(name, seed)``: a file of the network's, with three classes."""

    def write(name, seed, **changes):
        torch.manual_seed(seed)
        state = Net(3).state_dict()
        torch.save({"model_state": {key: value for key, value in state.items() if key not in changes}}, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def extract(bar_videos, tmp_path):
    """``extract(option, value, ...)``: exit code of an extraction into ``tmp_path/F``."""

    def run(*options, data=bar_videos / "test.csv", out="F"):
        command = ["features", "--model", "feature_net", "--data", str(data), "--out", str(tmp_path / out)]
        options = [*map(str, options)]
        keys = ["NUM_GPUS", "0"] if "--set" in options else ["--set", "NUM_GPUS", "0"]
        return main([*command, "--workers", "0", "--batch-size", "4", *options, *keys])

    return run


def with_labels(tmp_path, bar_videos, labels, attributes=None):
    """The test list with other labels, and attributes."""
    names = [line.split()[0] for line in (bar_videos / "test.csv").read_text().splitlines()]
    lines = [
        {"path": str(bar_videos / name), "label": label} | (attributes[number] if attributes else {})
        for number, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def no_decoding(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a video is decoded")

    monkeypatch.setattr(decoding.FileVideo, "read", refuse)


def arrays(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def test_labels_are_those_of_the_list(extract, weights, tmp_path, bar_videos, monkeypatch):
    """Whatever classes the model has; changed in the list, they change without anything being decoded."""
    options = "--weights", weights("a.pyth", 0), "--clips", 2
    scenes = [{"scene": scene, "seconds": 1.5} for scene in "abcdefg"] + [{}]
    names = ["run", "walk", "jump", "run", "swim", "fly", "sit", "run"]
    assert extract(*options, data=with_labels(tmp_path, bar_videos, names, scenes)) == 0
    features = read_features(tmp_path / "F")
    assert features.class_names == ["fly", "jump", "run", "sit", "swim", "walk"]
    assert [features.class_names[label] for label in features.labels] == names
    assert features.attributes == {"scene": [*"abcdefg", None], "seconds": [1.5] * 7 + [None]}
    assert features.arrays["embedding", "original"].shape == (8, 2, 4)
    assert features.logits().shape == (8, 2, 3)
    assert not (tmp_path / "F/partial").exists()
    before = arrays(tmp_path / "F")
    no_decoding(monkeypatch)
    assert extract(*options, data=with_labels(tmp_path, bar_videos, [None, 7, *range(6)])) == 0
    assert read_features(tmp_path / "F").labels.tolist() == [-1, 7, *range(6)]
    assert arrays(tmp_path / "F") == before


def test_what_is_there_is_not_computed_again(extract, weights, tmp_path, monkeypatch):
    """A layer and a modulation more: as if they had been asked for at once."""
    options = "--weights", weights("a.pyth", 0)
    assert extract(*options) == 0
    first = arrays(tmp_path / "F")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "F").rglob("*.npy")}
    more = "--layers", "conv", "embedding", "--modulations", "original", "shuffle"
    assert extract(*options, *more) == 0
    assert extract(*options, *more, out="G") == 0
    assert read_features(tmp_path / "F").arrays.keys() == read_features(tmp_path / "G").arrays.keys()
    assert len(arrays(tmp_path / "F")) == 6
    assert arrays(tmp_path / "F") == arrays(tmp_path / "G")
    assert arrays(tmp_path / "F").items() >= first.items()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    no_decoding(monkeypatch)
    assert extract(*options, *more) == 0
    assert len(read_features(tmp_path / "F").arrays) == 6


def test_other_weights_lists_and_settings_are_refused(extract, weights, tmp_path, bar_videos, capsys):
    ours, theirs = weights("a.pyth", 0), weights("b.pyth", 1)
    assert extract("--weights", ours) == 0
    before = {
        path: path.read_bytes() for path in (tmp_path / "F").rglob("*") if path.name != "log.txt" and path.is_file()
    }
    for options, said in (
        ({"options": ("--weights", theirs)}, f"weights {ours!r} .*, and now it is feature_net with {theirs!r}"),
        ({"options": ("--weights", ours), "data": bar_videos / "train.csv"}, "test.csv' .* and now .*train.csv'"),
        ({"options": ("--weights", ours, "--clips", 2)}, "views 1 clip, centre crop, and now it is 2 clips"),
        ({"options": ("--weights", ours, "--dtype", "float16")}, "FEATURES.DTYPE float32, and now it is float16"),
    ):
        capsys.readouterr()
        assert extract(*options.pop("options"), **options) == 3
        assert re.search(said, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in before} == before
    shutil.copy(ours, theirs)  # the same weights in another place are the same
    assert extract("--weights", theirs) == 0


def test_without_a_head_there_are_no_logits(extract, weights, tmp_path):
    headless = weights("a.pyth", 0, **{"proj.weight": None, "proj.bias": None})
    assert extract("--weights", headless) == 0
    assert [*read_features(tmp_path / "F").arrays] == [("embedding", "original")]


def test_bad_videos_are_left_out(extract, weights, tmp_path, bar_videos):
    """And listed; the features stay with their names."""
    lines = (bar_videos / "test.csv").read_text().splitlines()
    data = tmp_path / "test.csv"
    data.write_text("\n".join(f"{bar_videos}/{line}" for line in [*lines[:3], "gone.mp4 1", *lines[3:]]))
    options = "--weights", weights("a.pyth", 0)
    assert extract(*options) == 0
    assert extract(*options, "--set", "DATA.MAX_BAD_FRACTION", 0.2, data=data, out="G") == 0
    one, other = (read_features(tmp_path / name) for name in "FG")
    assert other.numbers.tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert [name.endswith(end) for name, end in zip(other.names, one.names, strict=True)] == [True] * 8
    # in chunks, and so batches, of other sizes
    torch.testing.assert_close(torch.tensor(other.videos()), torch.tensor(one.videos()))


def test_a_run_of_several_processes_writes_the_same(extract, weights, tmp_path):
    options = "--weights", weights("a.pyth", 0), "--modulations", "original", "reverse"
    assert extract(*options) == 0
    assert extract(*options, "--array", 3, "--cluster", "debug", "--set", "SLURM.GPUS_PER_NODE", 0, out="G") == 0
    assert arrays(tmp_path / "F") == arrays(tmp_path / "G")


def test_a_folder_of_a_run_is_refused(extract, weights, tmp_path, capsys):
    (tmp_path / "F").mkdir()
    (tmp_path / "F/results.json").write_text("{}")
    assert extract("--weights", weights("a.pyth", 0)) == 2
    assert "is the folder of a run" in capsys.readouterr().err
