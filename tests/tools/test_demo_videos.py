"""The two demo sets: what a label can be read from, and what it cannot."""

import colorsys
import dataclasses
import itertools
import subprocess
import sys
from collections import Counter

import av
import numpy as np
import pytest

from pvbias.errors import ConfigError
from pvbias.tools.demo_videos import (
    COLOURS,
    CYCLE,
    FRAME_RATE,
    MOTIONS,
    NUM_FRAMES,
    DemoVideo,
    main,
    render,
    write_demo_videos,
)

VIDEO = DemoVideo(path="a.mp4", motion="left", colour="red", seed=(5, 0))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    write_demo_videos(out, seed=3, num_train=32, num_test=16, workers=1)
    return out


def annotation(folder, split):
    return [line.split() for line in (folder / f"{split}.csv").read_text().splitlines()]


def frames_of(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("first", [0, 4, NUM_FRAMES - CYCLE])
def test_shuffled_frames_do_not_tell_the_motion(seed, first):
    clips = {
        motion: render(dataclasses.replace(VIDEO, motion=motion, seed=(seed, 0)))[first : first + CYCLE]
        for motion in MOTIONS
    }
    sets = {frozenset(Counter(frame.tobytes() for frame in clip).items()) for clip in clips.values()}
    assert len(sets) == 1, "the same frames, each as often"
    assert len({clip.tobytes() for clip in clips.values()}) == len(MOTIONS), "in different orders"


@pytest.mark.parametrize(("motion", "pixels"), [("left", -16), ("right", 16), ("left_fast", -32), ("right_fast", 32)])
def test_the_shape_moves_as_its_class_says(motion, pixels):
    frames = render(dataclasses.replace(VIDEO, motion=motion)).astype(int)
    shape = np.abs(frames - np.median(frames, axis=0)).sum(axis=3) > 60  # (T, H, W): where the shape is
    for before, after in itertools.pairwise(shape):
        assert (np.roll(before, pixels, axis=1) == after).mean() > 0.97


def test_any_frame_tells_the_colour():
    for colour, hue in COLOURS.items():
        for seed in range(5):
            frame = render(dataclasses.replace(VIDEO, colour=colour, seed=(seed, 1)))[seed].reshape(-1, 3) / 255.0
            purest = max((colorsys.rgb_to_hsv(*pixel) for pixel in frame), key=lambda hsv: hsv[1] * hsv[2])
            distances = {name: abs((purest[0] - other + 0.5) % 1 - 0.5) for name, other in COLOURS.items()}
            assert min(distances, key=distances.get) == colour, hue


@pytest.mark.parametrize(("name", "classes"), [("motion", MOTIONS), ("appearance", COLOURS)])
def test_labels_are_balanced_and_files_whole(written, name, classes):
    folder = written / name
    for split, count in (("train", 32), ("test", 16)):
        lines = annotation(folder, split)
        assert Counter(label for _, label in lines) == dict.fromkeys(classes, count // 4)
        assert len({path for path, _ in lines}) == count
        for path, _ in lines[:3]:
            assert path.startswith(f"{split}/")
            with av.open(str(folder / path)) as container:
                stream = container.streams.video[0]
                assert stream.average_rate == FRAME_RATE
            assert len(frames_of(folder / path)) == NUM_FRAMES


def test_splits_and_sets_share_no_video(written):
    contents = [path.read_bytes() for path in written.rglob("*.mp4")]
    assert len(contents) == len(set(contents)) == 96


def test_a_pure_function_of_the_seed(written, tmp_path):
    write_demo_videos(tmp_path / "again", seed=3, num_train=32, num_test=16, workers=2)
    write_demo_videos(tmp_path / "other", seed=4, num_train=16, num_test=16, workers=1)
    files = sorted(path.relative_to(written) for path in written.rglob("*.*"))
    assert files == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*"))
    assert all((written / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    video = "motion/train/00000.mp4"
    assert (written / video).read_bytes() != (tmp_path / "other" / video).read_bytes()


def test_files_look_like_what_was_rendered(tmp_path):
    write_demo_videos(tmp_path, seed=0, num_train=16, num_test=16, workers=1)
    motion = annotation(tmp_path / "motion", "train")[0][1]
    first = frames_of(tmp_path / "motion/train/00000.mp4").astype(float)
    errors = [
        np.square(first - render(DemoVideo(path="", motion=motion, colour=colour, seed=(0, 0, 0, 0)))).mean()
        for colour in COLOURS
    ]
    assert min(errors) < 60, "one of the four colours is it"


def test_counts_that_cannot_be_balanced_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="multiple of 16"):
        write_demo_videos(tmp_path, num_train=20)


def test_command_line_says_where_things_are(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(
        "pvbias.tools.demo_videos.write_demo_videos",
        lambda out, **options: calls.append((out, options)) or {"motion": tmp_path / "motion"},
    )
    assert main(["--out", str(tmp_path), "--seed", "7", "--workers", "1"]) == 0
    assert calls == [(str(tmp_path), {"seed": 7, "num_train": 256, "num_test": 96, "workers": 1})]
    assert str(tmp_path / "motion") in capsys.readouterr().out


def test_as_a_program_with_several_processes(written, tmp_path):
    """As `make demo` runs it: what its workers call is then defined in the main script."""
    counts = ["--num-train", "32", "--num-test", "16", "--seed", "3"]
    command = [sys.executable, "-m", "pvbias.tools.demo_videos", "--out", str(tmp_path), "--workers", "2", *counts]
    subprocess.run(command, check=True, timeout=300)
    for name in ("motion/train/00031.mp4", "appearance/test/00000.mp4", "motion/test.csv"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()
