import io
import subprocess
import tarfile

import pytest

from pvbias.errors import DataError
from pvbias.storage.local_cache import LocalCache
from pvbias.storage.shards import Shards, expand_braces, is_shards, place_of, tar_index

NAMES = {"left/0.mp4": b"a" * 700, "left/1.mp4": b"", "right/" + 120 * "n" + ".mp4": b"b" * 512, "é.cls": b"3"}


@pytest.fixture
def cache(tmp_path):
    return LocalCache(str(tmp_path / "cache"))


def pack(path, contents, **options):
    with tarfile.open(path, "w", **options) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_lie_where_the_index_says(tmp_path, cache, form):
    path = pack(tmp_path / "a.tar", NAMES, format=form)
    shards = Shards(path, cache)
    content = path.read_bytes()
    for name, expected in NAMES.items():
        shard, start, size = place_of(shards.path(name), cache)
        assert shard == str(path)
        assert content[start : start + size] == expected
    assert shards.texts == {"é.cls": "3"}


def test_what_gnu_tar_packs(tmp_path, cache):
    """A folder, with names that begin with ./, hard and symbolic links."""
    folder = tmp_path / "videos" / "left"
    folder.mkdir(parents=True)
    (folder / "0.mp4").write_bytes(b"first")
    (folder / "1.mp4").hardlink_to(folder / "0.mp4")
    (folder / "2.mp4").symlink_to("1.mp4")
    subprocess.run(["tar", "--sort=name", "-cf", "a.tar", "-C", "videos", "."], cwd=tmp_path, check=True)
    shards = Shards(tmp_path / "a.tar", cache)
    assert sorted(shards) == ["left/0.mp4", "left/1.mp4", "left/2.mp4"]
    content = (tmp_path / "a.tar").read_bytes()
    for name in shards:
        _, start, size = place_of(shards.path(name), cache)
        assert content[start : start + size] == b"first"


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_links_of_labels_and_of_what_comes_later(tmp_path, cache):
    path = pack(tmp_path / "a.tar", {"l/0.cls": b"3", "l/0.mp4": b"first"})
    with tarfile.open(path, "a") as tar:
        tar.addfile(link("l/1.cls", "l/0.cls", tarfile.LNKTYPE))
        tar.addfile(link("l/1.mp4", "2.mp4", tarfile.SYMTYPE))
        tar.addfile(link("l/2.mp4", "../r/3.mp4", tarfile.SYMTYPE))
        tar.addfile(link("r/3.mp4", "l/0.mp4", tarfile.LNKTYPE))
    index = tar_index(str(path), cache)
    assert index.texts == {"l/0.cls": "3", "l/1.cls": "3"}
    assert index.places["l/1.mp4"] == index.places["l/2.mp4"] == index.places["l/0.mp4"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("target", ["other.mp4", "a.mp4"])
def test_a_link_that_leads_nowhere(tmp_path, cache, kind, target):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(link("a.mp4", target, kind))
    with pytest.raises(DataError, match=rf"a.mp4 is a link to {target}.*--dereference"):
        Shards(tmp_path / "a.tar", cache)


def test_paths_that_lead_out_and_hidden_folders(tmp_path, cache):
    """As tar unpacks them, and as folders are read."""
    names = ["/left/0.mp4", "../left/1.mp4", ".hidden/2.mp4", "left/.thumbs/3.mp4", "left/.4.mp4"]
    path = pack(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
    assert [*Shards(path, cache)] == ["left/0.mp4", "left/1.mp4"]


def test_a_folder_is_no_shard(tmp_path):
    (tmp_path / "a.tar").mkdir()
    assert not is_shards(tmp_path / "a.tar")
    assert is_shards(tmp_path / "b.tar")


def test_an_index_is_made_once_for_each_version(tmp_path, cache):
    path = pack(tmp_path / "a.tar", NAMES)
    tar_index(str(path), cache)
    indexes = list((tmp_path / "cache").glob("*/*.json"))
    assert len(indexes) == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:1500], "unexpected end of data"),
        (lambda content: content[:1536], "cut off or damaged"),  # between two members
        (lambda content: content[:1536] + b"?" + content[1537:], "cut off or damaged: after byte 1,536 of"),
        (lambda content: content + content, "cut off or damaged"),  # of two archives, readers see the first
        (lambda content: b"no archive" * 100, "no tar file that can be read"),
        (lambda content: b"", "no tar file that can be read"),
    ],
)
def test_damage(tmp_path, cache, damage, said):
    path = pack(tmp_path / "a.tar", NAMES)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        tar_index(str(path), cache)


def test_a_compressed_one(tmp_path, cache):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(DataError, match="not compressed"):
        Shards(path, cache)


def test_two_files_of_one_name(tmp_path, cache):
    pack(tmp_path / "0.tar", {"a.mp4": b"1"})
    pack(tmp_path / "1.tar", {"a.mp4": b"2"})
    with pytest.raises(DataError, match=r"1.tar and .*0.tar both hold 'a.mp4'"):
        Shards(tmp_path / "{0,1}.tar", cache)


def test_one_that_is_not_there(tmp_path, cache):
    with pytest.raises(DataError, match=r"there is no file .*2.tar"):
        Shards(tmp_path / "{2..3}.tar", cache)


@pytest.mark.parametrize("pattern", ["a-{008..011}.tar", "{x,yy}/{1..2}.tar", "a.tar"])
def test_braces_mean_what_they_mean_in_bash(pattern):
    said = subprocess.run(["bash", "-c", f"echo {pattern}"], capture_output=True, text=True, check=True).stdout
    assert expand_braces(pattern) == said.split()


@pytest.mark.parametrize("pattern", ["{a..c}.tar", "{}.tar", "{3..1}.tar"])
def test_other_braces(pattern):
    with pytest.raises(DataError, match=r"neither a range|range is empty"):
        expand_braces(pattern)
