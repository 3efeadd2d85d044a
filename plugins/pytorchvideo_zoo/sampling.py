"""Frame sampling exactly as PyTorchVideo and SlowFast do it, rounding included."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from pvbias.data.frame_sampling import SpreadOverFrames, SpreadOverSeconds
from pvbias.registries import SAMPLING


@SAMPLING.register(name="pytorchvideo")
def pytorchvideo(cfg: CfgNode) -> SpreadOverSeconds:
    """Frames spread over NUM_FRAMES * SAMPLING_RATE / TARGET_FPS seconds, both ends in them: PyTorchVideo's.

    That of 0.1.5, the last release: ``EncodedVideo.get_clip`` and ``UniformTemporalSubsample``; in training
    ``RandomClipSampler``, in testing ``ConstantClipsPerVideoSampler``, whose last clip does not reach the end. The
    clip's length is the exact fraction: as a float (1.6 for 48 / 30) it may be a hair longer, and the clip that begins
    with the video then has a 49th frame.
    """
    return SpreadOverSeconds(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        seconds=cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS,
        center_up=True,
    )


@SAMPLING.register(name="slowfast")
def slowfast(cfg: CfgNode) -> SpreadOverFrames:
    """Frames spread over the frames of NUM_FRAMES * SAMPLING_RATE / TARGET_FPS seconds, both ends in them: SlowFast's.

    ``get_start_end_idx`` and ``temporal_sampling`` of its decoder, on all frames of a video. (Its decoding of a video's
    part only, a shortcut, may begin a clip a frame later.)
    """
    return SpreadOverFrames(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        seconds=cfg.DATA.NUM_FRAMES * cfg.DATA.SAMPLING_RATE / cfg.DATA.TARGET_FPS,
        to_the_end=cfg.DATA.get("USE_OFFSET_SAMPLING", False),
        center_up=True,
    )
