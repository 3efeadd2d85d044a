"""The table: figures, paired differences, kills, parts, its page."""

import multiprocessing
import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml
from scipy import stats

from pvbias.errors import ConfigError
from pvbias.features import write_features
from pvbias.plugins.transfer.page import disagreements, write_page
from pvbias.plugins.transfer.table import read_table
from pvbias.shard import Shard

from ...kills import kill_at_work
from ...video.videos import write_video

PROTOCOLS = {
    "linear probe": {"protocol": "probe", "settings": {"penalties": [0.01, 0.1]}, "seeds": [0, 1]},
    "nearest neighbours": {"protocol": "probe", "probe": "knn"},
    "5-way": {"protocol": "few_shot", "classifier": "centroid", "ways": 3, "shots": [1], "queries": 5, "episodes": 30},
}


def write_table(folder):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    for model, strength in (("plain", 0.4), ("better", 1.0)):
        for part in ("train", "test"):
            embeddings = strength * np.eye(3, 8)[labels] + generator.normal(size=(60, 8)) / 2
            write_features(
                folder / model / part,
                {("embedding", "original"): embeddings.astype(np.float32)},
                [f"{number}.mp4" for number in range(60)],
                labels=labels,
            )
    content = {
        "models": {name: str(folder / name) for name in ("plain", "better")},
        "data": {"one": {"train": "train", "test": "test"}},
        "protocols": PROTOCOLS,
    }
    (folder / "table.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return partial(read_table, folder / "table.yaml")


@pytest.fixture(scope="module")
def table_of(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def alone(table_of, tmp_path_factory):
    table = table_of(tmp_path_factory.mktemp("alone"))
    table.compute()
    return table


def test_differences_are_paired(alone):
    rows = {(row["model"], row["protocol"], row["figure"]): row for row in alone.rows()}
    first, second = (rows[model, "5-way", "3way_1shot"] for model in ("plain", "better"))
    assert second["difference"] == second["value"] - first["value"] > 0
    values = [
        next(iter(np.load(cell.folder / "per_video.npz")[name] for name in ["transfer/3way_1shot/video/original"]))
        for cell in alone.cells
        if cell.name == "5-way"
    ]
    test = stats.ttest_rel(values[1], values[0]).confidence_interval()
    np.testing.assert_allclose([second["difference_low"], second["difference_high"]], [100 * test.low, 100 * test.high])
    probe = rows["better", "linear probe", "top1"]
    assert probe["difference_low"] < probe["difference"] < probe["difference_high"]
    assert first["difference"] is None


def test_ten_kills_change_no_digit(table_of, alone, tmp_path):
    table, generator, kills = table_of(tmp_path), random.Random(0), 0

    def start():
        process = multiprocessing.get_context("fork").Process(target=table.compute)
        process.start()
        return process

    def progress():
        return sorted(path.parent.name for path in tmp_path.rglob("*.*"))

    while kills < 10:
        if kill_at_work(start, progress, generator, within=0.15):
            kills += 1
        else:
            for cell in table.cells:
                (cell.folder / "results.json").unlink()
    table.compute()
    assert table.rows() == alone.rows()


def test_parts_come_together(table_of, alone, tmp_path):
    table = table_of(tmp_path)
    for index in (1, 0):
        table.compute(Shard(index, 2))
    assert all(cell.is_done() for cell in table.cells)
    assert table.rows() == alone.rows()


def test_a_cell_of_other_settings_or_features_is_made_anew(table_of, tmp_path):
    path = tmp_path / "table.yaml"
    content = {
        "models": {"plain": str(table_of.args[0].parent / "plain")},
        "data": {"one": {"train": "train", "test": "test"}},
        "protocols": {"neighbours": {"protocol": "probe", "probe": "knn"}},
    }
    path.write_text(yaml.safe_dump(content))
    read_table(path, tmp_path).compute()
    assert read_table(path, tmp_path).cells[0].is_done()
    content["protocols"]["neighbours"]["settings"] = {"neighbours": 3}
    path.write_text(yaml.safe_dump(content))
    assert not read_table(path, tmp_path).cells[0].is_done()


def test_a_class_map_that_was_mended_is_read_again(table_of, tmp_path):
    features, names = table_of.args[0].parent / "mimetics", list("abc")
    logits = {("logits", "original"): np.eye(3, dtype=np.float32)}
    write_features(features / "test", logits, names, labels=[0, 1, 2], class_names=names)
    (tmp_path / "map.csv").write_text("ours,theirs\na,a\nb,b\n")
    content = {
        "models": {"plain": str(features)},
        "data": {"mimetics": {"test": "test"}},
        "protocols": {"shared": {"protocol": "generalization", "class_map": str(tmp_path / "map.csv")}},
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(content))
    table = read_table(tmp_path / "table.yaml", tmp_path)
    table.compute()
    assert table.cells[0].is_done()
    (tmp_path / "map.csv").write_text("ours,theirs\na,a\nc,c\n")
    assert not table.cells[0].is_done()


def test_episodes_of_other_videos_are_not_paired(tmp_path):
    """A network that could not use one of the videos is given other episodes."""
    generator = np.random.default_rng(0)
    for model, videos in (("all", 30), ("fewer", 27)):
        embeddings = generator.normal(size=(videos, 4)).astype(np.float32)
        names, labels = [f"{number}.mp4" for number in range(videos)], np.arange(videos) % 3
        write_features(tmp_path / model / "test", {("embedding", "original"): embeddings}, names, labels=labels)
    few = {"protocol": "few_shot", "classifier": "centroid", "ways": 3, "shots": 1, "queries": 2, "episodes": 4}
    content = {
        "models": {name: str(tmp_path / name) for name in ("all", "fewer")},
        "data": {"one": {"test": "test"}},
        "protocols": {"3-way": few},
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(content))
    table = read_table(tmp_path / "table.yaml", tmp_path)
    table.compute()
    _, row = table.rows()
    assert row["difference"] is not None
    assert row["difference_low"] is None


def test_the_page_shows_where_networks_differ(alone, tmp_path):
    differing = disagreements(alone)
    assert [each.title for each in differing] == [
        "linear probe, one: plain and better",
        "nearest neighbours, one: plain and better",
    ]
    for each in differing:
        assert sum(each.counts) == 60
        assert {row["right"] for row in each.rows} == {"plain", "better"}
        assert all(row["better says"] == row["class"] for row in each.rows if row["right"] == "better")
        assert all(row["plain says"] != row["class"] for row in each.rows if row["right"] == "better")
    page = write_page(alone, alone.rows(), tmp_path / "report.html", about={"Command": "<none>"}).read_text()
    assert "3way 1shot" in page
    assert "interval over 30 episodes, all of these 60 videos" in page
    assert "AT THE EDGE of them" in page
    assert "&lt;none&gt;" in page


def test_the_page_shows_frames_of_the_videos_of_the_list(table_of, alone, tmp_path):
    write_video(tmp_path / "shown.avi", 12)
    rows = [f"{number}.mp4,0" for number in range(60)]
    (tmp_path / "test.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    differing = {row["video"] for each in disagreements(alone) for row in each.rows}
    for name in differing:
        (tmp_path / name).symlink_to("shown.avi")
    gone = min(differing)
    (tmp_path / gone).unlink()
    data = {"one": {**alone.data["one"], "list": str(tmp_path / "test.csv")}}
    page = write_page(replace(alone, data=data), alone.rows(), tmp_path / "report.html", about={}).read_text()
    shown = page.count("data:image/jpeg")
    assert shown == sum(row["video"] != gone for each in disagreements(alone) for row in each.rows)


def test_a_configuration_with_a_mistake_is_refused(tmp_path):
    path = tmp_path / "table.yaml"
    for content, message in (
        ({"models": {}}, "a table has models, data, protocols"),
        ({"models": {"a": "b"}, "data": {"x": {}}, "protocols": {"p": {"protocol": "prob"}}}, "Did you mean 'probe'"),
        ({"models": {"a": "b"}, "data": {"x": {}}, "protocols": {"p": {"protocol": "probe"}}}, "no 'train'"),
        ({"models": {"a": "b"}, "data": {"x": {}}, "protocols": {"p": {"protocol": "tsne", "data": ["y"]}}}, "has 'y'"),
        ({"models": {"a": "b"}, "data": {"x": {}}, "protocols": {}, "dta": 1}, "Did you mean 'data'"),
        (
            {"models": {"a": "b"}, "data": {"x": {}}, "protocols": {"p": {"protocol": "tsne", "seed": "x"}}},
            "seed is 'x'",
        ),
        ({"models": {1: "b"}, "data": {}, "protocols": {}}, "models has the name 1, .* put it in quotes"),
        ({"models": {"a": "b"}, "data": {False: {}}, "protocols": {}}, "data has the name False"),
        ({"models": {"a": "b"}, "data": {}, "protocols": {1.5: {}}}, "protocols has the name 1.5"),
        ({"models": {"a": 1}, "data": {}, "protocols": {}}, "models.a has the folder 1"),
        ({"models": {"a": "b"}, "data": {"x": "train"}, "protocols": {}}, "data.x is 'train', and not folders"),
        ({"models": {"a": "b"}, "data": {"x": {"test": 2}}, "protocols": {}}, "data.x.test is 2"),
        ({"models": {"a": "b"}, "data": {}, "protocols": {"p": {"protocol": ["probe"]}}}, "has the protocol"),
        ({"models": {"a": "b"}, "data": {}, "protocols": {"p": {"protocol": "tsne", "data": 1}}}, "not a list"),
    ):
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(ConfigError, match=message):
            read_table(path, tmp_path)
