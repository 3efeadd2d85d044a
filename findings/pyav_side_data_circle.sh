#!/usr/bin/env bash
# PyAV 18.1.0: to look at a frame's side_data makes the frame refer to itself (frame -> side_data -> frame), so that it is
# freed when Python's collector next runs and not when the last name for it goes. The collector counts objects, not bytes:
# a program that looks for a display matrix in each frame of a 4K video holds many of them (12 MB each).
#
# Expected: the frame is freed with the last reference, as it is when nobody has looked, and as PyAV 19.0.2 does it.
# Output seen:
#   not looked: 0 objects left to the collector
#   side_data: 3 objects left to the collector
#   100 frames of 3840 x 2160, not looked: 60 MB
#   100 frames of 3840 x 2160, side_data: 1179 MB
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cat > "$folder/try.py" <<'PY'
import gc
import resource

import av


def left(look):
    gc.collect()
    gc.disable()
    frame = av.VideoFrame(640, 480, "yuv420p")
    if look:
        frame.side_data.get("DISPLAYMATRIX")
    del frame
    found = gc.collect()
    gc.enable()
    return found


def megabytes(look):
    """More than before at the highest, for one frame after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        frame = av.VideoFrame(3840, 2160, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        if look:
            frame.side_data.get("DISPLAYMATRIX")
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000


names = {False: "not looked", True: "side_data"}
objects = {look: left(look) for look in names}
for look, name in names.items():
    print(f"{name}: {objects[look]} objects left to the collector")
held = {look: megabytes(look) for look in names}
for look, name in names.items():
    print(f"100 frames of 3840 x 2160, {name}: {held[look]} MB")
assert objects[False] == 0 and objects[True] > 0
assert held[False] < 100 < held[True]
PY
"$folder/venv/bin/python" "$folder/try.py"
