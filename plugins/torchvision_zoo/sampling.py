"""Frame sampling as torchvision's reference scripts do it."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from pvbias.data.frame_sampling import ConsecutiveFrames
from pvbias.registries import SAMPLING


@SAMPLING.register(name="torchvision")
def torchvision(cfg: CfgNode) -> ConsecutiveFrames:
    """NUM_FRAMES consecutive frames of the video at TARGET_FPS / SAMPLING_RATE frames per second: torchvision's.

    ``VideoClips``, which repeats or leaves out frames of videos of another rate; in training any clip
    (``RandomClipSampler``), in testing clips from the video's beginning to its end (``UniformClipSampler``), a single
    one at the beginning. torchvision leaves out videos that are shorter than a clip; they are looped here.
    """
    return ConsecutiveFrames(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        fps=cfg.DATA.TARGET_FPS / cfg.DATA.SAMPLING_RATE,
    )
