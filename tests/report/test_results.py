import csv
import json
import math

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.evaluation import Figure, Predictions, Result
from pvbias.evaluation.statistics import mean_figures
from pvbias.report import read_predictions, read_results, write_results
from pvbias.report.results import read_videos

from .runs import labelled_run


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_written_is_what_is_read(tmp_path):
    run = labelled_run(name='"ünï" <run>', command="pvbias run 'a b'\n日本")

    write_results(tmp_path, run)

    assert read_results(tmp_path) == run
    assert read_results(tmp_path / "results.json") == run


def test_the_file_is_strict_json_with_its_format(tmp_path):
    figures = [
        Figure(name="a", value=math.nan, unit="%", level="video"),
        Figure(name="b", value=1.0, unit="%", level="video", interval=(-math.inf, math.inf)),
    ]
    table = [{"x": math.inf, "y": np.float32(0.5), "z": np.int64(3), "ok": np.bool_(True)}]
    run = labelled_run(results={"mine": Result(figures=figures, tables={"t": table})})

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(write_results(tmp_path, run).read_text(encoding="utf-8"), parse_constant=no_constant)

    assert document["format"] == "pvbias-results/1"
    assert document["results"]["mine"]["tables"]["t"] == [{"x": None, "y": 0.5, "z": 3, "ok": True}]
    first, second = read_results(tmp_path).results["mine"].figures
    assert first.value is None
    assert "nan" in first.note
    assert second.interval == (-math.inf, math.inf)


def test_tables_are_csv_files(tmp_path):
    run = labelled_run()
    run.results["mine"] = Result(tables={"odd": [{"name": 'a,"b"\nc', "value": None}]})
    run.results["modulated_accuracy"].figures[-1] = Figure(
        name="log_ratio", value=None, unit="log ratio", level="video", variant="shuffle", note="undefined"
    )

    write_results(tmp_path, run)

    assert read_csv(tmp_path / "tables" / "mine_odd.csv") == [{"name": 'a,"b"\nc', "value": ""}]
    layers = read_csv(tmp_path / "tables" / "asdt_layers.csv")
    assert [row["layer"] for row in layers] == ["blocks.1.conv", "blocks.2.conv", "blocks.3.conv"]
    figures = read_csv(tmp_path / "tables" / "figures.csv")
    frozen = next(row for row in figures if row["name"] == "dynamic_score")
    assert (frozen["evaluator"], frozen["value"], frozen["unit"]) == ("dynamic_score", "1.5", "nats")
    assert (frozen["interval_low"], frozen["interval_high"]) == ("1.2", "1.8")
    ratio = next(row for row in figures if row["name"] == "log_ratio")
    assert (ratio["value"], ratio["note"]) == ("", "undefined")


def test_names_cannot_leave_the_folder_or_collide(tmp_path):
    images = {"../../up.jpg": b"1", "a b.jpg": b"2", "a_b.jpg": b"3"}
    run = labelled_run(results={"../x": Result(images=images, tables={"../../t": [{"a": 1}]})})

    write_results(tmp_path / "run", run)

    assert read_results(tmp_path / "run").results["../x"].images == images
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == ["images", "results.json", "tables"]


def test_a_file_name_in_no_encoding_survives(tmp_path):
    run = labelled_run(bad_videos=[{"name": "caf\udce9.mp4", "cause": "missing", "detail": ""}])

    write_results(tmp_path, run)

    assert read_results(tmp_path).bad_videos == run.bad_videos


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    write_results(tmp_path, labelled_run())
    broken = labelled_run(results={"mine": Result(images={"a.jpg": "not bytes"})})  # type: ignore[dict-item]

    with pytest.raises(TypeError):
        write_results(tmp_path, broken)

    assert not (tmp_path / "results.json").exists(), "it would name what is no longer as it was"
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    write_results(tmp_path, labelled_run(results={}))
    assert sorted(path.name for path in tmp_path.rglob("[!.]*")) == ["figures.csv", "results.json", "tables"]


def predictions():
    """Of two videos and three classes."""
    return Predictions(
        names=["ünï/a b.mp4", "caf\udce9.mp4"],
        labels=np.array([2, -1]),
        probabilities=np.array([[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]], np.float32),
        class_names=["日本", "b", "c"],
    )


