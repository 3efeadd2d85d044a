"""The table of samplings: the installed libraries' own code takes the frames that pvbias takes."""

import sys
from pathlib import Path

import pytest

from .studies import script

PROJECT = Path(__file__).parents[2] / "projects" / "sampling"


@pytest.fixture(scope="module")
def table():
    sys.path.insert(0, str(PROJECT))  # as for a script that is run
    yield script(PROJECT / "table.py")
    sys.path.remove(str(PROJECT))


@pytest.mark.parametrize("model", ["x3d_xs", "x3d_s", "slowfast_r50", "mvit_base_32x3"])
def test_pytorchvideos_own_code_takes_the_same_frames(table, model):
    rule, compared, other, _ = table.compare(model, table.pytorchvideo)
    assert (rule, compared, other) == ("pytorchvideo", 2040, 0)  # 8 lengths, 5 rates, 51 clips


@pytest.mark.parametrize("model", ["torchvision_r3d_18", "torchvision_mvit_v2_s"])
def test_torchvisions_own_code_takes_the_same_frames(table, model):
    rule, compared, other, _ = table.compare(model, table.torchvision)
    assert (rule, other) == ("torchvision", 0)
    assert compared > 1000


def test_a_difference_would_be_seen(table):
    _, compared, other, _ = table.compare("x3d_xs", table.pytorchvideo, "DATA.TEMPORAL_SAMPLING", "rate")
    assert other > compared / 2
