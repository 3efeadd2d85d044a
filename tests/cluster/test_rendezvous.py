"""Processes that find each other, or say who has not come."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pvbias.cluster import rendezvous
from pvbias.errors import ClusterError


def met(file, *, come):
    """The stores of so many of three processes."""

    def process(rank):
        return rendezvous.rendezvous(SimpleNamespace(global_rank=rank, num_tasks=3, num_nodes=1), file)

    with ThreadPoolExecutor(come) as pool:
        return [*pool.map(process, range(come))]


def test_all_processes_share_a_store(tmp_path):
    first, *others = met(tmp_path / "address", come=3)
    first.set("said", "by the first")
    assert [store.get("said") for store in others] == [b"by the first"] * 2
    assert not any(tmp_path.iterdir())


def test_one_process_that_does_not_come_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(rendezvous, "PATIENCE", 1)
    with pytest.raises(ClusterError, match="1 of 3 processes have not come within 1 s"):
        met(tmp_path / "address", come=2)
