"""``pvbias transfer`` on made-up features."""

import json

import numpy as np
import pytest

from pvbias.features import write_features
from pvbias.tools.transfer import main


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Features of training and test videos that tell three classes, but for the last test video, which looks like the
    first class; the first test video is a training video, too."""
    root = tmp_path_factory.mktemp("features")
    for seed, part in enumerate(("train", "test")):
        labels = np.arange(60) % 3
        embeddings = 10 * np.eye(3, 6)[labels] + np.random.default_rng(seed).normal(size=(60, 6))
        if part == "test":
            embeddings[-1] = embeddings[0]
        names = [f"{part}/{number}.mp4" for number in range(60)]
        names[0] = "train/0.mp4"
        arrays = {("embedding", "original"): embeddings.astype(np.float32)}
        write_features(root / part, arrays, names, labels=labels, class_names=["run", "walk", "jump"])
    return root


def figures(folder):
    found = json.loads((folder / "results.json").read_text())
    return {each["name"]: each for each in found["results"]["transfer"]["figures"]}


def test_probe(folders, tmp_path, capsys):
    out = tmp_path / "probe"
    command = ["probe", str(folders / "train"), str(folders / "test"), "--set", "penalties=1e-2", "--out", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "98.3" in shown
    top1 = figures(out)["top1"]
    assert top1["value"] == pytest.approx(100 * 59 / 60)
    assert top1["note"] == "L-BFGS, C = 0.01; 1 of 60 test videos have names of training videos"
    assert top1["note"] in shown


def test_few_shot(folders, tmp_path, capsys):
    out = tmp_path / "few"
    command = ["few-shot", str(folders / "train"), "--classifier", "centroid", "--out", str(out)]
    assert main([*command, "--ways", "3", "--shots", "1", "--queries", "2", "--episodes", "10"]) == 0
    assert "3way_1shot" in capsys.readouterr().out
    assert figures(out)["3way_1shot"]["value"] == 100
    assert figures(out)["3way_1shot"]["count"] == 10
