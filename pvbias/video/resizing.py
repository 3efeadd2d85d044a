"""Resizing of frames, the same for training and testing, video files and frame images."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

#: What libswscale does not turn into RGB, by the number that a stream has for its colour matrix (ITU-T H.273).
_COLOURS = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived, with non-constant luminance",
    13: "chromaticity-derived, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}


class Resizer:
    """Scales a frame and converts it to RGB with libswscale (bilinear, over the source's area when it shrinks).

    Frames as nearly all videos have them (8-bit 4:2:0) are scaled as 4:2:2 and become RGB then, which libswscale does
    2 to 3 times faster than both in one step. Its fast conversion rounds down (1 grey level darker on average), as it
    does for frames that need no scaling; so a prepared video and its source are treated alike.

    The frame's own colour matrix and range are used (BT.601, BT.709, FCC, SMPTE 240M, BT.2020 with non-constant
    luminance, RGB); where a file does not say, BT.601 and limited range are assumed, as ffmpeg does. Other matrices
    (YCgCo, BT.2020 with constant luminance, ...) cannot be converted: :func:`why_not` names them. High bit depths are
    reduced to 8 bits without tone mapping. Alpha is dropped. Pixels are taken as square, whatever the file's sample
    aspect ratio says (torchcodec, decord and PyTorchVideo do the same).

    One is reused for all frames of a video, on one thread: setting up a scaler costs more than scaling a frame.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._converter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        """Resize and convert to RGB, uint8 ``(height, width, 3)``, valid as long as the caller keeps it.

        Raises:
            av.FFmpegError: the frame's pixel format cannot be converted.
        """
        if frame.format.name == "yuv420p" and (frame.height, frame.width) != (height, width):
            frame = self._scaler.reformat(
                frame,
                width=width,
                height=height,
                format="yuv422p",
                dst_colorspace=frame.colorspace,
                dst_color_range=frame.color_range,
                threads=1,
            )
        image = self._converter.reformat(
            frame, width=width, height=height, format="rgb24", dst_color_range=ColorRange.JPEG, threads=1
        )
        plane = image.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[:height, : width * 3].reshape(height, width, 3)


def resize_frames(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """RGB frames, uint8 ``(F, h, w, 3)``, as :class:`Resizer` scales them: ``(F, height, width, 3)``. For videos that
    do not come from files, so that a written one would look the same."""
    if frames.shape[1:3] == (height, width):
        return frames
    resizer = Resizer()
    return np.stack([resizer(av.VideoFrame.from_ndarray(frame, format="rgb24"), height, width) for frame in frames])


def why_not(frame: av.VideoFrame) -> str:
    """Explain why a frame cannot be converted, where that is its colours; else empty."""
    colours = _COLOURS.get(int(frame.colorspace), "")
    return colours and (
        f"its colours are marked as {colours}, which libswscale does not turn into RGB. Convert it (ffmpeg -vf "
        "zscale=matrix=709), or, if the mark is wrong, mark it anew (ffmpeg -c copy -bsf:v "
        "h264_metadata=matrix_coefficients=1)"
    )
