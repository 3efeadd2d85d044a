#!/usr/bin/env bash
# torch 2.14.1: torch.load does not compare the checksums (CRC-32) that torch.save writes for each record of its zip file.
#
# Expected: a file with one changed bit is refused, as Python's zipfile does it.
# Seen: it is read without a word, here with a weight of 2.7e+36 in the place of 0.0078. torch 2.6.0 does the same.
#
# Output seen:
#   zipfile: data/0 is damaged
#   torch.load: the weight was 0.0078125 and is 2.658455991569832e+36
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.3.5
cat > "$folder/try.py" <<'PY'
import sys
import zipfile

import torch

path = sys.argv[1]
weights = torch.full((1000,), 2.0**-7)
torch.save({"weight": weights}, path)
with open(path, "r+b") as file:
    content = file.read()
    position = content.index(weights.numpy().tobytes()) + 4 * 500 + 3
    file.seek(position)
    file.write(bytes([content[position] ^ 0x40]))
with zipfile.ZipFile(path) as file:
    damaged = file.testzip()
print(f"zipfile: {damaged.partition('/')[2]} is damaged")
found = torch.load(path, weights_only=True)["weight"][500].item()
print(f"torch.load: the weight was {2.0**-7} and is {found}")
sys.exit(found == 2.0**-7)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder/weights.pth"
