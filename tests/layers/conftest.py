"""Tests of kernels need Triton, which runs them on the CPU here (see the tests' own conftest.py)."""

import pytest


@pytest.fixture
def interpreter():
    """Kernels are at hand on the CPU."""
    pytest.importorskip("triton", reason="there is no Triton on this system")
