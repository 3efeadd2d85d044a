#!/usr/bin/env bash
# Triton 3.8.0 (and 3.6.0): a kernel whose arguments have type annotations, `x: Any`, runs in the interpreter (TRITON_INTERPRET=1) and
# does not compile for a GPU: "Cannot access global variable Any from within @jit'ed function". The compiler looks annotations up as if
# they were part of the computation, in which globals have to be constants; `from __future__ import annotations` makes no difference.
# A module that is typed as linters ask for it passes all tests of its kernels on the CPU and fails on the first GPU.
# Compiling needs no GPU, so that this can be tested without one.
#
# Expected: annotations are ignored, as `x` without one is.
# Output seen:
#   interpreted: [0.0, 2.0, 4.0, 6.0]
#   compiled for compute capability 9.0: NameError("Cannot access global variable Any from within @jit'ed function. ...
#   without annotations: compiled
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.2.6
cat > "$folder/try.py" <<'PY'
from __future__ import annotations

import os
from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def typed(x: Any, y: Any, count: tl.constexpr):
    place = tl.arange(0, count)
    tl.store(y + place, 2 * tl.load(x + place))


@triton.jit
def untyped(x, y, count: tl.constexpr):
    place = tl.arange(0, count)
    tl.store(y + place, 2 * tl.load(x + place))


if os.environ.get("TRITON_INTERPRET") == "1":
    values, doubled = torch.arange(4.0), torch.empty(4)
    typed[(1,)](values, doubled, 4)
    print("interpreted:", doubled.tolist())
    assert doubled.tolist() == [0.0, 2.0, 4.0, 6.0]
else:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    def compiled(kernel):
        signature = {"x": "*fp32", "y": "*fp32", "count": "constexpr"}
        source = ASTSource(fn=kernel, signature=signature, constexprs={(2,): 4})
        return triton.compile(source, target=GPUTarget("cuda", 90, 32))

    try:
        compiled(typed)
        raise SystemExit("it compiles now")
    except triton.CompilationError as error:
        print("compiled for compute capability 9.0:", str(error).splitlines()[-1][:80], "...")
        assert "Cannot access global variable Any" in str(error)
    compiled(untyped)
    print("without annotations: compiled")
PY
TRITON_INTERPRET=1 "$folder/venv/bin/python" "$folder/try.py"
TRITON_CACHE_DIR="$folder/cache" "$folder/venv/bin/python" "$folder/try.py"
