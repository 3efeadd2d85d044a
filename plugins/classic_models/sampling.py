"""Frame sampling as the original code of classic models does it, by a video's own frames."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from pvbias.data.frame_sampling import ConsecutiveFrames, EvenWindows, LoopedStride, Segments, begun_in_steps
from pvbias.registries import SAMPLING


@SAMPLING.register(name="hara")
def hara(cfg: CfgNode) -> EvenWindows:
    """NUM_FRAMES frames, every SAMPLING_RATE-th of the video's own, in even windows: Hara et al.'s.

    3D-ResNets-PyTorch: ``TemporalSubsampling``; in training ``TemporalRandomCrop``, in testing ``TemporalEvenCrop``,
    whose last clip is looped where it reaches beyond the end, and ``TemporalCenterCrop`` for a single one. (Their
    inference, all windows 16 frames apart, is DATA.TEMPORAL_SAMPLING "windows".)
    """
    return EvenWindows(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        stride=cfg.DATA.SAMPLING_RATE,
        nominal_fps=cfg.DATA.TARGET_FPS,
    )


@SAMPLING.register(name="tsn")
def tsn(cfg: CfgNode) -> Segments:
    """One frame of each of NUM_FRAMES segments of the video: that of TSN and TSM (temporal-shift-module).

    ``TSNDataSet``: in training a random frame of each segment, in testing the one in its centre, and with two test
    clips (``twice_sample``) that at its beginning.
    """
    return Segments(num_frames=cfg.DATA.NUM_FRAMES, num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS)


@SAMPLING.register(name="tsm_dense")
def tsm_dense(cfg: CfgNode) -> LoopedStride:
    """NUM_FRAMES frames, every SAMPLING_RATE-th of the video's own, looped: TSM's dense sampling (``dense_sample``)."""
    return LoopedStride(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        stride=cfg.DATA.SAMPLING_RATE,
        nominal_fps=cfg.DATA.TARGET_FPS,
    )


@SAMPLING.register(name="vmz")
def vmz(cfg: CfgNode) -> ConsecutiveFrames:
    """NUM_FRAMES frames, every SAMPLING_RATE-th of the video's own: that of VMZ, which trained R(2+1)D-34 and CSN.

    Test clips spread from the video's beginning to its end, a single one at the beginning. VMZ leaves out videos that
    are shorter than a clip; they are looped here.
    """
    return ConsecutiveFrames(
        num_frames=cfg.DATA.NUM_FRAMES,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        stride=cfg.DATA.SAMPLING_RATE,
        nominal_fps=cfg.DATA.TARGET_FPS,
        begins=begun_in_steps,
    )
