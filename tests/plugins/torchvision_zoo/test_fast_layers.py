"""Fast forwards of torchvision's layers compute what the layers do, in float64, with the same gradients."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.resnet import (
    BasicBlock,
    BasicStem,
    Bottleneck,
    Conv2Plus1D,
    Conv3DSimple,
    R2Plus1dStem,
    VideoResNet,
)

from pvbias.layers import describe_fast_layers, use_fast_layers
from tests.layers.reference import assert_same_network


def mvit(**options):
    blocks = [
        MSBlockConfig(
            num_heads=heads,
            input_channels=16,
            output_channels=16,
            kernel_q=[3, 3, 3],
            kernel_kv=[3, 3, 3],
            stride_q=[1, 2, 2] if heads == 2 else [1, 1, 1],
            stride_kv=[1, 2, 2],
        )
        for heads in (1, 2)
    ]
    return MViT(
        spatial_size=(32, 32),
        temporal_size=4,
        block_setting=blocks,
        residual_pool=options.pop("residual_pool", False),
        residual_with_cls_embed=options.pop("residual_with_cls_embed", True),
        rel_pos_embed=options.pop("rel_pos_embed", False),
        proj_after_attn=True,
        num_classes=3,
        dropout=0,
        **options,
    )


def resnet(block, conv, stem):
    return VideoResNet(block=block, conv_makers=[conv] * 4, layers=[1] * 4, stem=stem, num_classes=3)


MODELS = {
    "r3d": lambda: resnet(BasicBlock, Conv3DSimple, BasicStem),
    "r2plus1d": lambda: resnet(BasicBlock, Conv2Plus1D, R2Plus1dStem),
    "bottlenecks": lambda: resnet(Bottleneck, Conv3DSimple, BasicStem),
    "mvit": mvit,
    "mvit, residual pooling": lambda: mvit(residual_pool=True),
    "mvit, residual pooling but for the class token": lambda: mvit(residual_pool=True, residual_with_cls_embed=False),
    "mvit, relative positions": lambda: mvit(rel_pos_embed=True, residual_pool=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients(name):
    torch.manual_seed(0)
    plain = MODELS[name]().double()
    for key, parameter in plain.named_parameters():
        if parameter.dim() == 1 or "rel_pos" in key:
            nn.init.normal_(parameter, 1, 0.2)
    fast = copy.deepcopy(plain)
    use_fast_layers(fast)
    counts = describe_fast_layers(fast)
    assert "torchvision_attention" in counts if "mvit" in name else "torchvision_residual" in counts
    assert_same_network(fast, plain, torch.rand(2, 3, 4, 32, 32, dtype=torch.float64))
