"""All kernels compile for a GPU, which takes none: what they are interpreted for says nothing of their types."""

import subprocess
import sys

import pytest

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pvbias.layers import (
    batch_norm_kernels, depthwise_kernels, layer_norm_kernels, max_pool_kernels, stem_kernels
)

HALF = set("x y residual gradient x_gradient residual_gradient".split())
FLOATS = set("eps momentum positions".split())
FULL = set("parts mean inverse_std running_mean running_var spread weight bias gradients statistics".split())


def compiled(kernel, **constants):
    def kind(name):
        if name in constants:
            return "constexpr"
        if name in HALF:
            return "*bf16"
        if name == "taps":
            return "*u8"
        return "*fp32" if name in FULL else "fp32" if name in FLOATS else "i32"

    signature = {name: kind(name) for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    triton.compile(source, target=GPUTarget("cuda", 90, 32))
    print(kernel.__name__)


blocks = {"BLOCK_ROWS": 16, "BLOCK_COLUMNS": 64}
compiled(batch_norm_kernels.collect_statistics, **blocks)
compiled(batch_norm_kernels.combine_statistics, HAS_RUNNING=True, BLOCK_PARTS=16, BLOCK_CHANNELS=16)
after = {"AFFINE": True, "RESIDUAL": True, "ACTIVATION": 1, **blocks}
compiled(batch_norm_kernels.normalize, SPREAD_IS_VARIANCE=False, **after)
compiled(batch_norm_kernels.collect_gradients, SPREAD_IS_VARIANCE=True, **{**after, "ACTIVATION": 2})
compiled(batch_norm_kernels.combine_gradients, BLOCK_PARTS=16, BLOCK_CHANNELS=16)
compiled(batch_norm_kernels.propagate, BATCH_STATISTICS=True, **after)
window = dict(KT=2, KH=1, KW=2, ST=1, SH=1, SW=2, PT=1, PH=0, PW=1, VECTOR=2, BLOCK_WIDTH=8, BLOCK_CHANNELS=64)
compiled(depthwise_kernels.convolve, BIAS=True, **window)
compiled(depthwise_kernels.propagate, **window)
compiled(depthwise_kernels.correlate, **window)
compiled(max_pool_kernels.pool, TAPS=True, **window)
compiled(max_pool_kernels.propagate, **window)
compiled(layer_norm_kernels.normalize, COLUMNS=24, WEIGHT=True, BIAS=True, BLOCK_ROWS=16, BLOCK_COLUMNS=32)
compiled(layer_norm_kernels.propagate, COLUMNS=24, WEIGHT=True, BLOCK_ROWS=16, BLOCK_COLUMNS=32)
compiled(stem_kernels.stack_frames, CHANNELS=3, TAPS=3, STEP=1, PADDING=1, OUT_CHANNELS=16, BLOCK=256)
"""


def test_kernels_compile(tmp_path, monkeypatch):
    triton = pytest.importorskip("triton", reason="there is no Triton on this system")
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 3):
        pytest.skip("Triton before 3.3 describes what is to be compiled in another way")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.split()) == 14
