"""The catalogue: every video classifier of torchvision, the clips it was trained on, its published weights.

Addresses, classes, accuracies, sizes and normalisation are read from torchvision's own entries. Frames and frame rates
are in none of its fields: they are those that it gives for its accuracies, and for S3D, which it tests with clips twice
as long, those of its training recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn
from torchvision.models import get_model_builder, get_model_weights

from pvbias.clips import ClipSpec
from pvbias.models import Weights, ZooModel
from pvbias.registries import MODEL

from .building import build_any_size, build_mvit, build_s3d

ZOO = "torchvision"


def _register(
    name: str,
    num_frames: int,
    fps: float,
    *,
    head: str,
    build: Callable[..., nn.Module] = build_any_size,
    fixed_size: bool = False,
) -> None:
    """Register torchvision's ``name`` as ``torchvision_<name>``, for clips of consecutive frames at ``fps``."""
    published = get_model_weights(name)
    # All weights of a model are for the same clips.
    preset = next(iter(published)).transforms()
    (crop_size,) = set(preset.crop_size)
    model = ZooModel(
        zoo=ZOO,
        build=partial(build, get_model_builder(name)),
        clip_spec=ClipSpec(
            num_frames=num_frames,
            sampling_rate=1,
            fps=fps,
            crop_size=crop_size,
            test_crop_size=crop_size,
            short_side=min(preset.resize_size),
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            sampling="torchvision",
        ),
        head=head,
        weights={
            entry.name.lower().removesuffix("_v1"): Weights(
                url=entry.url,
                num_classes=len(entry.meta["categories"]),
                top1=entry.meta["_metrics"]["Kinetics-400"]["acc@1"],
                class_names=tuple(entry.meta["categories"]),
            )
            for entry in published
        },
        fixed_size=fixed_size,
    )
    MODEL.register(model, name=f"{ZOO}_{name}")


for _name in ("r3d_18", "mc3_18", "r2plus1d_18"):
    _register(_name, 16, 15.0, head="fc")
_register("s3d", 64, 15.0, head="classifier.1", build=build_s3d)
for _name in ("mvit_v1_b", "mvit_v2_s"):
    _register(_name, 16, 7.5, head="head.1", build=build_mvit, fixed_size=True)
for _name in ("swin3d_t", "swin3d_s", "swin3d_b"):
    _register(_name, 32, 15.0, head="head")
