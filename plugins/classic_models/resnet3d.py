"""3D ResNets with 3x3x3 kernels, built from PyTorchVideo's blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pytorchvideo.models.head import create_res_basic_head
from pytorchvideo.models.net import Net
from pytorchvideo.models.resnet import create_bottleneck_block, create_res_stage
from pytorchvideo.models.stem import create_res_basic_stem
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.registries import MODEL


def build_resnet3d(
    *,
    num_classes: int,
    num_frames: int,
    crop_size: int,
    width: int,
    depths: Sequence[int],
    temporal_strides: Sequence[int],
) -> nn.Module:
    """A 3D ResNet of bottleneck blocks (1x1x1, 3x3x3, 1x1x1) that takes clips of any size.

    ::

        clip (N, 3, T, H, W) -> stem 3x7x7, stride 2x2x2
          -> stages of width w, 2w, 4w, ... inside the blocks and twice that outside; each but the first halves H and W
          -> logits (N, K), averaged over all positions

    Args:
        num_classes: K.
        num_frames, crop_size: of the training clips; the architecture does not depend on them.
        width: channels after the stem.
        depths: blocks of each stage.
        temporal_strides: of each stage.
    """
    stem = create_res_basic_stem(
        in_channels=3,
        out_channels=width,
        conv_kernel_size=(3, 7, 7),
        conv_stride=(2, 2, 2),
        conv_padding=(1, 3, 3),
        pool=None,
    )
    blocks = [stem]
    entering = width
    for stage, (depth, temporal_stride) in enumerate(zip(depths, temporal_strides, strict=True)):
        inner = width * 2**stage
        stride = 1 if stage == 0 else 2
        blocks.append(
            create_res_stage(
                depth=depth,
                dim_in=entering,
                dim_inner=inner,
                dim_out=2 * inner,
                bottleneck=create_bottleneck_block,
                conv_a_kernel_size=(1, 1, 1),
                conv_a_stride=(1, 1, 1),
                conv_a_padding=(0, 0, 0),
                conv_b_kernel_size=(3, 3, 3),
                conv_b_stride=(temporal_stride, stride, stride),
                conv_b_padding=(1, 1, 1),
            )
        )
        entering = 2 * inner
    blocks.append(
        create_res_basic_head(
            in_features=entering,
            out_features=num_classes,
            pool=None,
            activation=None,
            dropout_rate=0.0,
            output_with_global_average=True,
        )
    )
    return Net(blocks=nn.ModuleList(blocks))


MODEL.register(
    ZooModel(
        zoo="classic_models",
        # One block a stage, 0.7 million weights: a full 3D network that trains on two CPU cores.
        build=partial(build_resnet3d, width=16, depths=(1, 1, 1, 1), temporal_strides=(1, 1, 2, 1)),
        clip_spec=ClipSpec(num_frames=16, sampling_rate=2, crop_size=64, test_crop_size=64, short_side=64),
        head="blocks.5.proj",
        stages="blocks",
    ),
    name="r3d_small",
)
