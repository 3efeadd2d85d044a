"""Small videos whose every frame tells its own number, and other things to read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pvbias.config.defaults import get_cfg


def frame_image(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A grey frame: 8 vertical bars, dark or bright, the binary digits of ``number``."""
    bars = [220 if number >> bit & 1 else 30 for bit in range(8)]
    row = np.array(bars, np.uint8)[np.arange(width) * 8 // width]
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def frame_number(image: np.ndarray) -> int:
    """The number that a decoded (and resized) frame shows."""
    height, width = image.shape[:2]
    centres = [int((bit + 0.5) * width / 8) for bit in range(8)]
    return sum(1 << bit for bit, x in enumerate(centres) if image[height // 2, min(x, width - 1)].mean() > 125)


def write_video(
    path: Path,
    count: int = 40,
    *,
    fps: int = 30,
    codec: str = "libx264",
    size: tuple[int, int] = (48, 64),
    times: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    **options: str,
) -> Path:
    """Frames 0 .. count - 1 at ``fps``, or at ``times`` (ms)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(frame_image(number, *size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def data_cfg(annotation: Path, **data: object):
    """A completed configuration for tiny clips."""
    cfg = get_cfg()
    cfg.MODEL.NUM_CLASSES = 3
    cfg.TRAIN.BATCH_SIZE = 4
    cfg.DATA_LOADER.NUM_WORKERS = 0
    cfg.TEST.NUM_ENSEMBLE_VIEWS = 2
    sizes = {
        "TRAIN_SPLIT": str(annotation),
        "TEST_SPLIT": str(annotation),
        "NUM_FRAMES": 4,
        "SAMPLING_RATE": 2,
        "TARGET_FPS": 30.0,
        "TRAIN_CROP_SIZE": 24,
        "TEST_CROP_SIZE": 24,
        "TEST_SHORT_SIDE": 28,
        "TRAIN_JITTER_SCALES": [24, 32],
    }
    for key, value in (sizes | data).items():
        cfg.DATA[key] = value
    return cfg
