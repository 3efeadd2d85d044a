#!/usr/bin/env bash
# torch 2.13.0, DataLoader with workers of a fork server: they outlive a main process that is killed, for good.
#
# Expected: as with the start methods "fork" and "spawn", a worker notices within seconds that the main process has gone,
# and ends: torch's watchdog compares the parent's number.
# Seen: a fork server's workers are children of the server. The watchdog watches that, and the server ends only when its
# last child has: idle workers, the server and Python's resource tracker stay until somebody kills them, with all the
# memory that they have.
#
# Output seen (30 s after SIGKILL of the main process; torch's watchdog looks every 5 s):
#   spawn: 0 processes left
#   forkserver: 4 processes left
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
cat > "$folder/train.py" <<'PY'
import sys
import time

from torch.utils.data import DataLoader

if __name__ == "__main__":
    loader = DataLoader(range(8), num_workers=2, multiprocessing_context=sys.argv[1], persistent_workers=True)
    list(loader)
    print("ready", flush=True)
    time.sleep(600)
PY
cat > "$folder/count.py" <<'PY'
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

folder, method = sys.argv[1:]
mark = f"MARK_OF_THIS_TRIAL={folder}-{method}"
name, value = mark.split("=")


def marked():
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


main = subprocess.Popen(
    [sys.executable, f"{folder}/train.py", method], stdout=subprocess.PIPE, env=os.environ | {name: value}
)
assert main.stdout.readline() == b"ready\n"
main.kill()
main.wait()
time.sleep(30)
left = marked()
print(f"{method}: {len(left)} processes left")
for process in left:
    os.kill(process, signal.SIGKILL)
PY
for method in spawn forkserver; do
  "$folder/venv/bin/python" "$folder/count.py" "$folder" "$method" 2> /dev/null
done | tee "$folder/seen"
grep -q '^spawn: 0 ' "$folder/seen" && grep -q '^forkserver: [1-9]' "$folder/seen"
