"""Files of optical flow: they hold what was estimated at the times of the frames, whatever happens on the way."""

import json
import multiprocessing
import random
import shutil
import time
from contextlib import closing
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pvbias.data.flow import FlowFiles
from pvbias.data.records import VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.optical_flow import extract_flow
from pvbias.registries import FLOW
from pvbias.shard import Shard
from pvbias.tools.benchmark_flow import moved_photograph
from pvbias.tools.main import main
from pvbias.video.decoding import FileVideo

from ..kills import kill_at_work

#: Display times of a video of uneven frame rate, milliseconds.
UNEVEN = [0, 40, 80, 200, 210, 300]


def write_video(path, *, height=32, width=48, times_ms=range(0, 240, 40), way=(0.0, 0.0)):
    """Waves that move ``way`` (pixels to the right and down) from frame to frame; without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:height, :width].astype(float)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, milliseconds in enumerate(times_ms):
            u, v = x - number * way[0], y - number * way[1]
            waves = np.sin(0.5 * u + 0.1 * v) + np.sin(0.45 * v - 0.15 * u) + np.sin(0.3 * u + 0.3 * v)
            image = np.repeat((128 + 40 * waves)[..., None], 3, axis=-1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def same(height, width):
    return height, width


def extract(data, out, **options):
    return extract_flow(data, out, **{"workers": 0, "progress": False, **options})


def displacements(folder, name, size=same):
    """From each frame to the next, pixels; and the times of the frames."""
    flow = FlowFiles(str(folder)).open_flow(VideoRecord(path=name, name=name))
    times = flow.timestamps
    seconds = np.diff(times)
    seconds = np.append(seconds, seconds[-1])
    vectors = flow.velocity(times.tolist(), size) * seconds[:, None, None, None]
    flow.close()
    return vectors, times


def test_files_hold_what_is_estimated(tmp_path):
    write_video(tmp_path / "in/walk/a.mkv", times_ms=UNEVEN, way=(1.5, -0.75))
    summary = extract(tmp_path / "in", tmp_path / "out")
    vectors, times = displacements(tmp_path / "out", "walk/a.mkv")
    np.testing.assert_allclose(times, np.array(UNEVEN) / 1000, atol=1e-4)
    with FileVideo(str(tmp_path / "in/walk/a.mkv")) as video:
        frames = video.read(video.timestamps.tolist(), same)
    estimator = FLOW.get("tvl1")()
    expected = [estimator(*pair) for pair in pairwise(frames)]
    np.testing.assert_allclose(vectors[:-1], expected, atol=0.079)
    np.testing.assert_array_equal(vectors[-1], vectors[-2])
    error = np.linalg.norm(vectors - np.array([1.5, -0.75]), axis=-1)[:, 6:-6, 6:-6]
    assert error.mean() < 0.15, "that is how the waves move"
    assert summary.clipped == 0
    assert summary.finished[0].figures["pairs"] == len(UNEVEN) - 1
    assert f"frames   {len(UNEVEN)}\n" in str(summary)


def test_smaller_frames_have_shorter_vectors(tmp_path):
    write_video(tmp_path / "in/a.mkv", way=(2.0, 1.0))
    extract(tmp_path / "in", tmp_path / "out", short_side=16)
    vectors, _ = displacements(tmp_path / "out", "a.mkv")
    assert vectors.shape[1:3] == (16, 24)
    np.testing.assert_allclose(np.median(vectors, axis=(0, 1, 2)), [1.0, 0.5], atol=0.15)
    vectors, _ = displacements(tmp_path / "out", "a.mkv", lambda *_: (32, 48))
    np.testing.assert_allclose(np.median(vectors, axis=(0, 1, 2)), [2.0, 1.0], atol=0.3)


def test_bad_files_are_listed_and_later_runs_go_on(tmp_path):
    write_video(tmp_path / "in/a.mkv")
    write_video(tmp_path / "in/one.mkv", times_ms=[0])
    (tmp_path / "in/broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match="1 of 3"):
        extract(tmp_path / "in", tmp_path / "out")
    write_video(tmp_path / "in/broken.mp4")
    summary = extract(tmp_path / "in", tmp_path / "out")
    assert (summary.resumed, len(summary.finished), len(summary.bad)) == (2, 3, 0)
    assert summary.total("pairs") == 5 + 5, "figures of earlier runs count, too"
    assert not displacements(tmp_path / "out", "a.mkv")[0].any()
    with pytest.raises(ConfigError, match="begun with"):
        extract(tmp_path / "in", tmp_path / "out", short_side=24)


def test_another_method_needs_another_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(FLOW, "_obj_map", {**FLOW._obj_map, "still": lambda: still})
    write_video(tmp_path / "in/a.mkv")
    extract(tmp_path / "in", tmp_path / "out", method="still")
    with pytest.raises(ConfigError, match=r"begun with .*'flow': 'still'"):
        extract(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ConfigError, match="Did you mean 'tvl1'"):
        extract(tmp_path / "in", tmp_path / "out2", method="tvl")


def still(first, second):
    return np.zeros((*first.shape[:2], 2), np.float32)


def unhurried(first, second):
    """The difference in brightness as a motion, and time for a kill."""
    time.sleep(0.01)
    return np.full((*first.shape[:2], 2), (second.mean() - first.mean()) / 16, np.float32)


def build_unhurried():
    return unhurried


def extract_unhurriedly(data, out, workers=0):
    FLOW._obj_map = {"unhurried": build_unhurried}
    return extract(data, out, method="unhurried", workers=workers)


@pytest.fixture
def unhurried_start(monkeypatch):
    """``unhurried_start(data, out, workers=0)`` begins an extraction in a process of its own, and gives that."""
    monkeypatch.setattr(FLOW, "_obj_map", {})
    context = multiprocessing.get_context("forkserver")

    def start(*arguments):
        process = context.Process(target=extract_unhurriedly, args=arguments)
        process.start()
        return process

    return start


def test_a_kill_loses_the_videos_in_work(tmp_path, unhurried_start):
    workers, videos = 2, 10
    for index in range(videos):
        write_video(tmp_path / f"in/{index}.mkv", times_ms=range(0, 400, 40))
    out = tmp_path / "out"
    listed = out / "prepared.jsonl"
    process = unhurried_start(tmp_path / "in", out, workers)
    while process.is_alive() and (not listed.exists() or listed.read_text().count("\n") < 2):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -9, "it was still at work"
    known = {json.loads(line)["target"] for line in listed.read_text().splitlines(keepends=True) if line[-1] == "\n"}
    unknown = {path.name for path in out.iterdir() if path.name.startswith(tuple("0123456789"))} - known
    # Each worker may have finished one of which the main process had not heard, and begun another.
    assert len(unknown) <= 2 * workers, "finished or half-written files that the next run makes again"
    time.sleep(1)  # the workers end themselves
    summary = extract_unhurriedly(tmp_path / "in", out)
    assert summary.resumed == len(known)
    assert len(summary.finished) == videos
    assert sorted(path.name for path in out.glob("*.mp4*")) == [f"{index}.mp4" for index in range(videos)]


def test_killed_again_and_again(tmp_path, unhurried_start):
    """At any moment: what is listed is whole, and in the end the files are those of a run that was left alone."""
    videos, kills = 16, 4
    for index in range(videos):
        write_video(tmp_path / f"in/{index}.mkv", times_ms=range(0, 200 + 40 * (index % 5), 40))
    out = tmp_path / "out"
    generator, done = random.Random(0), 0
    while done < kills:
        if not kill_at_work(
            partial(unhurried_start, tmp_path / "in", out), partial(progress, out), generator, within=0.1
        ):
            shutil.rmtree(out)
            continue
        done += 1
        listed = [json.loads(line) for line in (out / "prepared.jsonl").read_text().split("\n")[:-1]]
        for file in listed:
            with closing(FlowFiles(str(out)).open_flow(VideoRecord(path="", name=file["name"]))) as opened:
                assert len(opened.timestamps) == 5 + int(Path(file["name"]).stem) % 5
    assert len(extract_unhurriedly(tmp_path / "in", out).finished) == videos
    extract_unhurriedly(tmp_path / "in", tmp_path / "at_once")
    names = sorted(path.name for path in (tmp_path / "at_once").glob("*.mp4*"))
    assert sorted(path.name for path in out.glob("*.mp4*")) == names, "and nothing half-written"
    assert all((out / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes() for name in names)


def progress(folder):
    return sorted((path.name, path.stat().st_size) for path in folder.glob("*.mp4*")) if folder.exists() else []


def test_parts_that_machines_make_come_together(tmp_path, monkeypatch):
    monkeypatch.setattr(FLOW, "_obj_map", {"still": lambda: still})
    for index in range(4):
        write_video(tmp_path / f"in/{index}.mkv", times_ms=range(0, 120 + 40 * index, 40))
    (tmp_path / "in/broken.mp4").write_bytes(b"no video at all")
    out, options = tmp_path / "out", {"method": "still", "max_bad_fraction": 1.0}
    parts = [extract(tmp_path / "in", out, shard=Shard(index, 2), **options) for index in (1, 0)]
    assert sorted(file.name for part in parts for file in part.finished) == [f"{index}.mkv" for index in range(4)]
    assert {len(part.finished) for part in parts} == {2}
    assert [len(part.bad) for part in parts] == [0, 1]
    # No two machines have written to one file.
    lists = {str(path.relative_to(out)) for path in out.rglob("*.jsonl")}
    assert lists == {"shards/0/prepared.jsonl", "shards/1/prepared.jsonl", "shards/0/bad_videos.jsonl"}
    flow = FlowFiles(str(out))
    for index in range(4):
        with closing(flow.open_flow(VideoRecord(path="", name=f"{index}.mkv"))) as opened:
            assert len(opened.timestamps) == 3 + index

    # A job that comes back from the queue was killed while it wrote its list; and another number of jobs goes on, too.
    listed = out / "shards/0/prepared.jsonl"
    listed.write_text(listed.read_text()[:-9])
    again = extract(tmp_path / "in", out, shard=Shard(0, 2), **options)
    assert (len(again.finished), again.resumed, len(again.bad)) == (2, 1, 1)
    other = extract(tmp_path / "in", out, shard=Shard(2, 3), **options)
    assert len(other.finished) == other.resumed == 1

    write_video(tmp_path / "in/broken.mp4", times_ms=range(0, 120, 40))
    summary = extract(tmp_path / "in", out, **options)
    assert (len(summary.finished), summary.resumed, len(summary.bad)) == (5, 4, 0)
    assert not list(out.rglob("bad_videos.jsonl")), "what was found bad in a part has been mended"
    assert summary.total("pairs") == 2 + 3 + 4 + 5 + 2, "each once"
    extract(tmp_path / "in", tmp_path / "at_once", **options)
    for file in summary.finished:
        assert (out / file.target).read_bytes() == (tmp_path / "at_once" / file.target).read_bytes()


def test_an_array_of_jobs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(FLOW, "_obj_map", {"still": lambda: still})
    for index in range(3):
        write_video(tmp_path / f"in/{index}.mkv", times_ms=range(0, 120, 40))
    out = tmp_path / "out"
    arguments = ["flow", "extract", str(tmp_path / "in"), str(out), "--method", "still", "--workers", "0"]
    array = [*arguments, "--cluster", "debug", "--array"]
    assert main([*array, "2", "--set", "SLURM.GPUS_PER_NODE", "0", "--wait"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"{out}\n") == 3
    assert "files    3 of optical flow (3 of them before this run)" in shown, "the last job sums up"
    assert main(["jobs", str(out)]) == 0
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()[1:]] == [["out", "COMPLETED"]] * 3
    for options, code, message in (
        (["2", "--set", "SLURM.TASKS_PER_NODE", "2"], 6, "each job of an array is one process"),
        (["0"], 6, "at least 1"),
        (["2", "--set", "RNG_SEED", "1"], 2, "only keys of SLURM"),
    ):
        assert main([*array, *options]) == code
        assert message in capsys.readouterr().err


def test_command_line(tmp_path, capsys):
    write_video(tmp_path / "videos/a.mkv")
    (tmp_path / "list.csv").write_text("a.mkv 0\n")
    arguments = ["flow", "extract", str(tmp_path / "list.csv"), str(tmp_path / "out"), "--workers", "0"]
    assert main([*arguments, "--path-prefix", str(tmp_path / "videos"), "--short-side", "16"]) == 0
    out = capsys.readouterr().out
    assert "files    1 of optical flow" in out
    assert "clipped  0.00%" in out
    FlowFiles(str(tmp_path / "out")).open_flow(VideoRecord(path=str(tmp_path / "videos/a.mkv"), name="a.mkv"))
    assert main([*arguments, "--method", "tvl"]) == 2
    assert "No FLOW is called 'tvl'" in capsys.readouterr().err
    for argv in (["flow", "--help"], ["flow", "extract", "--help"]):
        with pytest.raises(SystemExit) as exit_info:
            main(argv)
        assert exit_info.value.code == 0


def test_benchmark(capsys, monkeypatch):
    def build_missing():
        raise ConfigError("it is not installed")

    monkeypatch.setattr(FLOW, "_obj_map", {"still": lambda: still, "other": build_missing})
    monkeypatch.setattr("pvbias.tools.benchmark_flow.load_plugins", lambda: None)
    assert main(["benchmark", "flow", "--size", "16", "--repeats", "1"]) == 0
    table, missing = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert [float(cell) for cell in table.splitlines()[-1].split()[2:]] == [0.5, 1.8, 6.5, 14.42], "lengths of the ways"
    assert missing == "other is left out: it is not installed"


def test_the_photograph_moves_as_it_says():
    still_one, moved = moved_photograph((0.0, 0.0), 64), moved_photograph((6.0, -2.0), 64)
    np.testing.assert_array_equal(moved[:-2, 6:], still_one[2:, :-6])
