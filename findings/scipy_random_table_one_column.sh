#!/usr/bin/env bash
# scipy.stats.random_table (1.17.1) draws tables of counts with given margins. Of a single column, or a single row, there is
# one such table: the margins. It draws another one, whose last count is negative (or, of one sample, whatever was in memory):
# a null distribution made of such tables is nonsense, without a word.
#
# Expected: [[5], [5], [5], [5]] and [[5, 15]].
# Output seen:
#   [[5], [5], [5], [-5]]
#   [[5, -5]]
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1
"$folder/venv/bin/python" - <<'PY'
from scipy.stats import random_table

column, row = random_table([5, 5, 5, 5], [20]).rvs(random_state=0), random_table([20], [5, 15]).rvs(random_state=0)
print(column.tolist())
print(row.tolist())
assert column.min() < 0 and row.min() < 0
PY
