"""Which of a file's streams is the video."""

import av
import numpy as np
from av.stream import Disposition

from pvbias.video.decoding import FileVideo


def test_the_best_of_two_video_streams(tmp_path):
    """A preview comes first, and the other is marked as what is to be shown by default."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in ((32, 16), (96, 64)):
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for _ in range(5):
            for stream in streams:
                image = np.full((stream.height, stream.width, 3), 128, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    with FileVideo(str(path)) as video:
        assert video.read([0.0], lambda height, width: (height, width)).shape == (1, 64, 96, 3)
