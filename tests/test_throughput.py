"""Clips a second, the busy share, and memory, by hand."""

import re

import torch

from pvbias.throughput import Throughput


def test_rate_and_share_are_of_all_that_was_added():
    done = Throughput(torch.device("cpu"))
    assert str(done) == "no clips"
    done.add(30, seconds=2.0, busy=1.0)
    done.add(20, seconds=0.5, busy=0.25)
    assert str(done).startswith("20 clips/s, device busy 50 %, ")
    done.reset()
    done.add(1, seconds=2.0, busy=2.1)  # two clocks
    assert str(done).startswith("0.5 clips/s, device busy 100 %, ")


def test_memory_is_the_most_that_this_process_has_had():
    def gib():
        done.add(1, seconds=1.0, busy=1.0)
        return float(re.search(r", ([0-9.]+) GiB$", str(done))[1])

    done = Throughput(torch.device("cpu"))
    before = gib()
    held = torch.ones(2**26)  # a quarter of a GiB
    assert before < 64
    assert gib() >= max(before, held.nbytes / 2**30)
