#!/usr/bin/env bash
# Triton 3.8.0's interpreter (TRITON_INTERPRET=1, the way to test kernels without a GPU) rounds fp32 to bf16 towards zero. Triton's own
# default, which `tl.cast` documents and GPUs compute by, is to nearest, ties to even, as torch does. So a kernel with bf16 results is
# lower in the interpreter than on a GPU in half of its values, by up to a whole last digit of bf16, and always on the same side: a
# comparison with torch in bf16 fails without a fault in the kernel, and a bias in sums of bf16 values is the interpreter's own.
#
# Expected: the values that torch has.
# Output seen:
#   interpreter: [1.0, 1.0, 3.140625, 0.099609375, -1.0, 65280.0]
#   torch:       [1.0078125, 1.0078125, 3.140625, 0.10009765625, -1.0078125, 65536.0]
#   lower in size: 4,814 of 10,000 uniform values; higher: 0
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.2.6
cat > "$folder/try.py" <<'PY'
import torch
import triton
import triton.language as tl


@triton.jit
def cast(x, y, count: tl.constexpr):
    place = tl.arange(0, count)
    tl.store(y + place, tl.load(x + place).to(tl.bfloat16))


def interpreted(values):
    count = 1 << (len(values) - 1).bit_length()
    padded = torch.zeros(count)
    padded[: len(values)] = values
    result = torch.empty(count, dtype=torch.bfloat16)
    cast[(1,)](padded, result, count)
    return result[: len(values)]


assert triton.__version__ == "3.8.0", triton.__version__
values = torch.tensor([1.005859375, 1.0075684, 3.1415927, 0.1, -1.0075684, 65504.0])
print("interpreter:", interpreted(values).tolist())
print("torch:      ", values.bfloat16().tolist())
many = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
difference = interpreted(many).float() - many.bfloat16().float()
lower, higher = int((difference < 0).sum()), int((difference > 0).sum())
print(f"lower in size: {lower:,} of 10,000 uniform values; higher: {higher}")
assert interpreted(values).tolist() == [1.0, 1.0, 3.140625, 0.099609375, -1.0, 65280.0]
assert lower > 4_500 and higher == 0
PY
TRITON_INTERPRET=1 "$folder/venv/bin/python" "$folder/try.py"
