"""Many imports leave Python's collector as it was."""

import gc

import pytest

from pvbias.lazy import many_imports


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_is_off_for_imports_only(collects):
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with many_imports():
            assert not gc.isenabled()
        assert gc.isenabled() is collects
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()
