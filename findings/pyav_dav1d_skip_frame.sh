#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8 libraries, dav1d), AV1: `codec_context.skip_frame` is set for each packet in turn, "NONREF" for
# those whose frame is not wanted, "DEFAULT" for the one that is.
#
# Expected, and so with FFmpeg's own decoders (H.264 here): the wanted frame comes out of the decoder.
# Seen with dav1d: wanted frames are missing. dav1d takes several packets before it gives the first frame, and what it
# is told then holds for packets that it was given before, too.
#
# Output seen:
#   h264: wanted frames that did not come out: []
#   libdav1d: wanted frames that did not come out: [1, 3, 5, 7]
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

COUNT = 9


def write(path, codec, options):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(COUNT):
            image = np.full((96, 128, 3), 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def missing(path):
    lost = []
    for wanted in range(COUNT):
        with av.open(path) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            context.thread_type, context.thread_count = "NONE", 1
            seen = set()
            packets = [packet for packet in container.demux(stream) if packet.size]
            target = sorted(packet.pts for packet in packets)[wanted]
            for packet in packets:
                context.skip_frame = "DEFAULT" if packet.pts == target else "NONREF"
                seen |= {frame.pts for frame in context.decode(packet)}
                if packet.pts == target:
                    break
            context.skip_frame = "DEFAULT"
            seen |= {frame.pts for frame in context.decode(None)}
            if target not in seen:
                lost.append(wanted)
    return context.name, lost


folder = sys.argv[1]
write(f"{folder}/h264.mp4", "libx264", {"x264-params": "bframes=2:b-adapt=0"})
write(f"{folder}/av1.mp4", "libsvtav1", {"preset": "12"})
for file in ("h264", "av1"):
    name, lost = missing(f"{folder}/{file}.mp4")
    print(f"{name}: wanted frames that did not come out: {lost}")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder" 2> /dev/null | grep -a '^h264:\|^libdav1d:' | tee "$folder/seen"
grep -q '^h264: .*: \[\]$' "$folder/seen" && grep -q '^libdav1d: .*: \[[0-9]' "$folder/seen"
