import errno
import os
import threading
from pathlib import Path

import pytest

from pvbias.errors import DataError
from pvbias.storage.local_cache import LocalCache


def copy(cache, name, size, *, content=b"x"):
    """Write (or find) a copy, and say whether it had to be written."""
    written = []

    def write(path):
        written.append(path)
        Path(path).write_bytes(content * size)

    held = cache.copy(name, f"{name}.mp4", size, write)
    return held, bool(written)


def files(folder):
    return {path.name.partition("-")[2]: path.stat().st_size for path in folder.glob("*/*")}


def test_a_file_is_written_once_and_keeps_its_content_and_suffix(tmp_path):
    cache = LocalCache(str(tmp_path))
    first, written = copy(cache, "a", 10)
    second, again = copy(cache, "a", 10)
    assert (written, again) == (True, False)
    assert first.path == second.path
    assert Path(first.path).read_bytes() == b"x" * 10
    assert first.path.endswith(".mp4")


def test_the_bound_holds_and_what_was_not_read_for_longest_goes(tmp_path):
    cache = LocalCache(str(tmp_path), max_bytes=1000)
    for name in "abcdefghi":
        copy(cache, name, 100)[0].close()
        copy(cache, "a", 100)[0].close()  # always the one read last
    assert sum(files(tmp_path).values()) == 900
    for name in "jklmnopq":
        copy(cache, name, 100)[0].close()
        copy(cache, "a", 100)[0].close()
        assert sum(files(tmp_path).values()) <= 1000
    assert {"a.mp4", "q.mp4"} <= files(tmp_path).keys()
    assert not {"b.mp4", "c.mp4"} & files(tmp_path).keys()


def test_what_is_read_stays(tmp_path):
    cache = LocalCache(str(tmp_path), max_bytes=250)
    held, _ = copy(cache, "held", 100)
    for name in "abcd":
        copy(cache, name, 100)[0].close()
    assert files(tmp_path) == {"held.mp4": 100, "d.mp4": 100}
    other, _ = copy(cache, "other", 100)
    with pytest.raises(DataError, match=r"CACHE_GIB = .* allows: raise it, or lower DATA_LOADER.NUM_WORKERS"):
        copy(cache, "third", 100)
    assert Path(held.path).exists()
    assert Path(other.path).exists()
    held.close()
    copy(cache, "third", 100)
    assert "held.mp4" not in files(tmp_path)


def test_one_file_larger_than_the_bound(tmp_path):
    with pytest.raises(DataError, match=r"take 101 bytes, more than DATA.CACHE_GIB"):
        copy(LocalCache(str(tmp_path), max_bytes=100), "a", 101)
    assert files(tmp_path) == {}


def test_processes_that_want_the_same_file_write_it_once(tmp_path):
    begun, finish, writes, paths = threading.Event(), threading.Event(), [], []

    def write(path):
        writes.append(path)
        begun.set()
        finish.wait()
        Path(path).write_bytes(b"whole")

    def want():
        held = LocalCache(str(tmp_path)).copy("key", "a.mp4", 5, write)
        paths.append((held.path, Path(held.path).read_bytes()))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert not paths
    finish.set()
    for thread in threads:
        thread.join()
    assert len(writes) == 1
    assert [content for _, content in paths] == [b"whole"] * 4


def test_nothing_is_left_of_a_write_that_failed(tmp_path):
    def write(path):
        Path(path).write_bytes(b"half")
        raise KeyError

    with pytest.raises(KeyError):
        LocalCache(str(tmp_path)).copy("key", "a.mp4", 8, write)
    assert files(tmp_path) == {}


def test_what_a_killed_process_left_is_written_anew_or_cleared_away(tmp_path):
    cache = LocalCache(str(tmp_path), max_bytes=300)
    held, _ = copy(cache, "a", 100)
    unfinished = Path(f"{held.path}.100.part")
    os.rename(held.path, unfinished)
    held.close()
    unfinished.write_bytes(b"half")
    held, written = copy(cache, "a", 100)
    assert written
    assert Path(held.path).read_bytes() == b"x" * 100
    assert not unfinished.exists()
    Path(f"{held.path}.50.part").write_bytes(b"half")
    copy(cache, "b", 100)
    copy(cache, "c", 50)
    assert not list(tmp_path.glob("*/*.part"))


def test_a_copy_that_a_crash_of_the_machine_has_cut_off_is_written_anew(tmp_path):
    held, _ = copy(LocalCache(str(tmp_path)), "a", 100)
    held.close()
    os.truncate(held.path, 30)
    held, written = copy(LocalCache(str(tmp_path)), "a", 100)
    assert written
    assert Path(held.path).stat().st_size == 100


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(tmp_path, number):
    cache = LocalCache(str(tmp_path))
    for name in ("old", "older", "new"):
        copy(cache, name, 100)[0].close()
    attempts = []

    def write(path):
        attempts.append(files(tmp_path).keys())
        Path(path).write_bytes(b"a" * len(attempts))
        if len(attempts) == 1:
            raise OSError(number, "No space left on device")

    cache.copy("key", "a.mp4", 2, write).close()  # with half of the others gone
    assert "old.mp4" in attempts[0]
    assert "old.mp4" not in attempts[1]
    assert files(tmp_path) == {"new.mp4": 100, "a.mp4": 2}

    def always(path):
        raise OSError(number, "No space left on device")

    with pytest.raises(DataError, match=r"No space left on device. DATA.CACHE_DIR names another folder"):
        cache.copy("other", "b.mp4", 2, always)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"DATA.CACHE_DIR = .*file/x' cannot be made"):
        copy(LocalCache(str(tmp_path / "file" / "x")), "a", 1)
