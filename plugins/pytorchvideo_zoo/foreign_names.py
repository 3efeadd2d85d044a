"""Key layouts of SlowFast's own models and of 2D ResNets, for PyTorchVideo's.

SlowFast's networks are the same but for details. The shortcut of X3D's first block has a BatchNorm that PyTorchVideo
leaves out: it becomes a factor on the shortcut's kernel and a shift of the normalisation that the shortcut is added to,
which is the same in evaluation. MViT computes queries, keys and values in one projection there, and normalises them,
pooled, with 1e-6 added to the variance where PyTorchVideo adds 1e-5, which no conversion of weights can make up for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from pvbias.registries import KEY_LAYOUT

#: Names inside a block of PyTorchVideo's, and what SlowFast calls them.
_SLOWFAST = (
    (r"^res_blocks\.(\d+)", r"res\1"),
    (r"branch1_conv", "branch1"),
    (r"branch1_norm", "branch1_bn"),
    (r"norm_b\.1\.block\.0", "se.fc1"),
    (r"norm_b\.1\.block\.2", "se.fc2"),
    (r"norm_b\.0", "b_bn"),
    (r"branch2\.norm_([abc])", r"branch2.\1_bn"),
    (r"branch2\.conv_([abc])", r"branch2.\1"),
    (r"^multipathway_fusion\.conv_fast_to_slow", "fuse.conv_f2s"),
    (r"^multipathway_fusion\.norm", "fuse.bn"),
    # In X3D's stem PyTorchVideo calls the spatial convolution temporal, and the other way round.
    (r"^conv\.conv_t", "conv_xy"),
    (r"^conv\.conv_xy", "conv"),
    (r"^norm", "bn"),
    (r"^pool\.pre_conv", "conv_5"),
    (r"^pool\.pre_norm", "conv_5_bn"),
    (r"^pool\.post_conv", "lin_5"),
    (r"^pool\.post_norm", "lin_5_bn"),
    (r"^proj", "projection"),
)
#: The same for a 2D ResNet of torchvision.
_RESNET_2D = (
    (r"^res_blocks\.(\d+)", r"\1"),
    (r"branch1_conv", "downsample.0"),
    (r"branch1_norm", "downsample.1"),
    (r"branch2\.(conv|norm)_a", r"\g<1>1"),
    (r"branch2\.(conv|norm)_b", r"\g<1>2"),
    (r"branch2\.(conv|norm)_c", r"\g<1>3"),
    (r"^conv\b", "conv1"),
    (r"^norm\b", "bn1"),
    (r"\bnorm(\d)", r"bn\1"),
    (r"^proj", "fc"),
)
_MVIT = (
    (r"^cls_positional_encoding\.", ""),
    (r"^patch_embed\.patch_model", "patch_embed.proj"),
    (r"^norm_embed", "norm"),
    (r"^head\.proj", "head.projection"),
)

#: BatchNorm's, in all of SlowFast's configurations of X3D.
_EPSILON = 1e-5


@KEY_LAYOUT.register(name="SlowFast")
def from_slowfast(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert SlowFast's own ResNet (C2D, I3D, Slow), SlowFast and X3D to PyTorchVideo's names."""
    stages = _stages(own)
    if not stages or not any(name.startswith("s1.pathway0_stem.") for name in weights):
        return None
    places = {}
    for name in own:
        stage, pathway, inner = _locate(name, stages, _SLOWFAST)
        if not stage:
            places[f"head.{inner}"] = name
        elif inner.startswith("fuse."):
            places[f"s{stage}_{inner}"] = name
        else:
            places[f"s{stage}.pathway{pathway}_{inner if stage > 1 else 'stem.' + inner}"] = name
    named = {places.get(name, name): value for name, value in weights.items()}
    for name in [name for name in named if name.endswith(".branch1_bn.weight")]:
        norm, shortcut = name.removesuffix(".weight"), name.removesuffix("_bn.weight")
        kernel = places.get(f"{shortcut}.weight", "")
        shift = places.get(shortcut.replace("branch1", "branch2.c_bn.bias"), "")
        if {kernel, shift, f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var"} <= named.keys():
            factor = named.pop(name) / (named.pop(f"{norm}.running_var") + _EPSILON).sqrt()
            named[kernel] = named[kernel] * factor.view(-1, 1, 1, 1, 1)
            named[shift] = named[shift] + named.pop(f"{norm}.bias") - named.pop(f"{norm}.running_mean") * factor
            named.pop(f"{norm}.num_batches_tracked", None)
    return named


@KEY_LAYOUT.register(name="SlowFast MViT")
def from_slowfast_mvit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert SlowFast's own MViT (the first version), and any with one projection for queries, keys and values."""
    if "cls_positional_encoding.cls_token" not in own or "blocks.0.attn.qkv.weight" not in weights:
        return None
    named = dict(weights)
    for name in own:
        theirs = _rename(name, _MVIT)
        if theirs in weights:
            named[name] = named.pop(theirs)
    for name in weights:
        attention, joint, leaf = name.partition(".attn.qkv.")
        if joint and f"{attention}.attn.q.{leaf}" in own and len(weights[name]) % 3 == 0:
            for letter, part in zip("qkv", named.pop(name).chunk(3), strict=True):
                named[f"{attention}.attn.{letter}.{leaf}"] = part
    return named


@KEY_LAYOUT.register(name="torchvision 2D ResNet")
def from_resnet_2d(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert torchvision's 2D ResNet-50 or deeper for PyTorchVideo's C2D, I3D and Slow, whose kernels are then
    inflated."""
    stages = _stages(own)
    if not stages or "layer1.0.conv3.weight" not in weights or any(".multipathway_" in name for name in own):
        return None
    places = {}
    for name in own:
        stage, _, inner = _locate(name, stages, _RESNET_2D)
        places[f"layer{stage - 1}.{inner}" if stage > 1 else inner] = name
    return {places.get(name, name): value for name, value in weights.items()}


def _stages(own: Mapping[str, Tensor]) -> list[int]:
    """Numbers of the blocks that are the stem and the stages of residual blocks; none: not PyTorchVideo's chain."""
    if not all(re.match(r"blocks\.\d+\.", name) for name in own):
        return []
    # Pooling between them (C2D, I3D) and before the head (SlowFast) are blocks, too, without weights.
    found = {int(name.split(".")[1]) for name in own if ".res_blocks." in name}
    return [0, *sorted(found)] if found else []


def _locate(name: str, stages: Sequence[int], names: Sequence[tuple[str, str]]) -> tuple[int, str, str]:
    """Stage (from 1, the stem; 0: the head), pathway, and the foreign name inside the stage."""
    _, block, inner = name.split(".", 2)
    several = re.match(r"multipathway_blocks\.(\d)\.", inner)
    pathway = several[1] if several else "0"
    stage = stages.index(int(block)) + 1 if int(block) in stages else 0
    return stage, pathway, _rename(inner[several.end() :] if several else inner, names)


def _rename(name: str, names: Sequence[tuple[str, str]]) -> str:
    for ours, theirs in names:
        name = re.sub(ours, theirs, name)
    return name
