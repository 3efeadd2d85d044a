"""The catalogue: every video classifier of the hub, the clips it was trained on, its published weights.

Frames, sampling rates, top-1 accuracies and addresses are those of PyTorchVideo 0.1.5 and its model zoo page; crop
sizes are those the checkpoints were trained and are usually tested with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pytorchvideo.models import hub
from torch import nn

from pvbias.clips import ClipSpec, Pathways, single_pathway, slow_fast_pathways
from pvbias.models import Weights, ZooModel
from pvbias.registries import MODEL

from .building import Creator, build_mvit, build_resnet, build_slowfast, build_x3d, convolved_by, pooled_by
from .kinetics import KINETICS_400

ZOO = "pytorchvideo"
_ADDRESS = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"

#: Frames of the fast pathway to one of the slow one, in all the hub's SlowFast models.
ALPHA = 4

#: The third of its four stages, of both pathways: a third of SlowFast's weights come before it, and a twentieth before
#: the second one's maps.
SLOWFAST_TAP = "blocks.3"


def _register(
    build: Callable[..., nn.Module],
    hub_builder: Creator,
    clip: ClipSpec,
    file: str,
    top1: float,
    *,
    head: str,
    pathways: Pathways = single_pathway,
    fixed_size: bool = False,
    stages: str = "",
    tap: str = "",
    **options: Any,
) -> None:
    """Register ``build(hub_builder, ..., **options)`` under the hub function's name."""
    model = ZooModel(
        zoo=ZOO,
        build=partial(build, hub_builder, **options),
        clip_spec=clip,
        head=head,
        pathways=pathways,
        weights={
            "kinetics400": Weights(
                url=f"{_ADDRESS}/{file}", num_classes=len(KINETICS_400), top1=top1, class_names=KINETICS_400
            )
        },
        fixed_size=fixed_size,
        stages=stages,
        tap=tap,
    )
    MODEL.register(model, name=hub_builder.__name__)


def _clip(frames: int, rate: int, crop: int, test_crop: int, short_side: int) -> ClipSpec:
    return ClipSpec(
        num_frames=frames,
        sampling_rate=rate,
        crop_size=crop,
        test_crop_size=test_crop,
        short_side=short_side,
        sampling=ZOO,
    )


# C2D and I3D pool over time after their first stage, which gives the head one more block to come after.
_pooled_resnet = partial(_register, build_resnet, head="blocks.6.proj", stages="blocks", frames_at_head=pooled_by(2))
_pooled_resnet(hub.c2d_r50, _clip(8, 8, 224, 256, 256), "C2D_8x8_R50.pyth", 71.46)
_pooled_resnet(hub.i3d_r50, _clip(8, 8, 224, 256, 256), "I3D_8x8_R50.pyth", 73.27)

_resnet = partial(_register, build_resnet, head="blocks.5.proj", stages="blocks")
_resnet(hub.slow_r50, _clip(8, 8, 224, 256, 256), "SLOW_8x8_R50.pyth", 74.58, frames_at_head=convolved_by(1))
_resnet(hub.csn_r101, _clip(32, 2, 224, 256, 256), "CSN_32x2_R101.pyth", 77.00, frames_at_head=convolved_by(8))
_resnet(hub.r2plus1d_r50, _clip(16, 4, 224, 256, 256), "R2PLUS1D_16x4_R50.pyth", 76.01, frames_at_head=convolved_by(4))

_x3d = partial(_register, build_x3d, head="blocks.5.proj", stages="blocks")
_x3d(hub.x3d_xs, _clip(4, 12, 160, 182, 182), "X3D_XS.pyth", 69.12)
_x3d(hub.x3d_s, _clip(13, 6, 160, 182, 182), "X3D_S.pyth", 73.33)
_x3d(hub.x3d_m, _clip(16, 5, 224, 256, 256), "X3D_M.pyth", 75.94)
_x3d(hub.x3d_l, _clip(16, 5, 312, 356, 356), "X3D_L.pyth", 77.44)

# The clip is the fast pathway's: an "8x8" checkpoint sees 32 frames 2 apart, of which the slow pathway takes 8.
_slowfast = partial(
    _register,
    build_slowfast,
    head="blocks.6.proj",
    pathways=slow_fast_pathways(alpha=ALPHA),
    alpha=ALPHA,
    tap=SLOWFAST_TAP,
)
_slowfast(hub.slowfast_r50, _clip(32, 2, 224, 256, 256), "SLOWFAST_8x8_R50.pyth", 76.94)
_slowfast(hub.slowfast_r101, _clip(32, 2, 224, 256, 256), "SLOWFAST_8x8_R101.pyth", 77.90)
_slowfast(hub.slowfast_16x8_r101_50_50, _clip(64, 2, 224, 256, 256), "SLOWFAST_16x8_R101_50_50.pyth", 78.70)

_mvit = partial(_register, build_mvit, head="head.proj", fixed_size=True)
_mvit(hub.mvit_base_16x4, _clip(16, 4, 224, 224, 256), "MVIT_B_16x4.pyth", 78.9)
_mvit(hub.mvit_base_32x3, _clip(32, 3, 224, 224, 256), "MVIT_B_32x3_f294077834.pyth", 80.3)
