"""Fast forwards of PyTorchVideo's layers compute what the layers do, in float64, with the same gradients."""

import copy

import pytest
import torch
from pytorchvideo.models.r2plus1d import create_r2plus1d
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from pytorchvideo.models.x3d import create_x3d
from torch import nn

from pvbias.layers import describe_fast_layers, use_fast_layers
from tests.layers.reference import assert_same_network


def resnet():
    return create_resnet(
        model_depth=50, model_num_class=3, stem_dim_out=8, head_pool_kernel_size=(2, 1, 1), dropout_rate=0
    )


def x3d():
    return create_x3d(
        input_clip_length=4, input_crop_size=32, model_num_class=3, width_factor=0.5, depth_factor=1, dropout_rate=0
    )


def r2plus1d():
    return create_r2plus1d(
        model_num_class=3, stem_dim_out=8, head_pool_kernel_size=(1, 1, 1), dropout_rate=0, head_activation=None
    )


def mvit(**options):
    return create_multiscale_vision_transformers(
        spatial_size=32,
        temporal_size=4,
        depth=3,
        head_num_classes=3,
        patch_embed_dim=16,
        num_heads=2,
        embed_dim_mul=[[1, 2.0]],
        atten_head_mul=[[1, 2.0]],
        pool_q_stride_size=[[1, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 2, 2],
        pool_kvq_kernel=[3, 3, 3],
        head_activation=None,
        head_dropout_rate=0,
        droppath_rate_block=0,
        **options,
    )


MODELS = {
    "resnet": resnet,
    "x3d": x3d,
    "r2plus1d": r2plus1d,
    "mvit": mvit,
    "mvit without class token": lambda: mvit(cls_embed_on=False),
    "mvit, max pooling": lambda: mvit(pooling_mode="max"),
}

KINDS = {
    "resnet": {"ptv_stem", "ptv_residual", "ptv_bottleneck", "batch_norm", "stem", "max_pool"},
    "x3d": {"ptv_residual", "ptv_bottleneck", "ptv_swish", "ptv_conv2plus1d", "batch_norm", "depthwise", "stem"},
    "r2plus1d": {"ptv_residual", "ptv_conv2plus1d", "batch_norm", "stem"},
    "mvit": {"ptv_block", "ptv_attention", "layer_norm", "depthwise", "stem"},
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_gradients(name):
    torch.manual_seed(0)
    plain = MODELS[name]().double()
    for parameter in plain.parameters():
        if parameter.dim() == 1:  # the zeros and ones they begin with hide what depends on them
            nn.init.normal_(parameter, 1, 0.2)
    fast = copy.deepcopy(plain)
    use_fast_layers(fast)
    assert set(describe_fast_layers(fast)) >= KINDS.get(name, set())
    assert_same_network(fast, plain, torch.rand(2, 3, 4, 32, 32, dtype=torch.float64))


def test_a_hook_inside_a_block_sees_its_module():
    torch.manual_seed(0)
    plain = resnet().double().eval()
    fast = copy.deepcopy(plain)
    use_fast_layers(fast)
    clip = torch.rand(1, 3, 4, 32, 32, dtype=torch.float64)
    seen = {}
    for kind, network in (("plain", plain), ("fast", fast)):
        block = network.blocks[1].res_blocks[0].branch2
        for name, module in (("branch", block), ("norm_c", block.norm_c), ("act_a", block.act_a)):
            module.register_forward_hook(lambda _, args, output, key=(kind, name): seen.update({key: output.clone()}))
        network(clip)
    for name in ("branch", "norm_c", "act_a"):
        assert torch.allclose(seen["fast", name], seen["plain", name]), name


def test_a_bottleneck_that_is_left_to_torch():
    block = resnet().double().blocks[1].res_blocks[0]
    use_fast_layers(block, off=["ptv_bottleneck"])
    block.branch2.forward = lambda x: torch.zeros_like(block.branch1_conv(x))  # seen by ResBlock's own forward
    x = torch.rand(1, 8, 2, 4, 4, dtype=torch.float64)
    assert torch.equal(block(x), block.branch1_norm(block.branch1_conv(x)).relu())


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.open = nn.Parameter(torch.ones(1))

    def forward(self, left, right):
        return left + self.open * right


def test_a_fusion_that_learns_is_left_alone():
    block = resnet().blocks[1].res_blocks[0]
    block.branch_fusion = Gate()  # a sum to begin with
    use_fast_layers(block)
    assert "ptv_residual" not in describe_fast_layers(block)


def test_a_fusion_that_is_no_sum_is_left_alone():
    network = resnet()
    block = network.blocks[1].res_blocks[0]
    block.branch_fusion = lambda left, right: left - right
    use_fast_layers(block)
    assert "ptv_residual" not in describe_fast_layers(block)
