"""Packed lists of records against the records themselves."""

import gc
import multiprocessing
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from pvbias.data import RecordList, RecordSubset, VideoRecord, field_of
from pvbias.data.attributes import NO_ATTRIBUTES, Attributes

pytestmark = pytest.mark.smoke

COUNT = 4200  # more than are made together


def _attributes(number):
    """Of many kinds: names in two orders, missing ones, values of one name that are of several types."""
    return [
        {},
        {"scene": f"kitchen {number % 3}", "people": number % 7},
        {"people": number - 4000, "scene": "street"},
        {"take": f"take {number}", "sure": number % 2 == 0, "score": number / 7},
        {"odd": [1, 1.0, True, "1", -(2**70), "caf\u00e9", "\udcff\udc80"][number % 7]},
    ][number % 5]


def _record(number):
    name = ["a/b{}.mp4", "\u4f60\u597d{}.mp4", "\udcfe{}.mkv", "v{}"][number % 4].format(number)
    path = [f"/videos/{name}", f"/videos/class {number % 5}/{name}.webm", f"/elsewhere/{number}", ""][number % 9 % 4]
    return VideoRecord(
        path=path,
        name=name,
        label=[None, 0, 7, -1, 2**40][number % 5],
        start=[None, 0.1, 2.0][number % 3],
        end=None if number % 2 else 1e6 / 3,
        attributes=Attributes.of(_attributes(number)),
    )


@pytest.fixture(scope="module")
def records():
    return [_record(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def packed(records):
    return RecordList.of(records)


def same(found, wanted):
    """Equal, and of the same types, with attributes in the same order."""
    return [repr(record) for record in found] == [repr(record) for record in wanted]


def test_all_records_come_back(records, packed):
    assert len(packed) == COUNT
    assert same(packed, records)
    assert same([packed[0], packed[-1], packed[4095], packed[4096]], [records[0], records[-1], *records[4095:4097]])
    assert packed[17] == records[17]
    assert hash(packed[17]) == hash(records[17])
    with pytest.raises(IndexError):
        packed[COUNT]


@pytest.mark.parametrize("field", ["path", "name", "label", "start", "end", "attributes"])
def test_fields(records, packed, field):
    wanted = [getattr(record, field) for record in records]
    assert field_of(packed, field) == field_of(records, field) == wanted
    assert field_of(packed[5:50], field) == wanted[5:50]


@pytest.mark.parametrize("numbers", [range(50), range(7, 30), [49, 3, 3, 20], [0], [], range(40, 4, -9)])
def test_names_of_ascii_alone(numbers):
    """Those that lie close together are decoded at once."""
    names = [f"{'folder/' * (number % 5)}{number}.mp4" for number in range(50)]
    none = [None] * 50
    paths, found = [f"/videos/{name}" for name in names], [NO_ATTRIBUTES] * 50
    packed = RecordList(names=names, paths=paths, labels=none, starts=none, ends=none, attributes=found)
    wanted = np.array([*numbers], np.int64)
    assert packed.field("name", wanted) == [names[number] for number in numbers]
    assert packed.field("path", wanted) == [paths[number] for number in numbers]


def test_parts_of_a_list(records, packed):
    numbers = [5, 3, 4199, 3]
    picked = RecordSubset(packed, numbers)
    assert same(picked, [records[number] for number in numbers])
    assert same(picked[1:], [records[number] for number in numbers[1:]])
    assert same(packed[::-7], records[::-7])
    assert same(packed[100:][10:40][::2], records[110:140:2])
    assert same(RecordSubset(records, numbers), [records[number] for number in numbers])
    assert list(packed[COUNT:]) == []


def test_without_labels(records, packed):
    for whole in (packed, records):
        part = RecordSubset(whole, range(50), labelled=False)
        assert {record.label for record in part} == {None}
        assert [(record.name, record.attributes) for record in part] == [(r.name, r.attributes) for r in records[:50]]


def test_empty_lists_and_lists_of_one_kind():
    assert list(RecordList.of([])) == []
    plain = [VideoRecord(path=f"/{number}", name=f"{number}", label=number % 400) for number in range(300)]
    assert same(RecordList.of(plain), plain)
    (only,) = RecordList.of(plain[:1])
    assert only == plain[0]


def test_values_of_other_types():
    """As a data set of one's own may have them."""
    values = [np.int64(3), np.float32(0.5), (1, 2), Path("a"), b"x", {1: 2}]
    made = [
        VideoRecord(path="", name="", label=label, attributes=Attributes.of({"a": value}))
        for label, value in zip(np.arange(6), values, strict=True)
    ]
    assert same(RecordList.of(made), made)
    assert same(pickle.loads(pickle.dumps(RecordList.of(made))), made)


def test_what_is_pickled_comes_back(records, packed):
    assert same(pickle.loads(pickle.dumps(packed)), records)
    assert same(pickle.loads(pickle.dumps(RecordSubset(packed, range(9, 30)))), records[9:30])


def test_a_line_takes_few_bytes():
    """A Kinetics list with three attributes, packed: the name's 47 bytes and 20 more."""
    names = [f"train/class {n % 400:03d}/{n:011x}_{n:06d}_{n + 10:06d}.mp4" for n in range(4_000)]
    listed = RecordList(
        names=names,
        paths=[f"/data/kinetics/{name}" for name in names],
        labels=[n % 400 for n in range(4_000)],
        starts=[None] * 4_000,
        ends=[None] * 4_000,
        attributes=[
            Attributes.of({"scene": f"scene number {n % 365}", "people": n % 9, "score": n / 9}) for n in range(4_000)
        ],
    )
    assert len(pickle.dumps(listed)) / 4_000 < len(names[0]) + 25


def _private_bytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _read_all(lists, queue):
    gc.collect()  # which writes to all that a forked process has from its parent, and so copies it: not while counting
    before = _private_bytes()
    texts = [sum(len(record.path) for record in listed) for listed in lists]
    queue.put((texts, [listed[-1].name for listed in lists], _private_bytes() - before))


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in /proc")
def test_workers_read_one_memory():
    """30,000 lines of 330 bytes: a worker's own copy of either list would take 10 MB."""
    names = [f"{'x' * 310}{number:020d}" for number in range(30_000)]
    listed = RecordList.of(VideoRecord(path=f"/videos/{name}", name=name) for name in names)
    lists = [listed, listed[10:], RecordList.of(listed[:100]), RecordSubset(listed, np.arange(7, 30_000))]
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    process = context.Process(target=_read_all, args=(lists, queue))
    process.start()
    texts, last, grown = queue.get(timeout=120)
    process.join()
    assert texts == [338 * len(each) for each in lists]
    assert last == [names[-1], names[-1], names[99], names[-1]]
    assert grown < 8e6  # 3 to 6 MB, whatever the number of lines: modules
    assert all(
        record.name == name for record, name in zip(listed, names, strict=True)
    )  # here it lies in the shared memory, too, from now on
