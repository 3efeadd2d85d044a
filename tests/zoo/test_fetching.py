"""Fetching: the cache holds whole, verified files or nothing."""

import hashlib
import io
import multiprocessing
import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.errors import WeightsError
from pvbias.models import Weights, ZooModel
from pvbias.registries import MODEL
from pvbias.zoo import fetch

SPEC = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)


def files_in(folder: Path) -> list[str]:
    """Names of all files but locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def catalogue(server):
    """A zoo whose weights lie on the server."""
    restore = MODEL.snapshot()
    weights = {
        "toys400": Weights(url=f"{server.url}/whole/toy.pyth", num_classes=400),
        "known": Weights(
            url=f"{server.url}/whole/known.pyth", num_classes=5, sha256=hashlib.sha256(server.content).hexdigest()
        ),
        "changed": Weights(url=f"{server.url}/whole/changed.pyth", num_classes=5, sha256="0" * 64),
    }
    model = ZooModel(zoo="toyzoo", build=nn.Identity, clip_spec=SPEC, head="", weights=weights)
    MODEL.register(model, name="toy_r50")
    MODEL.register(ZooModel(zoo="elsewhere", build=nn.Identity, clip_spec=SPEC, head=""), name="other_r50")
    yield
    restore()


def test_a_download_is_kept_and_not_repeated(server, cache):
    path = fetch(f"{server.url}/whole/zoo/model.pyth")
    assert Path(path).read_bytes() == server.content
    assert Path(path).is_relative_to(cache)
    assert fetch(f"{server.url}/whole/zoo/model.pyth") == path
    assert server.requests == ["/whole/zoo/model.pyth"]
    assert files_in(cache) == ["model.pyth"]


def test_servers_and_queries_do_not_share_a_cached_file(server, cache):
    here = f"{server.url}/whole/model.pyth"
    addresses = [here, here.replace("127.0.0.1", "localhost"), here + "?version=1", here + "?version=2"]
    assert len({fetch(address) for address in addresses}) == 4


def test_an_address_cannot_lead_out_of_the_cache(server, cache):
    path = fetch(f"{server.url}/whole/%2e%2e/%2e%2e/%2e%2e/escaped.pyth")
    assert Path(path).resolve().is_relative_to(cache.resolve())


#: What servers answer in the place of a file, and how it is called.
ANSWERS = {
    "login page": (b"\r\n<!DOCTYPE html><html><body>Please log in</body></html>", "a web page"),
    "old page": (b"\xef\xbb\xbf<HTML><HEAD>", "a web page"),
    "error": (b'{"error": "Invalid credentials in Authorization header"}', "a message in JSON"),
    "list": (b'[{"message": "rate limit"}]', "a message in JSON"),
    "storage": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "Git LFS's pointer"),
    "text": (b"Quota exceeded\n", "text"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "begins as no checkpoint does (89 50 4e 47"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_no_checkpoint_is_not_kept(server, cache, answer):
    address = f"{server.url}/whole/model.pyth"
    server.whole, server.content = server.content, ANSWERS[answer][0]
    for _ in range(2):  # asked again
        with pytest.raises(WeightsError, match=re.escape(ANSWERS[answer][1]) + r".*Nothing was kept.*by hand"):
            fetch(address)
    assert files_in(cache) == []
    assert len(server.requests) == 2
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, but 1111.*" + re.escape(ANSWERS[answer][1])):
        fetch(address, "1" * 64)
    server.content = server.whole
    assert Path(fetch(address)).read_bytes() == server.whole


def test_an_answer_that_is_what_its_checksum_says_is_kept(server, cache):
    server.content = b"text that somebody wants"
    path = fetch(f"{server.url}/whole/model.pyth", hashlib.sha256(server.content).hexdigest())
    assert Path(path).read_bytes() == server.content


def test_an_answer_that_an_earlier_version_has_kept_is_fetched_again(server, cache):
    address = f"{server.url}/whole/model.pyth"
    path = Path(fetch(address))
    path.write_bytes(ANSWERS["login page"][0])
    assert Path(fetch(address)).read_bytes() == server.content


def test_every_kind_of_checkpoint_is_kept(server, cache):
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.ones(2)}, new)
    torch.save({"weight": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    tensors = safetensors.torch.save({"weight": torch.ones(2)})
    pickled = pickle.dumps({"blobs": [1]}, protocol=2)  # Caffe2's: what it is, reading it says
    for number, server.content in enumerate([new.getvalue(), old.getvalue(), tensors, pickled]):
        assert Path(fetch(f"{server.url}/whole/{number}/model.pth")).read_bytes() == server.content


def test_http_without_a_checksum_is_a_warning(server, cache, caplog):
    address = f"{server.url}/whole/model.pyth"
    fetch(address, hashlib.sha256(server.content).hexdigest())
    assert "http" not in caplog.text.replace("Downloading", "")
    fetch(f"{server.url}/whole/other.pyth")
    assert f"{server.url}/whole/other.pyth comes over http" in caplog.text
    assert "TRAIN.CHECKPOINT_SHA256" in caplog.text
    caplog.clear()
    fetch(f"{server.url}/moved/model.pyth")
    assert f"(redirected to {server.url}/whole/model.pyth) comes over http" in caplog.text


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "ended after 512000 of 1024000 bytes"),
        ("cut-chunk", "IncompleteRead"),
        ("endless", "does not say how long"),
        ("missing", "answers 404"),
    ],
)
def test_what_does_not_arrive_whole_leaves_nothing(server, cache, kind, message):
    with pytest.raises(WeightsError, match=message):
        fetch(f"{server.url}/{kind}/model.pyth")
    assert files_in(cache) == []


def test_a_download_that_was_cut_off_works_the_next_time(server, cache):
    address = f"{server.url}/cut/model.pyth"
    with pytest.raises(WeightsError):
        fetch(address)
    # The same address, mended.
    server.mended = True
    assert Path(fetch(address)).read_bytes() == server.content
    assert files_in(cache) == ["model.pyth"]


def test_a_silent_server_is_given_up(server, cache, monkeypatch):
    monkeypatch.setattr("pvbias.zoo.fetching.TIMEOUT", 0.3)
    with pytest.raises(WeightsError, match="timed out"):
        fetch(f"{server.url}/silent/model.pyth")
    assert files_in(cache) == []


def test_no_server_at_all(server, cache):
    with pytest.raises(WeightsError, match=r"cannot be downloaded.*Connection refused.*give its path"):
        fetch("http://127.0.0.1:9/model.pyth")


def test_checksums_of_downloads(server, cache):
    address, right = f"{server.url}/whole/model.pyth", hashlib.sha256(server.content).hexdigest()
    with pytest.raises(WeightsError, match=f"(?s){right}.*{'1' * 64} was expected"):
        fetch(address, "1" * 64)
    assert files_in(cache) == []
    path = fetch(address, right.upper())
    Path(path).write_bytes(b"spoilt")
    spoilt = hashlib.sha256(b"spoilt").hexdigest()
    with pytest.raises(WeightsError, match=f"(?s)cached as .*{spoilt}.*Delete .*to download it again"):
        fetch(address, right)


def test_a_server_without_length_is_trusted_with_a_checksum(server, cache):
    half = server.content[: len(server.content) // 2]
    path = fetch(f"{server.url}/endless/model.pyth", hashlib.sha256(half).hexdigest())
    assert Path(path).read_bytes() == half


def test_two_processes_fetch_once_and_both_get_it(server, cache):
    processes = multiprocessing.get_context("fork")
    queue = processes.Queue()
    workers = [
        processes.Process(target=lambda: queue.put(fetch(f"{server.url}/slow/model.pyth")), daemon=True)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    paths = [queue.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert paths[0] == paths[1]
    assert Path(paths[0]).read_bytes() == server.content
    assert server.requests == ["/slow/model.pyth"]
    assert files_in(cache) == ["model.pyth"]


def test_a_cache_that_cannot_be_written_says_so(server, tmp_path, cache):
    host = cache / server.url.removeprefix("http://")
    host.parent.mkdir()
    host.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="FVCORE_CACHE"):
        fetch(f"{server.url}/whole/model.pyth")


def test_the_catalogue_is_asked_for_zoo_names(catalogue, server, cache):
    assert Path(fetch("zoo://toyzoo/toy_r50/toys400")).read_bytes() == server.content
    assert server.requests == ["/whole/toy.pyth"]
    fetch("zoo://toyzoo/toy_r50/known")
    with pytest.raises(WeightsError, match="0" * 64):
        fetch("zoo://toyzoo/toy_r50/changed")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("zoo://toyzo/toy_r50/toys400", "no zoo is called 'toyzo'.*'toyzoo'"),
        ("zoo://toyzoo/toy_r5/toys400", "'toy_r5'.*Did you mean 'toy_r50'"),
        ("zoo://toyzoo/toy_r50/toys40", "no weights called 'toys40'.*'toys400'"),
        ("zoo://toyzoo/other_r50/toys400", "belongs to the zoo 'elsewhere'"),
        ("zoo://toyzoo/toy_r50", "not of the form"),
        ("s3://bucket/model.pyth", "s3:// is not supported"),
        ("nowhere/model.pyth", "does not exist"),
        ("/", "is a folder"),
    ],
)
def test_names_that_lead_nowhere(catalogue, cache, source, message):
    with pytest.raises(WeightsError, match=message):
        fetch(source)


def test_local_files_are_used_in_place_and_verified(tmp_path):
    file = tmp_path / "model.pyth"
    file.write_bytes(b"weights")
    assert fetch(str(file)) == str(file)
    assert fetch(str(file), hashlib.sha256(b"weights").hexdigest()) == str(file)
    with pytest.raises(WeightsError, match="was expected"):
        fetch(str(file), "a" * 64)
