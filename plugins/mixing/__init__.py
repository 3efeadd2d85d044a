"""Transforms of mini-batches of training clips: colour jitter, RandAugment, MixUp, CutMix."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import above, at_least, between, declare

from .transforms import ColorJitter, CutMix, MixUp, RandAugment

__all__ = ["ColorJitter", "CutMix", "MixUp", "RandAugment", "add_config"]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(cfg, "MIXUP.ALPHA", 0.8, "mixup: both parameters of the Beta distribution of the weights.", above(0))
    declare(cfg, "MIXUP.CUTMIX_ALPHA", 1.0, "cutmix: the same, of the share of the area that stays.", above(0))
    declare(
        cfg,
        "MIXUP.PROB",
        1.0,
        "mixup, cutmix: probability that a mini-batch is mixed.",
        between(0, 1),
        unit="probability",
    )
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
