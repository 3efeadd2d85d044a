#!/usr/bin/env bash
# pytorchvideo 0.1.5's frame sampling (pytorchvideo.transforms.functional.uniform_temporal_subsample, SlowFast's
# temporal_sampling has the same line) is torch.linspace(0, T - 1, n) made whole numbers by cutting off: frames i (T - 1) / (n - 1).
# Where that is a whole number exactly, the frame before it is taken in 905 of the 45,150 pairs n <= T <= 300, in torch 2.14.1
# on a CPU: first with T = 17, n = 15, where 7 x 16 / 14 = 8 comes out as 7.9999995 and frame 7 is taken. In float64 it is 828
# pairs. numpy.linspace, which ports of the rule use, errs in 880 pairs, of which only 63 are the same: two
# programs with "the same" sampling see different frames, without a word.
#
# Expected: floor(i (T - 1) / (n - 1)) in exact arithmetic.
# Output seen:
#   float32: 905 of 45,150 pairs, first T = 17, n = 15: [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16]
#   float64: 828 of 45,150 pairs
#   numpy: 880 of 45,150 pairs, 63 of them as float32
#   exact, T = 17, n = 15: [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16]
#
# Fails when that changes (the last digits depend on the vector instructions of the CPU: seen with AVX-512).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.2.6
cat > "$folder/try.py" <<'PY'
import numpy
import torch


def exact(total, number):
    return [i * (total - 1) // max(number - 1, 1) for i in range(number)]


rules = {
    "float32": lambda total, number: torch.linspace(0, total - 1, number).long().tolist(),
    "float64": lambda total, number: torch.linspace(0, total - 1, number, dtype=torch.float64).long().tolist(),
    "numpy": lambda total, number: numpy.linspace(0, total - 1, number).astype(int).tolist(),
}
pairs = [(total, number) for total in range(1, 301) for number in range(1, total + 1)]
wrong = {name: [pair for pair in pairs if rule(*pair) != exact(*pair)] for name, rule in rules.items()}
first = wrong["float32"][0]
print(f"float32: {len(wrong['float32'])} of {len(pairs):,} pairs, first T = {first[0]}, n = {first[1]}:", rules["float32"](*first))
print(f"float64: {len(wrong['float64'])} of {len(pairs):,} pairs")
common = len(set(wrong["float32"]) & set(wrong["numpy"]))
print(f"numpy: {len(wrong['numpy'])} of {len(pairs):,} pairs, {common} of them as float32")
print(f"exact, T = {first[0]}, n = {first[1]}:", exact(*first))
assert first == (17, 15)
assert rules["float32"](17, 15)[7] == 7 and exact(17, 15)[7] == 8
assert len(wrong["float32"]) > 800 and len(wrong["numpy"]) > 800 and common < 100
PY
"$folder/venv/bin/python" "$folder/try.py"
