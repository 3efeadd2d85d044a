"""Attributes: mappings as small as they can be, and the types of a table's columns."""

import pickle
from types import SimpleNamespace

import pytest

from pvbias.data import VideoRecord, attributes_fingerprint
from pvbias.data.attributes import NO_ATTRIBUTES, AttributePool, Attributes, typed_column


def test_a_mapping_like_a_dictionary_that_cannot_be_changed():
    items = {"scene": "kitchen", "people": 2, "indoors": True}
    attributes = Attributes.of(items)
    assert attributes == items
    assert (attributes["people"], attributes.get("none"), "scene" in attributes) == (2, None, True)
    assert hash(attributes) == hash(Attributes.of(dict(reversed(items.items()))))
    with pytest.raises(KeyError, match="none"):
        attributes["none"]
    with pytest.raises(TypeError):
        attributes["scene"] = "street"


def test_what_records_have_in_common_is_in_memory_once():
    pool = AttributePool()
    records = [
        VideoRecord(path=f"{i}", name=f"{i}", attributes=pool.make(("".join(["sce", "ne"]),), (f"{i % 2} kitchen",)))
        for i in range(1000)
    ]
    for some in (records, pickle.loads(pickle.dumps(records))):
        assert len({id(value) for record in some for value in record.attributes.values()}) == 2
        assert len({id(name) for record in some for name in record.attributes}) == 1
    plain = [VideoRecord(path=f"{i}", name=f"{i}") for i in range(1000)]
    assert all(record.attributes is NO_ATTRIBUTES for record in plain)
    assert len(pickle.dumps(plain)) < len(pickle.dumps([(record.path, record.name) for record in plain])) + 40 * 1000


def test_a_record_can_be_hashed_whatever_mapping_it_has():
    record = VideoRecord(path="a", name="a", attributes={"scene": "kitchen"})
    assert {record: 1}[VideoRecord(path="a", name="a", attributes=Attributes.of({"scene": "kitchen"}))] == 1
    assert record != VideoRecord(path="a", name="a")


def test_what_says_nothing_is_left_out():
    pool = AttributePool()
    items = {"a": None, "b": "", "c": float("nan"), "d": float("inf"), "e": [1], "f": {"x": 1}, "g": 0, "h": False}
    assert pool.make(tuple(items), tuple(items.values())) == {"g": 0, "h": False}
    assert pool.nested == {"e": 1, "f": 1}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["3", "-1", ""], [3, -1, None]),
        (["3", "2.5", "nan"], [3.0, 2.5, None]),
        (["1e3", ".5"], [1000.0, 0.5]),
        (["007", "12"], ["007", "12"]),
        (["123456789012345678", "1"], [123456789012345678, 1]),
        (["1234567890123456789", "1"], ["1234567890123456789", "1"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["True", "false", ""], [True, False, None]),
        (["3", "kitchen"], ["3", "kitchen"]),
        (["", "N/A"], [None, None]),
        (["٣"], ["٣"]),
    ],
)
def test_types_of_columns(cells, wanted):
    found = typed_column(cells)
    assert found == wanted
    assert [type(value) for value in found] == [type(value) for value in wanted]


def test_lists_are_told_apart_by_their_attributes():
    def source(*attributes):
        return SimpleNamespace(records=[VideoRecord(path="a", name="a", attributes=each) for each in attributes])

    plain, first = source({}, NO_ATTRIBUTES), source({"scene": "a", "people": 1}, {})
    assert attributes_fingerprint(plain) == ""
    assert attributes_fingerprint(first) == attributes_fingerprint(source({"people": 1, "scene": "a"}, NO_ATTRIBUTES))
    others = [source({}, {"scene": "a", "people": 1}), source({"scene": "a", "people": True}, {}), plain]
    assert len({attributes_fingerprint(each) for each in (first, *others)}) == 4
    assert attributes_fingerprint(first, ["scene"]) == attributes_fingerprint(
        source({"scene": "a"}, {"people": 1}), ["scene"]
    )
    assert attributes_fingerprint(first, ["domain"]) == ""
