#!/usr/bin/env bash
# torch 2.14.1, SGD(momentum=0.9, fused=True): where GradScaler skips the first step (gradients that overflow, as its first
# scale of 65536 is meant to find out), the momentum is whatever was in memory, and the next step uses it.
# `_fused_sgd` makes the buffers with torch.empty_like for a kernel that then returns without having written them.
#
# Expected: the weights of SGD(fused=False), which has no momentum until a step is taken.
# Seen: momentum of what was in memory, here the NaN that torch fills new memory with in its deterministic mode.
#
# Output seen:
#   fused=False: momentum none, weight after the next step 0.9
#   fused=True: momentum nan, weight after the next step nan
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.3.5
cat > "$folder/try.py" <<'PY'
import torch

torch.use_deterministic_algorithms(True)  # which also fills memory that is not initialised


def train(fused):
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    found = []
    for gradient in (float("inf"), 1.0):
        weight.grad = scaler.scale(torch.full_like(weight, gradient))
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        found.append(optimizer.state[weight].get("momentum_buffer"))
        found[-1] = "none" if found[-1] is None else found[-1][0].item()
    return found[0], weight[0].item()


ends = []
for fused in (False, True):
    momentum, weight = train(fused)
    print(f"fused={fused}: momentum {momentum}, weight after the next step {weight:.1f}")
    ends.append(weight)
assert ends[0] != ends[1]
PY
"$folder/venv/bin/python" "$folder/try.py"
