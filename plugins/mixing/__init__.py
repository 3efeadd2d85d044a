"""Transforms of mini-batches of training clips: augmentation, mixing, still frames, other backgrounds."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import above, at_least, between, declare, one_of

from .foregrounds import ActorCutMix, Fame
from .still_frames import BackgroundErasing, StillMix, StillMixBatch
from .transforms import ColorJitter, CutMix, MixUp, RandAugment, SpatiotemporalVideoMix, TemporalVideoMix

__all__ = [
    "ActorCutMix",
    "BackgroundErasing",
    "ColorJitter",
    "CutMix",
    "Fame",
    "MixUp",
    "RandAugment",
    "SpatiotemporalVideoMix",
    "StillMix",
    "StillMixBatch",
    "TemporalVideoMix",
    "add_config",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    _add_mixing(cfg)
    _add_still_frames(cfg)
    _add_backgrounds(cfg)
    for name, strength, most in (
        ("BRIGHTNESS", 0.4, 1),
        ("CONTRAST", 0.4, 1),
        ("SATURATION", 0.4, 1),
        ("HUE", 0.0, 0.5),
    ):
        declare(
            cfg, f"COLOR_JITTER.{name}", strength, f"color_jitter: strength of random {name.lower()}.", between(0, most)
        )
    declare(cfg, "RAND_AUGMENT.NUM_OPS", 2, "rand_augment: changes of a clip, one after another.", at_least(0))
    declare(
        cfg,
        "RAND_AUGMENT.MAGNITUDE",
        9,
        "rand_augment: how strong they are, of torchvision's 31 steps.",
        between(0, 30),
    )


def _add_mixing(cfg: CfgNode) -> None:
    declare(cfg, "MIXUP.ALPHA", 0.8, "mixup: both parameters of the Beta distribution of the weights.", above(0))
    declare(
        cfg,
        "MIXUP.CUTMIX_ALPHA",
        1.0,
        "cutmix, videomix_temporal, videomix_spatiotemporal: the same, of the share of the clip that stays.",
        above(0),
    )
    declare(
        cfg,
        "MIXUP.PROB",
        1.0,
        "mixup, cutmix, videomix_temporal, videomix_spatiotemporal: probability that a mini-batch is mixed.",
        between(0, 1),
        unit="probability",
    )


def _add_still_frames(cfg: CfgNode) -> None:
    declare(
        cfg,
        "STILL_MIX.ALPHA",
        200.0,
        "still_mix, still_mix_batch: both parameters of the Beta distribution of a clip's weight (the paper's 200).",
        above(0),
    )
    declare(
        cfg,
        "STILL_MIX.PROB",
        0.5,
        "still_mix, still_mix_batch: that a clip is mixed (the paper's are 0.25 and 0.5).",
        between(0, 1),
        unit="probability",
    )
    declare(
        cfg,
        "STILL_MIX.QUANTILE",
        0.5,
        "still_mix: how sure of the label the reference network is of a frame in the bank: as of this part of the "
        "frames at least that it is right about.",
        between(0, 1),
    )
    declare(
        cfg,
        "STILL_MIX.BANK_SIZE",
        1024,
        "still_mix: frames in the bank, at most (the released code's 1024).",
        at_least(1),
        unit="frames",
    )
    declare(
        cfg,
        "BACKGROUND_ERASING.GAMMA",
        0.3,
        "background_erasing: the largest weight of the added frame.",
        between(0, 1),
    )
    declare(
        cfg,
        "BACKGROUND_ERASING.PROB",
        0.5,
        "background_erasing: that a frame is added to a clip.",
        between(0, 1),
        unit="probability",
    )


def _add_backgrounds(cfg: CfgNode) -> None:
    for group, name in (("ACTOR_CUTMIX", "actor_cutmix"), ("FAME", "fame")):
        declare(
            cfg,
            f"{group}.PROB",
            0.5,
            f"{name}: that a clip's background is swapped.",
            between(0, 1),
            unit="probability",
        )
    declare(
        cfg,
        "ACTOR_CUTMIX.LABEL",
        "area",
        "actor_cutmix: what becomes of a clip's label: area: with the other clip's, by the foreground's area as the "
        "paper has it, 1 - (1 - area)^4; keep: nothing.",
        one_of("area", "keep"),
    )
    declare(cfg, "FAME.BETA", 0.5, "fame: the part of a clip's pixels that is its foreground.", between(0, 1))
