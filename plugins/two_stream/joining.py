"""Joining of trained weights of two models to those of one two-stream network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pvbias.data.labels import checkpoint_names
from pvbias.errors import WeightsError
from pvbias.models import ZooModel
from pvbias.registries import MODEL
from pvbias.zoo import (
    LoadReport,
    atomic_save,
    count_head_classes,
    fetch,
    load_module_weights,
    model_weights,
    peek_checkpoint,
)

from .family import FAMILY, build_streams, two_stream
from .network import TwoStreamNetwork


def join(
    rgb: tuple[str, str],
    flow: tuple[str, str],
    out: str | Path,
    *,
    num_flow_frames: int = 1,
    weights: tuple[float, float] = (1.0, 1.0),
    new_head: bool = False,
) -> tuple[LoadReport, LoadReport]:
    """Write the weights of a two-stream network, of which two trained models are the streams.

    The file says which models these are: ``MODEL.MODEL_NAME TwoStream`` and the file as
    ``TEST.CHECKPOINT_FILE_PATH`` or ``TRAIN.CHECKPOINT_FILE_PATH`` is all that a configuration needs. What the weights
    do not fill is left out, so that whoever loads the file is told so.

    Args:
        rgb, flow: name in the MODEL registry, and where its weights are, as for :func:`pvbias.zoo.fetch`. Weights on
            RGB for the flow stream are averaged over the channels of its first kernel (TSN's cross-modality
            initialisation): something to train from.
        out: file to write.
        num_flow_frames: k, flow frames at each frame of a clip.
        weights: of the logits of each in the network's.
        new_head: leave the final projections out: the file is something to train from, and not to measure.

    Returns:
        What became of the weights of each.

    Raises:
        ConfigError: there is no such model, or it cannot be such a stream.
        WeightsError: weights do not fit, or have no final projection; the two have other classes, or in another order.
    """
    model = two_stream(rgb[0], flow[0], num_flow_frames=num_flow_frames, weights=weights)
    entries = [MODEL.get(name) for name, _ in (rgb, flow)]
    classes = [_count_classes(source, entry) for (_, source), entry in zip((rgb, flow), entries, strict=True)]
    names = _class_names(rgb[1], flow[1])
    if not new_head and (None in classes or classes[0] != classes[1]):
        raise WeightsError(
            f"{rgb[1]!r} tells {_said(classes[0])} apart and {flow[1]!r} {_said(classes[1])}: together they predict "
            "nothing. --new-head leaves the final projections out, for a network to train from."
        )
    streams = build_streams(
        rgb[0],
        flow[0],
        num_flow_frames=num_flow_frames,
        weights=weights,
        num_classes=classes[0] or 2,
        num_frames=model.clip_spec.num_frames,
        crop_size=model.clip_spec.crop_size,
    )
    # Not of weights on RGB for the flow stream, which sees other pictures than they did.
    specs = (entries[0].clip_spec, entries[1].clip_spec if entries[1].clip_spec.modality == "flow" else None)
    reports = [
        load_module_weights(stream.module, stream.head, source, key=key, clip_spec=spec)
        for stream, (_, source), key, spec in zip(
            streams, (rgb, flow), ("TWO_STREAM.RGB", "TWO_STREAM.FLOW"), specs, strict=True
        )
    ]
    for report in reports:
        if not new_head and (why := _why_no_predictions(report, of_flow=report is reports[1])):
            raise WeightsError(f"{why}. --new-head leaves the final projections out, for a network to train from.")
    network = TwoStreamNetwork(*streams)
    left_out = {
        f"{stream}.{name}" for stream, report in zip(("rgb", "flow"), reports, strict=True) for name in report.random
    }
    state = {
        name: value
        for name, value in network.state_dict().items()
        if name not in left_out and not (new_head and name.startswith("head."))
    }
    keys: dict[str, Any] = {"RGB": rgb[0], "FLOW": flow[0], "FLOW_FRAMES": num_flow_frames, "WEIGHTS": [*weights]}
    checkpoint: dict[str, Any] = {
        "model_state": state,
        "cfg": yaml.safe_dump({"MODEL": {"MODEL_NAME": FAMILY}, "TWO_STREAM": keys}),
    }
    if names and not new_head:
        checkpoint["class_names"] = names
    atomic_save(checkpoint, out)
    return reports[0], reports[1]


def _count_classes(source: str, entry: ZooModel) -> int | None:
    """The number of classes of a checkpoint's head; None: it has none."""
    path = fetch(source)
    return count_head_classes(model_weights(peek_checkpoint(path), path), entry)


def _why_no_predictions(report: LoadReport, *, of_flow: bool) -> str:
    """The reason for not measuring a stream with these weights; empty: there is none."""
    if not report.head_loaded:
        return (
            f"{report.source!r} fills the backbone, but not the final projection: together they would predict with "
            "random weights"
        )
    if of_flow and report.averaged:
        return f"{report.source!r} has weights on RGB, and its network has never seen optical flow"
    return report.caution if report.surplus else ""


def _said(classes: int | None) -> str:
    return "no classes" if classes is None else f"{classes} classes"


def _class_names(rgb: str, flow: str) -> Sequence[str]:
    """The class names that both, or the one that knows them, have.

    Raises:
        WeightsError: they are not the same, in the same order.
    """
    ours, theirs = checkpoint_names(rgb), checkpoint_names(flow)
    if ours and theirs and list(ours) != list(theirs):
        raise WeightsError(
            f"{rgb!r} and {flow!r} have other classes, or the same in another order: their outputs cannot be added."
        )
    return ours or theirs
