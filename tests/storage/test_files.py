import threading
from pathlib import Path

import pytest

from pvbias.data.annotations.files import Files
from pvbias.storage import Address, StoreError, addresses, files
from pvbias.storage.addresses import status
from pvbias.storage.files import beginning, local_copy, sizes
from pvbias.storage.local_cache import LocalCache
from pvbias.storage.shards import Shards

from .server import Store
from .test_shards import pack

pytest.importorskip("aiohttp")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PAUSES", (0.0, 0.0))
    (tmp_path / "served").mkdir()
    server = Store(tmp_path / "served")
    yield server
    server.shutdown()


@pytest.fixture
def cache(tmp_path):
    return LocalCache(str(tmp_path / "cache"))


def read(address, cache):
    held = local_copy(address, cache)
    try:
        return Path(held.path).read_bytes()
    finally:
        held.close()


def kept(tmp_path):
    return [path.name for path in (tmp_path / "cache").glob("*/*")]


def test_an_object_is_fetched_once(store, cache):
    (store.folder / "a.mp4").write_bytes(b"content")
    address = f"{store.address}/a.mp4"
    assert [read(address, cache) for _ in range(3)] == [b"content"] * 3
    assert store.gets("/a.mp4") == [""]


def test_members_of_a_shard_are_fetched_without_the_others(store, cache):
    videos = {f"{number}.mp4": bytes([number]) * 200_000 for number in range(5)}
    pack(store.folder / "s.tar", videos)
    shards = Shards(f"{store.address}/s.tar", cache)
    store.requests.clear()
    address = shards.path("3.mp4")
    assert address == f"tar://3.mp4::{store.address}/s.tar"
    assert read(address, cache) == read(address, cache) == videos["3.mp4"]
    (part,) = store.gets("/s.tar")
    first, last = map(int, part.removeprefix("bytes=").split("-"))
    assert last - first + 1 == 200_000
    assert beginning(address, 10, cache) == (200_000, b"\3" * 10)


def test_a_short_download_is_tried_again_and_never_kept(store, cache, tmp_path):
    (store.folder / "a.mp4").write_bytes(b"content" * 1000)
    store.short["/a.mp4"] = 2
    assert read(f"{store.address}/a.mp4", cache) == b"content" * 1000
    (store.folder / "b.mp4").write_bytes(b"content" * 1000)
    store.short["/b.mp4"] = 3
    with pytest.raises(StoreError) as caught:
        read(f"{store.address}/b.mp4", cache)
    assert not caught.value.missing
    assert len(store.gets("/b.mp4")) == 3
    assert [name for name in kept(tmp_path) if "b.mp4" in name] == []


def test_an_object_that_changes_is_read_as_it_is_now(store, cache):
    file, address = store.folder / "a.mp4", f"{store.address}/a.mp4"
    file.write_bytes(b"before")
    assert status(address).size == 6
    file.write_bytes(b"later!")  # of the same size; only the store's ETag tells
    assert read(address, cache) == b"later!"
    file.write_bytes(b"before")
    status(address, fresh=True)
    assert read(address, cache) == b"before"


def test_a_server_that_states_no_versions_is_read_by_each_run(store, cache, monkeypatch):
    store.versions = False
    file, address = store.folder / "a.mp4", f"{store.address}/a.mp4"
    file.write_bytes(b"before")
    assert [read(address, cache) for _ in range(2)] == [b"before"] * 2
    assert store.gets("/a.mp4") == [""]
    file.write_bytes(b"later!")
    monkeypatch.setattr(addresses, "_THIS_RUN", "another run")
    assert status(address, fresh=True).size == 6
    assert read(address, cache) == b"later!"


@pytest.mark.parametrize("name", ["a%20b.mp4", "a b.mp4", "100%.mp4", "a#b.mp4", "a?b.mp4", "a::b.mp4", "é+&.mp4"])
def test_names_are_those_of_the_files(store, cache, name):
    """Although some characters, and some encoded ones, mean something else in addresses."""
    for other in ("a", "a b.mp4", "a%20b.mp4", name):
        (store.folder / other).write_text(other)
    roots = Address(store.address), Address(f"file://{store.folder}")
    assert [read(Files(root).path(name), cache).decode() for root in roots] == [name] * 2


def test_a_name_that_no_store_can_have(cache):
    assert sizes(["memory://folder/\udcff.mp4"], cache) == [None]


def test_a_shard_that_changes_while_it_is_read(store, cache):
    path = pack(store.folder / "s.tar", {"a.mp4": b"1" * 600, "b.mp4": b"2" * 600})
    address = Shards(f"{store.address}/s.tar", cache).path("b.mp4")
    pack(path, {"b.mp4": b"3" * 900, "a.mp4": b"1" * 600})
    assert read(address, cache) == b"3" * 900


def test_what_is_not_there(store, cache):
    pack(store.folder / "s.tar", {"a.mp4": b"1"})
    for address in (f"{store.address}/none.mp4", f"tar://none.mp4::{store.address}/s.tar"):
        with pytest.raises(StoreError, match="there is no file") as caught:
            local_copy(address, cache)
        assert caught.value.missing
        assert sizes([address], cache) == [None]
    with pytest.raises(StoreError, match=r"no file none.mp4 in .*{s,s}.tar"):
        local_copy(f"tar://none.mp4::{store.address}/{{s,s}}.tar", cache)


def test_a_server_that_does_not_answer_is_no_missing_file(store, cache):
    store.shutdown()
    store.server_close()
    with pytest.raises(StoreError, match=r"127.0.0.1:\d+/a.mp4: .*Check the address") as caught:
        sizes([f"{store.address}/a.mp4"], cache)
    assert not caught.value.missing
    assert "\n" not in str(caught.value)


def test_a_server_without_range_requests(store, cache):
    pack(store.folder / "s.tar", {"a.mp4": b"1" * 600, "b.mp4": b"2" * 70_000})
    address = Shards(store.folder / "s.tar", cache).path("b.mp4").replace(str(store.folder), store.address)
    store.ranges = False
    with pytest.raises(StoreError, match="parts of files"):
        local_copy(address, cache)


def test_many_sizes(store, cache):
    for number in range(40):
        (store.folder / f"{number}.mp4").write_bytes(b"x" * number)
    addresses = [f"{store.address}/{number}.mp4" for number in range(41)]
    assert sizes(addresses, cache) == [*range(40), None]


def test_a_scheme_whose_package_is_missing(cache, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(StoreError, match=r"gs://bucket/a.mp4: .*pip install 'pvbias\[gs\]'"):
        sizes(["gs://bucket/a.mp4"], cache)


def test_threads_share_a_download(store, cache):
    (store.folder / "a.mp4").write_bytes(b"content")
    threads = [threading.Thread(target=read, args=(f"{store.address}/a.mp4", cache)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.gets("/a.mp4") == [""]
