#!/usr/bin/env bash
# torch 2.10.0, autocast: after a forward under no_grad, the next forward in the same autocast region has no gradient for
# the weights that autocast casts. It keeps its half-precision copies for the whole region, and those of the first forward
# have no graph. Normalisations, which are not cast, go on learning, so nothing fails. Mended in 2.11.0
# (https://github.com/pytorch/pytorch/issues/112583).
#
# Expected: a gradient, whatever ran before.
# Seen: None; no warning. With cache_enabled=False, or with an autocast region for each forward, it is there.
#
# Output seen:
#   as it is: no gradient
#   without the cache: a gradient
#   a region each: a gradient
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.10.0 numpy
cat > "$folder/try.py" <<'PY'
import contextlib

import torch


def has_gradient(regions=1, **options):
    layer, clip = torch.nn.Linear(8, 8), torch.rand(2, 8)
    region = lambda: torch.autocast("cpu", torch.bfloat16, **options)  # noqa: E731
    with contextlib.ExitStack() as outer:
        if regions == 1:
            outer.enter_context(region())
        with torch.no_grad(), region() if regions == 2 else contextlib.nullcontext():
            layer(clip)
        with region() if regions == 2 else contextlib.nullcontext():
            output = layer(clip)
    if output.requires_grad:
        output.float().sum().backward()
    return layer.weight.grad is not None


found = {
    "as it is": has_gradient(),
    "without the cache": has_gradient(cache_enabled=False),
    "a region each": has_gradient(regions=2),
}
for what, there in found.items():
    print(f"{what}: {'a gradient' if there else 'no gradient'}")
assert list(found.values()) == [False, True, True]
PY
"$folder/venv/bin/python" "$folder/try.py"
