#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8 libraries), MPEG-1 video in an MPEG program stream, written by the same libraries: a packet's
# time depends on whether one got to it by reading or by seeking.
#
# Expected: after `container.seek()` the packets that follow have the times that they have when the file is read from its
# beginning, so that the frame at a time can be found by seeking.
# Seen: small frames share a pack, and only the first that begins in it has a time there; the others' are made up from
# what was read before. Whoever seeks takes the wrong frame for some times, without any complaint.
#
# Output seen:
#   60 frames, each sought by its time: (wanted, another one that has its time now) [(27, 24), (28, 25), (29, 26), (30, 27)]
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.3.5
cat > "$folder/try.py" <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

COUNT, WIDTH, HEIGHT = 60, 128, 96


def picture(number):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for bit in range(6):
        image[:, bit * 21 : (bit + 1) * 21] = 235 if number >> bit & 1 else 20
    return image


def number(frame):
    image = frame.to_ndarray(format="rgb24")
    return sum(int(image[48, bit * 21 + 10].mean() > 127) << bit for bit in range(6))


path = f"{sys.argv[1]}/v.mpg"
with av.open(path, "w", format="mpeg") as container:
    stream = container.add_stream("mpeg1video", rate=25)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.codec_context.gop_size, stream.codec_context.bit_rate = 12, 800_000
    stream.codec_context.max_b_frames = 2
    for index in range(COUNT):
        frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

with av.open(path) as container:
    times = {number(frame): frame.pts for frame in container.decode(video=0)}
assert sorted(times) == list(range(COUNT))
wrong = []
for wanted, time in sorted(times.items()):
    with av.open(path) as container:
        stream = container.streams.video[0]
        container.seek(time - 10_800, stream=stream)  # three frames before, as one does where frames are reordered
        found = next((number(frame) for frame in container.decode(stream) if frame.pts == time), None)
        if found is not None and found != wanted:
            wrong.append((wanted, found))
print(f"{COUNT} frames, each sought by its time: (wanted, another one that has its time now) {wrong}")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder" 2> /dev/null | tee "$folder/seen"
grep -q 'time now) \[('  "$folder/seen"