def test_predictions_have_a_file_that_numpy_reads_without_pickle(tmp_path):
    wanted = predictions()
    results = {name: Result(predictions=wanted) for name in ("accuracy", "modulated_accuracy")}

    write_results(tmp_path, labelled_run(results=results))

    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as arrays:
        assert {name: values.tolist() for name, values in arrays.items()} == {
            "names": wanted.names,
            "labels": [2, -1],
            "probabilities": wanted.probabilities.tolist(),
            "class_names": wanted.class_names,
        }
    found = read_predictions(tmp_path)
    assert (found.names, found.class_names) == (wanted.names, wanted.class_names)
    assert found.labels.dtype.kind == "i"
    assert found.probabilities.dtype == np.float32
    assert read_results(tmp_path).results == results


def test_predictions_of_an_earlier_run_do_not_stay(tmp_path):
    write_results(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions())}))
    write_results(tmp_path, labelled_run())

    with pytest.raises(DataError, match=r"predictions.npz does not exist.*TEST.ENABLE"):
        read_predictions(tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def without_labels(path):
    np.savez(path, names=["a"], probabilities=np.ones((1, 2)), class_names=["b"])


def of_other_lengths(path):
    np.savez(path, names=["a"], labels=[0, 1], probabilities=np.ones((1, 2)), class_names=["b"])


@pytest.mark.parametrize("spoil", [cut, without_labels, of_other_lengths, lambda path: path.write_bytes(b"no zip")])
def test_predictions_that_cannot_be_read(tmp_path, spoil):
    write_results(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions())}))
    spoil(tmp_path / "predictions.npz")

    with pytest.raises(DataError, match=r"predictions.npz.*Measure again"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "Cannot read"),
        ("[1]", "not written by pvbias"),
        ('{"format": "other/1"}', "not written by pvbias"),
        ('{"format": "pvbias-results/2"}', "newer pvbias"),
        ('{"format": "pvbias-results/1", "run": {}, "results": {}}', "not complete"),
    ],
)
def test_a_file_that_is_missing_foreign_or_newer_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content, encoding="utf-8")

    with pytest.raises(DataError, match=message) as error:
        read_results(tmp_path)

    assert str(tmp_path) in str(error.value)


def test_an_image_outside_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    path = write_results(tmp_path / "run", labelled_run())
    path.write_text(
        path.read_text(encoding="utf-8").replace("images/sample_clips_s.jpg", "../secret.jpg"), encoding="utf-8"
    )

    with pytest.raises(DataError, match="outside its own folder"):
        read_results(tmp_path / "run")


def test_figures_are_kept_video_by_video(tmp_path):
    """Under names that tell what they are; results that are read do not have them unless asked."""
    credits = np.array([[1.0, 0.0], [1.0, 1.0], [0.5, 0.0]])
    templates = [Figure(name="top1", value=None, unit="%", level="video", variant=v) for v in ("original", "shuffle")]
    figures = mean_figures(templates, credits, samples=100, seed=0)
    videos = {"a.mp4": True, "unlabelled.mp4": False, "b.mp4\t0.0\t1.5": True, "c.mp4": True}
    run = labelled_run(results={"mine": Result(figures=figures)}, videos=videos)

    write_results(tmp_path, run)

    with np.load(tmp_path / "per_video.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays.files} == {
            "videos": list(videos),
            "labelled": list(videos.values()),
            "mine/top1/video/original": [1.0, 1.0, 0.5],
            "mine/top1/video/shuffle": [0.0, 1.0, 0.0],
        }
    assert [figure.values for figure in read_results(tmp_path).results["mine"].figures] == [None, None]
    found = read_videos(tmp_path)
    assert found == run
    assert found.videos == videos
    np.testing.assert_array_equal(found.results["mine"].figures[1].values, [0.0, np.nan, 1.0, 0.0])


def test_what_is_kept_of_the_videos_is_damaged(tmp_path):
    write_results(tmp_path, labelled_run())
    (tmp_path / "per_video.npz").write_bytes(b"PK and nothing else")

    with pytest.raises(DataError, match=r"per_video\.npz.*Measure again"):
        read_videos(tmp_path)


def test_results_are_short_to_look_at():
    """However long the tables and large the images."""
    run = labelled_run(config="KEY: value\n" * 10_000)
    run.results["long"] = Result(tables={"rows": [{"a": 1}] * 10_000}, images={"x.jpg": b"x" * 100_000})

    assert len(repr(run)) < 1500
    assert len(repr(run.results)) < 1500
    assert "table rows of 10000 rows; 1 images" in repr(run.results["long"])
    assert "top1, log_ratio" in repr(run.results)
