"""The page of training clips: what a network sees of a list after augmentation, with labels (`pvbias data show`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.config import complete
from pvbias.data import TrainBatch, build_source, build_train_loader, count_classes
from pvbias.data.record_list import field_of
from pvbias.engine.transform import MiniBatch, Transform, apply_transforms, build_transforms
from pvbias.errors import ConfigError
from pvbias.evaluation.sample_clips import clip_strip
from pvbias.files import write_atomically
from pvbias.models import build_recognizer
from pvbias.needs import union
from pvbias.report.tables import image_uri
from pvbias.report.templating import render_template

_TEMPLATE = Path(__file__).with_name("templates") / "clips.html"


@dataclass(frozen=True, kw_only=True)
class ShownClip:
    """A training clip on the page.

    Attributes:
        name: of its video.
        label: its class; of a mixed clip its classes with their shares; empty: none.
        attributes: of its video, as far as the clip still has them.
        image: a strip of its frames, JPEG.
    """

    name: str
    label: str
    attributes: Mapping[str, str]
    image: bytes


def write_clips(cfg: CfgNode, path: Path, *, count: int) -> Path:
    """Write a page with the first training clips of a configuration, exactly as the first mini-batch has them: drawn
    from RNG_SEED, cropped, flipped, modulated, and changed by TRAIN.TRANSFORMS.

    Args:
        cfg: a checked configuration; its training split is shown, in mini-batches of ``count`` clips.
        path: of the page.
        count: clips, >= 1; of a list that has fewer videos, as many as it has.

    Returns:
        ``path``.

    Raises:
        ConfigError: a transform needs labels, and the list has none; or it has to be prepared from all training videos.
        DataError: the list cannot be read, or has nothing but bad videos.
    """
    source = build_source(cfg, "train")
    labels = field_of(source.records, "label")
    labelled = None not in labels
    classes = count_classes(source) if labelled else 1
    # Nothing is classified: a network of one class is none.
    cfg = _of_size(complete(cfg, num_classes=max(classes, 2)), min(count, len(source.records)))
    transforms = _transforms(cfg, labelled)
    tracks = union(transform.needs for transform in transforms).tracks
    loader = build_train_loader(cfg, source, rank=0, world_size=1, tracks=tracks, labelled=labelled)
    batch = next(loader.epoch(0))
    shown = _transformed(cfg, batch, transforms)
    clips = (shown.clips * 255).round().clamp(0, 255).byte()
    names = source.class_names
    content = [
        ShownClip(
            name=name,
            label=_label(shown.labels[number], names) if shown.labels is not None else "",
            attributes={key: str(value) for key, value in attributes.items()},
            image=clip_strip(clips[number]),
        )
        for number, (name, attributes) in enumerate(zip(shown.names, shown.attributes, strict=True))
    ]
    data = cfg.DATA
    crop = f"{data.TRAIN_CROP_SIZE} x {data.TRAIN_CROP_SIZE} pixels"
    sizes = f"of the area {data.TRAIN_JITTER_SCALES_RELATIVE}" if data.TRAIN_JITTER_SCALES_RELATIVE else ""
    sizes = sizes or f"of a short side of {data.TRAIN_JITTER_SCALES[0]} to {data.TRAIN_JITTER_SCALES[1]}"
    about = {
        "List": source.description,
        "Videos": f"{len(source.records):,}, {classes} classes" if labelled else f"{len(source.records):,}, no labels",
        "Clips": f"{data.NUM_FRAMES} frames, {data.TEMPORAL_SAMPLING}; as {cfg.MODEL.MODEL_NAME} is trained",
        "Crops": f"{crop} {sizes}{', mirrored half of the time' if data.RANDOM_FLIP else ''}",
        "Transforms": ", ".join(cfg.TRAIN.TRANSFORMS) or "none",
        "RNG_SEED": str(cfg.RNG_SEED),
        "Bad videos on the way": "; ".join(map(str, batch.bad)) or "none",
    }
    context = {"clips": [(clip, image_uri(clip.image)) for clip in content], "about": about}
    return write_atomically(path, render_template(_TEMPLATE, context))


def _of_size(cfg: CfgNode, count: int) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAIN.BATCH_SIZE = count
    cfg.freeze()
    return cfg


def _transforms(cfg: CfgNode, labelled: bool) -> list[Transform]:
    if not cfg.TRAIN.TRANSFORMS:
        return []
    if not labelled:
        raise ConfigError("TRAIN.TRANSFORMS changes labelled clips, and this list has none. Leave it empty.")
    transforms = build_transforms(cfg, build_recognizer(cfg))
    for name, transform in zip(cfg.TRAIN.TRANSFORMS, transforms, strict=True):
        if transform.needs.splits:
            raise ConfigError(
                f"TRAIN.TRANSFORMS has {name!r}, which looks at all training videos before the first step: leave it "
                "out here."
            )
    return transforms


def _transformed(cfg: CfgNode, batch: TrainBatch, transforms: Sequence[Transform]) -> MiniBatch:
    """The mini-batch as an objective gets it."""
    given = MiniBatch(
        clips=batch.clips.float() / 255,
        labels=batch.labels,
        names=batch.names,
        tracks={name: track.float() if track.is_floating_point() else track for name, track in batch.tracks.items()},
        attributes=batch.attributes,
    )
    with torch.no_grad():
        return apply_transforms(transforms, given, rng_seed=cfg.RNG_SEED, epoch=0.0)


def _label(label: Tensor, names: Sequence[str]) -> str:
    """A class, or those of a mixed clip with their shares."""
    if label.dim() == 0:
        return _name(int(label), names)
    shares = sorted(((float(share), number) for number, share in enumerate(label) if share > 0), reverse=True)
    if math.isclose(shares[0][0], 1.0, abs_tol=1e-6):
        return _name(shares[0][1], names)
    return " + ".join(f"{share:.0%} {_name(number, names)}" for share, number in shares)


def _name(number: int, names: Sequence[str]) -> str:
    return names[number] if names else f"class {number}"
