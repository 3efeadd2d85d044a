"""`pvbias data` from the command line."""

import re

import numpy as np

from pvbias.data.class_map import read_class_map
from pvbias.features import write_features
from pvbias.tools.main import main

from ..plugins.datasets.official_files import touch, write


def test_from_official_files_to_a_checked_list(tmp_path, capsys):
    write(
        tmp_path / "official",
        {"jester-v1-labels.csv": "".join(f"Gesture {n}\n" for n in range(27)), "jester-v1-train.csv": "7;Gesture 3\n"},
    )
    touch(tmp_path / "videos", "7.mp4")
    command = ["data", "prepare", "jester", "--videos", str(tmp_path / "videos"), "--out", str(tmp_path / "lists")]
    assert main([*command, "--annotations", str(tmp_path / "official")]) == 3
    assert "118,562 are published" in capsys.readouterr().err
    assert main([*command, "--annotations", str(tmp_path / "official"), "--other-counts"]) == 0
    printed = capsys.readouterr().out
    assert "118,562 (-118,561)" in printed
    assert "absent     val: there is no jester-v1-validation.csv" in printed
    assert main(["check", str(tmp_path / "lists/train"), "--workers", "0"]) == 3  # an empty file
    assert "1 videos, 0 good, 1 bad" in capsys.readouterr().out


def test_what_is_known(capsys):
    assert main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert "Something-Something v2" in printed
    (path,) = re.findall(r"mimetics10_kinetics400 +10 +(\S+)", printed)
    assert len(read_class_map(path).classes) == 10
    assert main(["data", "list", "hmdb51"]) == 0
    assert "3,570" in capsys.readouterr().out
    assert main(["data", "list", "hmdb52"]) == 3
    assert "Did you mean 'hmdb51'" in capsys.readouterr().err


def test_copies_and_wrong_labels_from_features(tmp_path, capsys):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    points = (generator.normal(size=(3, 12)) * 6)[labels] + generator.normal(size=(60, 12))
    points = points.astype(np.float32)
    names, given = [f"v{number}" for number in range(60)], labels.copy()
    given[7] = 0
    write_features(tmp_path / "train", {("embedding", "original"): points}, names, labels=given)
    tested = np.concatenate([points[30:31] + 0.01, points[:2] + 9 * generator.normal(size=(2, 12))])
    write_features(tmp_path / "test", {("embedding", "original"): tested.astype(np.float32)}, ["copy", "a", "b"])
    assert main(["data", "duplicates", str(tmp_path / "train"), str(tmp_path / "test")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^copy +v30 +original", printed, re.MULTILINE)
    assert "1 of 3 videos are near-duplicates" in printed
    assert main(["data", "labels", str(tmp_path / "train")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^v7 +0 +0\.\d\d +1 ", printed, re.MULTILINE)
    assert main(["data", "duplicates", str(tmp_path / "test")]) == 3
    assert "takes 10" in capsys.readouterr().err
