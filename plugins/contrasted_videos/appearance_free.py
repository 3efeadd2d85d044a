"""Appearance-free videos: noise that moves as the video does (Ilic, Pock and Wildes, ECCV 2022).

"Is Appearance Free Action Recognition Possible?": no single frame says anything of the class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL, TrackModulation
from pvbias.data import Track, VideoRecord, VideoSource
from pvbias.data.flow import Flow, find_flow
from pvbias.data.tracks import VideoTrack
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, MODULATION, TRACK
from pvbias.video import FrameSize, Video, frames_shown

from .compositing import as_pixels, check_rgb, in_format_of
from .evaluators import PlainAccuracies

#: Seconds after which the noise is drawn anew: what is long ago has no part in a frame.
_SECONDS = 10.0

#: Frames whose flow is read together.
_AT_ONCE = 16


@TRACK.register(name="flowing_noise")
class FlowingNoise(Track):
    """Noise that the video's optical flow moves, frame by frame (:func:`flowing_noise`); of the flow of DATA.FLOW_DIR,
    else the videos' own.

    The noise is drawn by RNG_SEED and the video's name, and anew every 10 seconds of the video.

    Raises:
        ConfigError: nothing knows the flow (:func:`pvbias.data.flow.find_flow`).
    """

    title, channels = "noise along its optical flow", 3

    def __init__(self, cfg: CfgNode, source: VideoSource) -> None:
        self._flow = find_flow(cfg, source)
        self._seed = cfg.RNG_SEED

    def open(self, record: VideoRecord, video: Video) -> VideoTrack:
        """See :class:`pvbias.data.Track`."""
        return _Noise(self._flow.open_flow(record), record, self._seed)


class _Noise:
    def __init__(self, flow: Flow, record: VideoRecord, seed: int) -> None:
        self._flow, self._name, self._seed = flow, record.name, seed
        # Of the frame that is shown where the video's part begins, which may have begun before.
        self._start = float(flow.timestamps[frames_shown(flow.timestamps, [record.start or 0.0])[0][0]])
        self.duration = flow.duration

    def read(self, times: Sequence[float], size: FrameSize) -> np.ndarray:
        needed, place = frames_shown(self._flow.timestamps, times)
        stretches = ((self._flow.timestamps[needed] - self._start) // _SECONDS).astype(int)
        found = np.concatenate(
            [self._stretch(int(each), needed[stretches == each], size) for each in np.unique(stretches)]
        )
        return found[place]

    def _stretch(self, stretch: int, needed: np.ndarray, size: FrameSize) -> np.ndarray:
        """Some frames, by ascending number, of one stretch of 10 seconds."""
        timestamps = self._flow.timestamps
        first = min(int(np.searchsorted(timestamps, self._start + stretch * _SECONDS - 1e-6)), int(needed[0]))
        digest = hashlib.sha256(f"{self._seed}/{stretch}/{self._name}".encode(errors="surrogatepass")).digest()
        flows = self._displacements(first, int(needed[-1]), size)
        wanted = set(needed.tolist())
        noise = flowing_noise(flows, np.random.default_rng(int.from_bytes(digest[:8], "big")))
        return np.stack([frame for number, frame in enumerate(noise, start=first) if number in wanted])

    def _displacements(self, first: int, last: int, size: FrameSize) -> Iterator[np.ndarray]:
        """The ways from each frame ``first .. last`` to the next one; the last one's is not gone."""
        timestamps = self._flow.timestamps
        for start in range(first, last + 1, _AT_ONCE):
            numbers = np.arange(start, min(start + _AT_ONCE, last + 1))
            velocities = self._flow.velocity(timestamps[numbers].tolist(), size)
            seconds = np.diff(timestamps, append=timestamps[-1])[numbers].astype(np.float32)
            yield from velocities * seconds[:, None, None, None]

    def close(self) -> None:
        self._flow.close()


def flowing_noise(flows: Iterator[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Noise that flow moves: a frame, uint8 ``(h, w, 3)``, for each flow, before it has moved.

    Pixels go their way as particles, to the nearest pixel; what is left of the way, they go with the next frame's.
    Where several would be the fastest one stays (what moves is in front), where none is there is new noise. So
    each frame by itself is nothing but independent, uniform noise, whatever the flow is.

    Args:
        flows: displacements ``(h, w, 2)`` to the right and down from each frame to the next, pixels.
        rng: of the noise.
    """
    frame = rest = None
    for flow in flows:
        height, width = flow.shape[:2]
        flat = flow.reshape(-1, 2)
        if frame is None or rest is None:
            frame = rng.integers(256, size=(height * width, 3), dtype=np.uint8)
            rest = np.zeros_like(flat)
        yield frame.reshape(height, width, 3)
        rest = rest + flat
        steps = np.rint(rest).astype(np.int64)
        goes = (steps[:, 0] | steps[:, 1]) != 0
        going = np.flatnonzero(goes)
        if not len(going):
            continue
        rest[going] -= steps[going]
        rows, columns = going // width + steps[going, 1], going % width + steps[going, 0]
        arriving = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        sources, targets = going[arriving], (rows * width + columns)[arriving]
        speeds = flat[:, 0] ** 2 + flat[:, 1] ** 2
        # What stands where they arrive stays unless it is slower; of those that arrive the fastest is last, and stays.
        stands = ~goes[targets] & (speeds[targets] >= speeds[sources])
        sources, targets = sources[~stands], targets[~stands]
        order = np.argsort(speeds[sources], kind="stable")
        sources, targets = sources[order], targets[order]
        moved, moved_rest = frame.copy(), rest.copy()
        moved[targets], moved_rest[targets] = frame[sources], rest[sources]
        goes[targets] = False
        left = np.flatnonzero(goes)
        moved[left] = rng.integers(256, size=(len(left), 3), dtype=np.uint8)
        moved_rest[left] = 0
        frame, rest = moved, moved_rest


@MODULATION.register(name="appearance_free")
@dataclass(frozen=True)
class AppearanceFree(TrackModulation):
    """Noise that moves along the clip's own optical flow, in place of the clip."""

    of_rgb = True
    label = "noise that moves as it does"
    tracks = ("flowing_noise",)

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        check_rgb(clips, self.spec)
        return in_format_of(clips, as_pixels(tracks["flowing_noise"], clips))


@EVALUATOR.register(name="appearance_free")
class AppearanceFreeAccuracy(PlainAccuracies):
    """Top-1 accuracy on the clips as they are, and on appearance-free ones, of which all that is left is the motion."""

    needs = Needs(modulations=(ORIGINAL, "appearance_free"))
