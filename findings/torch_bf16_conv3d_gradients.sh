#!/usr/bin/env bash
# torch 2.13.0 on a CPU with AVX-512, bf16: the gradient of a Conv3d's weight is garbage where the clip is as short as the
# kernel's padding makes possible: kernel 3, padding 1, two frames, as in the last stage of many networks on 8 or 16 frames.
#
# Expected: within bf16's precision of the gradient in double precision (relative to its largest element, below 0.02), as it
# is with three frames and with more.
# Seen: another value on each call, of any size or NaN; no warning. fp32 is right at this size, and so is bf16 with the
# kernels for AVX2 (ONEDNN_MAX_CPU_ISA=AVX2), or where the zeros are added to the clip first.
#
# Output seen:
#   2 frames: largest error [0.5766176268675337, 2.843138201855812e+18, 2.8733843529393843e+18]
#   3 frames: largest error [0.002142103053267987, 0.002142103053267987, 0.002142103053267987]
#
# Fails when that changes. On a CPU without AVX-512 there is nothing to see: it says so and ends well.
set -euo pipefail
if ! grep -qw avx512f /proc/cpuinfo; then
  echo "This CPU has no AVX-512."
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
cat > "$folder/try.py" <<'PY'
import torch


def error(frames):
    """Largest error of the gradient in bf16, relative to the largest element in double precision."""
    torch.manual_seed(0)
    clip, weight = torch.rand(2, 16, frames, 6, 6).bfloat16(), torch.randn(32, 16, 3, 3, 3).bfloat16()
    ours, exact = weight.clone().requires_grad_(), weight.double().requires_grad_()
    output = torch.conv3d(clip, ours, padding=1)
    ahead = torch.linspace(-1, 1, output.numel()).view(output.shape).bfloat16()
    output.backward(ahead)
    torch.conv3d(clip.double(), exact, padding=1).backward(ahead.double())
    return ((ours.grad.double() - exact.grad).abs().max() / exact.grad.abs().max()).item()


errors = {frames: [error(frames) for _ in range(3)] for frames in (2, 3)}
for frames, seen in errors.items():
    print(f"{frames} frames: largest error {seen}")
assert all(value < 0.02 for value in errors[3])
assert not all(value < 0.02 for value in errors[2])
PY
"$folder/venv/bin/python" "$folder/try.py"
