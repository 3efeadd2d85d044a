#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg inside): what a damaged H.264 video looks like depends on the decoder's threads, whose number is that
# of the cores unless one says otherwise (PyAV's default: SLICE threads, as many as FFmpeg thinks right).
#
# A video of 60 pictures in 4 slices, one bit changed in the last fifth of every tenth packet. FFmpeg covers up what it cannot
# decode. With one thread it does so in one way, with slice threads in another, the same on each try for 2 and for 4 threads;
# with frame threads now and then not even the same from one try to the next. No error. So the same damaged file gives other
# pictures, and a network other predictions, on another machine. A whole video gives the same pictures in all of them.
#
# Expected: the same pictures, however many threads there are.
# Output seen (the figures of FRAME change from run to run):
#   whole, 2 SLICE threads: other pictures than one thread's: [0, 0, 0, 0, 0, 0, 0, 0] ways: 1
#   whole, 4 SLICE threads: other pictures than one thread's: [0, 0, 0, 0, 0, 0, 0, 0] ways: 1
#   whole, 2 FRAME threads: other pictures than one thread's: [0, 0, 0, 0, 0, 0, 0, 0] ways: 1
#   damaged, 2 SLICE threads: other pictures than one thread's: [55, 55, 55, 55, 55, 55, 55, 55] ways: 1
#   damaged, 4 SLICE threads: other pictures than one thread's: [55, 55, 55, 55, 55, 55, 55, 55] ways: 1
#   damaged, 2 FRAME threads: other pictures than one thread's: [6, 6, 6, 6, 6, 6, 6, 7] ways: 2
#
# Fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cat > "$folder/try.py" <<'PY'
import io

import av
import numpy as np

av.logging.set_level(av.logging.PANIC)


def encode():
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options={"threads": "1", "slices": "4", "x264-params": "keyint=60"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 256, (96, 256, 3), np.uint8)
        for number in range(60):
            picture = noise[:, 2 * number : 2 * number + 128]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def decode(data, threads, kind, damaged):
    """Pictures, in display order; of every tenth packet one bit in its last fifth is another where ``damaged``."""
    pictures = []
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create("h264", "r")
        context.thread_count, context.thread_type = threads, kind
        packets = [bytearray(bytes(packet)) for packet in container.demux(stream) if packet.size]
        for number, packet in enumerate(packets):
            if damaged and number % 10 == 5:
                packet[len(packet) * 4 // 5] ^= 0x10
            pictures += context.decode(av.Packet(bytes(packet)))
        pictures += context.decode(None)
    return [picture.to_ndarray(format="gray").tobytes() for picture in pictures]


whole = encode()
seen = {}
for damaged in (False, True):
    one = decode(whole, 1, "NONE", damaged)
    for threads, kind in ((2, "SLICE"), (4, "SLICE"), (2, "FRAME")):
        tries = [decode(whole, threads, kind, damaged) for _ in range(8)]
        differing = seen[damaged, threads, kind] = [sum(a != b for a, b in zip(one, other, strict=True)) for other in tries]
        ways = len({tuple(other) for other in tries})
        print("damaged," if damaged else "whole,", threads, kind, "threads: other pictures than one thread's:", differing, "ways:", ways)
for (damaged, threads, kind), differing in seen.items():
    assert (max(differing) > 0) == damaged, (damaged, threads, kind)
PY
"$folder/venv/bin/python" "$folder/try.py"
