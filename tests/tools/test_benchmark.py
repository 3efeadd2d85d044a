"""The benchmarks run and print what they promise; how fast anything is, is not a test's business."""

import pytest

from pvbias.tools.main import main


def test_decoding_is_timed_beside_a_plain_loop(bar_videos, capsys):
    assert main(["benchmark", "decode", str(bar_videos / "test"), "--clips", "1", "--repeats", "1"]) == 0
    text = capsys.readouterr().out
    assert "pvbias" in text
    assert "PyAV" in text


def test_measuring_is_timed_three_ways(bar_videos, capsys):
    arguments = ["--data", str(bar_videos / "test.csv"), "--crop-size", "32", "--workers", "0", "--repeats", "1"]
    assert main(["benchmark", "measure", *arguments]) == 0
    text = capsys.readouterr().out
    assert "8 videos x 1 clips" in text
    for way in ("one pass, 4 variants", "4 separate passes", "forwards alone"):
        assert way in text


def test_training_is_timed_in_each_precision(capsys):
    arguments = ["--models", "x3d_xs", "--crop-size", "32", "--batch-size", "2", "--steps", "1"]
    assert main(["benchmark", "train", *arguments]) == 0
    text = capsys.readouterr().out
    assert "channels_last_3d" in text
    assert "bf16" in text


def test_generating_is_timed_beside_the_plain_way(capsys):
    arguments = ["--size", "32", "--frames", "4", "--videos", "3", "--repeats", "1", "DECOUPLED.FRAMES", "10"]
    assert main(["benchmark", "generate", *arguments]) == 0
    text = capsys.readouterr().out
    for way in ("BrushMNIST", "Places+Faces+MNIST", "plain search (10 frames)"):
        assert way in text


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["decod"], 2)])
def test_the_front(arguments, code, capsys):
    assert main(["benchmark", *arguments]) == code
