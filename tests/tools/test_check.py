"""`pvbias check` with the labels of a model."""

import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.models import build_recognizer
from pvbias.tools.main import main

from ..video.videos import write_video


@pytest.fixture
def options(tmp_path):
    """A list of two videos, and weights of four classes."""
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", 8)
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "r3d_small"]), num_classes=4)
    torch.save({"model_state": build_recognizer(cfg).module.state_dict()}, tmp_path / "weights.pyth")
    weights = ["--model", "r3d_small", "--weights", str(tmp_path / "weights.pyth"), "--workers", "0"]
    return ["check", str(tmp_path / "list.csv"), *weights]


def test_labels_by_name(tmp_path, options, capsys):
    (tmp_path / "list.csv").write_text("path,label\na.mp4,run\nb.mp4,jump\n")
    (tmp_path / "classes.txt").write_text("fall\njump\nrun\nwalk\n")
    assert main(options) == 3
    assert "nothing says which output is which class" in capsys.readouterr().err
    assert main([*options, "--class-names", str(tmp_path / "classes.txt")]) == 0
    printed = capsys.readouterr().out
    assert "2 of the model's 4 classes (1 jump, 2 run), by name" in printed
    assert "2 videos, 2 good, 0 bad" in printed


def test_labels_by_number(tmp_path, options, capsys):
    (tmp_path / "list.csv").write_text("a.mp4 0\nb.mp4 4\n")
    assert main(options) == 3
    printed = capsys.readouterr().out
    assert "1 of the model's 4 classes (0), by number" in printed
    assert "2 videos, 1 good, 1 bad" in printed
    (tmp_path / "classes.txt").write_text("fall\njump\nrun\nwalk\n")
    assert main([*options, "--class-names", str(tmp_path / "classes.txt")]) == 3
    assert "1 of the model's 4 classes (0 fall), by number\n" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "list.csv"), "--workers", "0"]) == 0
    with pytest.raises(SystemExit):
        main(options[:4])
    assert "--model and --weights go together" in capsys.readouterr().err
