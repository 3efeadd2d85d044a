"""The cache that is bounded in bytes."""

import pytest

from pvbias.video.bytes_cache import BytesCache

pytestmark = pytest.mark.smoke


def kept(cache, keys):
    return "".join(key for key in keys if cache.get(key) is not None)


def test_what_was_used_longest_ago_leaves_first():
    cache = BytesCache(limit=10)
    for key in "abc":
        cache.keep(key, memoryview(b"123"))
    assert cache.get("a").tobytes() == b"123"
    cache.keep("d", memoryview(b"1"))  # 10 bytes: all fit
    assert kept(cache, "bcda") == "bcda"
    cache.keep("e", memoryview(b"1234"))  # b and c have to go
    assert kept(cache, "abcde") == "ade"


def test_a_value_that_takes_the_place_of_another_counts_once():
    cache = BytesCache(limit=10)
    for _ in range(5):
        cache.keep("a", memoryview(b"12345"))
    cache.keep("b", memoryview(b"12345"))
    assert kept(cache, "ab") == "ab"


def test_a_value_above_the_limit_is_kept_alone_until_the_next():
    cache = BytesCache(limit=10)
    cache.keep("a", memoryview(b"1"))
    large = memoryview(bytes(100))
    assert cache.keep("b", large) is large
    assert kept(cache, "ab") == "b"
    cache.keep("c", memoryview(b"1"))
    assert kept(cache, "abc") == "c"


def test_a_cache_that_was_cleared_has_its_room_again():
    cache = BytesCache(limit=10)
    cache.keep("a", memoryview(bytes(10)))
    cache.clear()
    assert cache.get("a") is None
    cache.keep("b", memoryview(bytes(5)))
    cache.keep("c", memoryview(bytes(5)))
    assert kept(cache, "bc") == "bc"
