"""Frames of videos for the page, from the list that their features are of."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

import numpy as np
import torch

from pvbias.data.annotations import read_annotation
from pvbias.data.source import VideoFiles
from pvbias.evaluation.sample_clips import clip_strip
from pvbias.video.video import BadVideoError

#: Frames of each video, spread evenly, and their height, pixels.
_FRAMES, _HEIGHT = 6, 80

#: Frames a second of folders of frame images, of which any will do here: they are spread over all there are.
_FPS = 30.0


def frame_strips(path: str, names: Collection[str], *, path_prefix: str = "") -> dict[str, bytes]:
    """A strip of frames side by side of each of some videos, a JPEG file, by name.

    Args:
        path: the list that has them.
        names: as features have them; a video that is not in the list or cannot be decoded is left out.
        path_prefix: folder that relative paths in the list start from.

    Raises:
        DataError: the list cannot be read.
    """
    source = VideoFiles(read_annotation(path, path_prefix=path_prefix), fps=_FPS)
    found = {}
    for record in source.records:
        if record.name not in names:
            continue
        try:
            with closing(source.open(record)) as video:
                start = record.start or 0.0
                end = video.duration if record.end is None else min(record.end, video.duration)
                times = start + (end - start) * (np.arange(_FRAMES) + 0.5) / _FRAMES
                frames = video.read(times.tolist(), lambda height, width: (_HEIGHT, max(_HEIGHT * width // height, 1)))
        except BadVideoError:
            continue
        found[record.name] = clip_strip(torch.from_numpy(frames).permute(3, 0, 1, 2))
    return found
