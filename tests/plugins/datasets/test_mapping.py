"""Class maps by name, and lists in shared classes."""

import csv

import pytest

from pvbias.data.annotations import read_annotation, read_class_names
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.datasets.mapping import find_map, known_maps, map_list

from .official_files import ANNOTATIONS, needs_official_files, write


def test_a_list_of_each_data_set_gets_the_shared_classes(tmp_path):
    write(
        tmp_path,
        {
            "ucf/class_names.txt": "Archery\nPunch\nBoxingSpeedBag\nTaiChi\n",
            "ucf/test1.csv": "path,label,group\na.avi,Archery,1\nb.avi,TaiChi,2\nc.avi,BoxingSpeedBag,3\n",
            "hmdb/test1.csv": "x.avi,punch\ny.avi,smile\nz.avi,shoot bow\n",
        },
    )
    shared = find_map("ucf101_hmdb51")
    first = map_list(read_annotation(tmp_path / "ucf/test1.csv"), shared, tmp_path / "both" / "ucf.csv")
    second = map_list(read_annotation(tmp_path / "hmdb/test1.csv"), shared, tmp_path / "both" / "hmdb.csv")
    assert (first.left_out, second.left_out) == (["TaiChi"], ["smile"])
    names = read_class_names(tmp_path / "both" / "class_names.txt")
    assert len(names) == 12
    ucf, hmdb = (read_annotation(tmp_path / "both" / name) for name in ("ucf.csv", "hmdb.csv"))
    assert ucf.class_names == hmdb.class_names == names
    assert [(record.name, names[record.label]) for record in ucf.records] == [
        ("../ucf/a.avi", "shoot_bow"),
        ("../ucf/c.avi", "punch"),
    ]
    assert [names[record.label] for record in hmdb.records] == ["punch", "shoot_bow"]
    assert dict(ucf.records[1].attributes) == {"group": 3}
    write(tmp_path, {"m.csv": "x,y\nTaiChi,Archery\n"})
    other = find_map(str(tmp_path / "m.csv"))
    with pytest.raises(ConfigError, match="has lists of other classes"):
        map_list(read_annotation(tmp_path / "ucf/test1.csv"), other, tmp_path / "both/x.csv")


def test_lists_that_share_nothing(tmp_path):
    write(tmp_path, {"names.csv": "a.avi,waving\n", "numbers.csv": "a.avi 1\n"})
    with pytest.raises(DataError, match=r"None of the classes of .*is of ucf101 and hmdb51"):
        map_list(read_annotation(tmp_path / "names.csv"), find_map("ucf101_hmdb51"), tmp_path / "o" / "l.csv")
    with pytest.raises(DataError, match="has no class names, but numbers"):
        map_list(read_annotation(tmp_path / "numbers.csv"), find_map("ucf101_hmdb51"), tmp_path / "o" / "l.csv")
    with pytest.raises(DataError, match=r"There is no class map 'ucf_hmdb'.*ucf101_hmdb51"):
        find_map("ucf_hmdb")


@pytest.mark.parametrize("name", known_maps())
def test_each_says_where_it_is_from(name):
    assert len(find_map(name).about) > 40


@needs_official_files
def test_the_shared_classes_of_ucf101_and_hmdb51_have_the_published_numbers_of_clips():
    """1,438 / 571 and 840 / 360: Chen et al., ICCV 2019, Table 1."""
    shared = find_map("ucf101_hmdb51")
    for split, count in (("train", 1438), ("test", 571)):
        lines = (ANNOTATIONS / f"ucf101_splits/{split}list01.txt").read_text().split()
        assert sum(shared.find(line.split("/")[0]) is not None for line in lines if "/" in line) == count
    hmdb = {path.name.partition("_test_split")[0] for path in (ANNOTATIONS / "hmdb51_splits").glob("*_test_split1.txt")}
    assert {*shared.classes} <= hmdb
    assert (len(shared.classes) * 70, len(shared.classes) * 30) == (840, 360)


@needs_official_files
def test_mimetics_classes_are_kinetics_classes():
    kinetics = {*(ANNOTATIONS / "kinetics/label_map_k400.txt").read_text().splitlines()}
    with (ANNOTATIONS / "mimetics/mimetics_v1.0.csv").open() as file:
        mimetics = sorted({row["label"] for row in csv.DictReader(file)})
    assert find_map("mimetics_kinetics400").pairs == tuple((name, name) for name in mimetics)
    ten = find_map("mimetics10_kinetics400").classes
    assert {*ten} < {*mimetics} < kinetics
    lines = (ANNOTATIONS / "mimetics/mimetics_v1.0_clsannot.txt").read_text().splitlines()[1:]
    assert ten == tuple(line.split()[0].replace("_", " ") for line in lines[4::5])
