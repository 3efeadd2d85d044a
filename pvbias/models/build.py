"""Building a recognizer from a configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fvcore.common.config import CfgNode

from ..errors import ConfigError, did_you_mean
from ..registries import MODEL, MODEL_FAMILY
from .extra_heads import parse_extra_heads
from .recognizer import Recognizer
from .zoo_model import ZooModel


def find_model(cfg: CfgNode) -> ZooModel:
    """Find the model that ``MODEL.MODEL_NAME`` names: an entry of MODEL, or one that a MODEL_FAMILY makes of the
    configuration.

    Args:
        cfg: a configuration, completed or not.

    Raises:
        ConfigError: an unknown name, or keys that describe no architecture of the family.
    """
    name = cfg.MODEL.MODEL_NAME
    if name in MODEL_FAMILY:
        return MODEL_FAMILY.get(name).configure(cfg)
    if name in MODEL:
        return MODEL.get(name)
    raise ConfigError(f"No MODEL is called {name!r}. {did_you_mean(name, [*MODEL.names(), *MODEL_FAMILY.names()])}")


def build_recognizer(cfg: CfgNode) -> Recognizer:
    """Build the configured model with random weights, for the configured clips, ``MODEL.FREEZE`` applied.

    Args:
        cfg: a completed configuration (:func:`pvbias.config.complete`): no None left.

    Raises:
        ConfigError: an unknown model, sizes the architecture cannot take, or a pattern in ``MODEL.FREEZE`` that matches
            nothing.
    """
    entry = find_model(cfg)
    data = cfg.DATA
    if entry.fixed_size and data.TEST_CROP_SIZE != data.TRAIN_CROP_SIZE:
        raise ConfigError(
            f"DATA.TEST_CROP_SIZE = {data.TEST_CROP_SIZE}: {cfg.MODEL.MODEL_NAME} takes one crop size only; "
            f"set it to DATA.TRAIN_CROP_SIZE = {data.TRAIN_CROP_SIZE}."
        )
    module = entry.build(num_classes=cfg.MODEL.NUM_CLASSES, num_frames=data.NUM_FRAMES, crop_size=data.TRAIN_CROP_SIZE)
    clip_spec = entry.clip_spec.replace(
        num_frames=data.NUM_FRAMES,
        sampling_rate=data.SAMPLING_RATE,
        crop_size=data.TRAIN_CROP_SIZE,
        test_crop_size=data.TEST_CROP_SIZE,
        short_side=data.TEST_SHORT_SIDE,
        fps=data.TARGET_FPS,
        modality=data.MODALITY,
        sampling=data.TEMPORAL_SAMPLING or entry.clip_spec.sampling,
        mean=tuple(data.MEAN),
        std=tuple(data.STD),
    )
    recognizer = Recognizer(
        module,
        clip_spec=clip_spec,
        head=entry.head,
        pathways=entry.pathways,
        stages=entry.stages,
        tap=entry.tap,
        extra_heads=parse_extra_heads(cfg.MODEL.EXTRA_HEADS),
    )
    freeze_parameters(recognizer, cfg.MODEL.FREEZE)
    return recognizer


#: In ``MODEL.FREEZE``: all but the final projection, whatever that is called (linear evaluation).
BACKBONE = "backbone"


def freeze_parameters(recognizer: Recognizer, patterns: Sequence[str]) -> list[str]:
    """Stop gradients to the zoo module's parameters whose name matches one of ``patterns`` (``re.search``).

    BatchNorm's running statistics are not parameters and go on moving in training mode; ``BN.FREEZE`` holds those.

    Args:
        recognizer: the model.
        patterns: regular expressions on names inside ``Recognizer.module``, e.g. ``^blocks\\.[0-4]\\.``; or
            :data:`BACKBONE`.

    Returns:
        The names of the frozen parameters.

    Raises:
        ConfigError: a pattern that is no regular expression or matches nothing.
    """
    parameters = dict(recognizer.module.named_parameters())
    frozen: dict[str, None] = {}
    for pattern in patterns:
        if pattern == BACKBONE:
            assert recognizer.head  # raises where there is none
            pattern = f"^(?!{re.escape(recognizer.head_name)}\\.)"
        try:
            matching = [name for name in parameters if re.search(pattern, name)]
        except re.error as error:
            raise ConfigError(f"MODEL.FREEZE: {pattern!r} is not a regular expression: {error}.") from error
        if not matching:
            raise ConfigError(f"MODEL.FREEZE: {pattern!r} matches no parameter. {did_you_mean(pattern, parameters)}")
        frozen.update(dict.fromkeys(matching))
    for name in frozen:
        parameters[name].requires_grad_(False)
    return list(frozen)
