"""The model family ``TwoStream``: any model of the catalogue on RGB beside any on optical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fvcore.common.config import CfgNode

from pvbias.clips import single_pathway
from pvbias.config.keys import Rule, are_numbers, at_least, declare
from pvbias.errors import ConfigError, did_you_mean
from pvbias.modalities import RGB_AND_FLOW
from pvbias.models import ModelFamily, ZooModel
from pvbias.registries import MODEL, MODEL_FAMILY
from pvbias.video.flow_coding import CODED_MEAN, CODED_STD
from pvbias.zoo import fetch, peek_checkpoint
from pvbias.zoo.configurations import own_configuration

from .network import Stream, TwoStreamNetwork, with_flow_input

#: The family's name, ``MODEL.MODEL_NAME``.
FAMILY = "TwoStream"

_ZOO, _GROUP = "two_stream", "TWO_STREAM."


def add_config(cfg: CfgNode) -> None:
    """Keys of the family."""
    declare(
        cfg,
        "TWO_STREAM.RGB",
        "",
        "Model of the catalogue that sees RGB. Empty: the one that the weights say (a file of `pvbias join`, a "
        "checkpoint of a training).",
    )
    declare(
        cfg,
        "TWO_STREAM.FLOW",
        "",
        "Model of the catalogue that sees optical flow: one made for it, or one on RGB, whose first convolution then "
        "gets two channels for each flow frame. Empty: the one that the weights say.",
    )
    declare(
        cfg,
        "TWO_STREAM.FLOW_FRAMES",
        None,
        "Flow frames that are stacked as channels at each frame of a clip, its own and those after it. None: as many "
        "as the weights say, else 1.",
        at_least(1),
        unit="frames at DATA.TARGET_FPS",
        kind=int,
    )
    declare(
        cfg,
        "TWO_STREAM.WEIGHTS",
        None,
        "Weights of the logits of the RGB and the flow network in a new network's. None: [1.0, 1.0]; a file of "
        "`pvbias join` has its own (--weights).",
        _TWO_WEIGHTS,
        kind=list,
    )


def _holds(value: Any) -> bool:
    return are_numbers(value) and len(value) == 2 and min(value) > 0


_TWO_WEIGHTS = Rule(_holds, "must be two numbers above 0, of RGB and of flow", "two numbers above 0")


def configure(cfg: CfgNode) -> ZooModel:
    """Two-stream networks: a model on RGB and one on stacked optical flow, fused by one linear layer."""
    given = {key: value for key, value in cfg.TWO_STREAM.items() if value not in ("", None)}
    source, written = _described_by_weights(cfg)
    for key in given.keys() & written.keys():
        if given[key] != written[key]:
            raise ConfigError(
                f"{_GROUP}{key} = {given[key]!r}, and {source!r} is of a network with {written[key]!r}: leave the key "
                "out, or join other weights (`pvbias join`)."
            )
    keys = {"FLOW_FRAMES": 1, "WEIGHTS": [1.0, 1.0], **written, **given}
    missing = [f"{_GROUP}{key}" for key in ("RGB", "FLOW") if key not in keys]
    if missing:
        raise ConfigError(
            f"MODEL.MODEL_NAME {FAMILY!r}: nothing says which models its streams are. Set {' and '.join(missing)}, or "
            "give weights that do (`pvbias join` writes such)."
        )
    first, second = keys["WEIGHTS"]
    model = two_stream(keys["RGB"], keys["FLOW"], num_flow_frames=keys["FLOW_FRAMES"], weights=(first, second))
    return replace(model, completed_keys={f"{_GROUP}{key}": value for key, value in keys.items()})


def two_stream(rgb: str, flow: str, *, num_flow_frames: int, weights: tuple[float, float]) -> ZooModel:
    """The catalogue entry of a two-stream network.

    Clips are those of the RGB model, with ``num_flow_frames`` flow frames behind each of their frames.

    Args:
        rgb, flow: names in the MODEL registry.
        num_flow_frames: k.
        weights: of the logits of each.

    Raises:
        ConfigError: there is no such model, or it cannot be such a stream.
    """
    seen, moved = _entry(rgb, "TWO_STREAM.RGB"), _entry(flow, "TWO_STREAM.FLOW")
    if seen.clip_spec.modality != "rgb":
        raise ConfigError(f"TWO_STREAM.RGB = {rgb!r} is a model on optical flow: name it in TWO_STREAM.FLOW.")
    for_flow = moved.clip_spec.modality == "flow"
    if for_flow and num_flow_frames != 1:
        raise ConfigError(
            f"TWO_STREAM.FLOW_FRAMES = {num_flow_frames}: {flow} is made for one flow frame at a time. A model on RGB "
            "takes any number."
        )
    if not for_flow and moved.pathways is not single_pathway:
        raise ConfigError(f"TWO_STREAM.FLOW = {flow!r} has pathways of its own, and cannot see optical flow instead.")
    coded = (CODED_MEAN, CODED_STD)
    mean, std = (
        (*own, *(theirs[:2] if for_flow else (value,) * 2 * num_flow_frames))
        for own, theirs, value in zip(
            (seen.clip_spec.mean, seen.clip_spec.std), (moved.clip_spec.mean, moved.clip_spec.std), coded, strict=True
        )
    )
    return ZooModel(
        zoo=_ZOO,
        build=lambda **sizes: TwoStreamNetwork(
            *build_streams(rgb, flow, num_flow_frames=num_flow_frames, weights=weights, **sizes)
        ),
        clip_spec=seen.clip_spec.replace(modality=RGB_AND_FLOW, mean=mean, std=std),
        head="head",
        fixed_size=seen.fixed_size or moved.fixed_size,
        tap=f"rgb.{seen.tap}" if seen.tap else "",
    )


def build_streams(
    rgb: str, flow: str, *, num_flow_frames: int, weights: tuple[float, float], **sizes: int
) -> tuple[Stream, Stream]:
    """Build both models with random weights, each with its final projection, the second one for optical flow.

    Args:
        rgb, flow, num_flow_frames, weights: as of :func:`two_stream`.
        sizes: as of :attr:`.ZooModel.build`.
    """
    streams = [
        Stream(name=name, module=entry.build(**sizes), head=entry.head, pathways=entry.pathways, weight=weight)
        for name, entry, weight in zip((rgb, flow), map(MODEL.get, (rgb, flow)), weights, strict=True)
    ]
    if MODEL.get(flow).clip_spec.modality != "flow":
        with_flow_input(streams[1].module, num_flow_frames, name=flow)
    return streams[0], streams[1]


def _entry(name: str, key: str) -> ZooModel:
    if name not in MODEL:
        raise ConfigError(f"{key} = {name!r} is no model of the catalogue. {did_you_mean(name, MODEL.names())}")
    return MODEL.get(name)


def _described_by_weights(cfg: CfgNode) -> tuple[str, Mapping[str, Any]]:
    """The weights to measure, or to start from, that say which models their streams are, and the keys that say it."""
    keys = ["TEST.CHECKPOINT_FILE_PATH", "TRAIN.CHECKPOINT_FILE_PATH"]
    for key in reversed(keys) if cfg.TRAIN.ENABLE else keys:
        group, name = key.split(".")
        source = cfg[group][name]
        if source and (found := _written_keys(fetch(source))):
            return source, found
    return "", {}


def _written_keys(path: str) -> dict[str, Any]:
    written = own_configuration(peek_checkpoint(path))
    return {key.removeprefix(_GROUP): value for key, value in written.items() if key.startswith(_GROUP) and value}


def is_two_stream(path: str) -> bool:
    """Whether weights say which models the streams are that they are of."""
    return {"RGB", "FLOW"} <= _written_keys(path).keys()


MODEL_FAMILY.register(ModelFamily(add_config=add_config, configure=configure, recognises=is_two_stream), name=FAMILY)
