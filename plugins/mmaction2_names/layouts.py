"""mmaction2's names for TSN, TSM, SlowOnly, X3D and CSN; its other networks are refused, with the reason.

Its ResNets are named as torchvision's, but for what wraps a convolution with its normalisation: ``layer1.0.conv1.conv``
and ``layer1.0.conv1.bn`` are ``layer1.0.conv1`` and ``layer1.0.bn1`` there. Both sides are brought to torchvision's
names here and compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from pvbias.registries import KEY_LAYOUT
from pvbias.zoo.key_layouts import NormalisedLayout, Refusal

_Names = Sequence[tuple[str, str]]

#: mmaction2's names, and torchvision's.
_MMACTION2: _Names = (
    (r"\.net\.weight$", ".weight"),  # what TSM shifts
    (r"^conv1\.conv\.", "conv1."),
    (r"^conv1\.bn\.", "bn1."),
    (r"^(layer\d\.\d+)\.conv(\d)\.conv\.", r"\1.conv\2."),
    (r"^(layer\d\.\d+)\.conv(\d)\.bn\.", r"\1.bn\2."),
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample\.bn\.", ".downsample.1."),
    (r"^cls_head\.fc_cls\.", "fc."),
)
#: The names of classic_models' TSN and TSM, and torchvision's.
_FRAMES: _Names = ((r"^base_model\.", ""), (r"\.net\.weight$", ".weight"), (r"^new_fc\.", "fc."))
#: The names of PyTorchVideo's Slow and X3D, and torchvision's; of X3D's own layers, mmaction2's.
_PYTORCHVIDEO: _Names = (
    (r"^blocks\.0\.conv\.conv_t\.", "conv1_s.conv."),  # PyTorchVideo calls the spatial one temporal
    (r"^blocks\.0\.conv\.conv_xy\.", "conv1_t.conv."),
    (r"^blocks\.0\.conv\.", "conv1."),
    (r"^blocks\.0\.norm\.", "bn1."),
    (r"^blocks\.(\d)\.res_blocks\.(\d+)\.", r"layer\1.\2."),
    (r"\.branch1_conv\.", ".downsample.0."),
    (r"\.branch1_norm\.", ".downsample.1."),
    (r"\.branch2\.norm_b\.1\.block\.0\.", ".se_module.fc1."),
    (r"\.branch2\.norm_b\.1\.block\.2\.", ".se_module.fc2."),
    (r"\.branch2\.norm_b\.0\.", ".bn2."),
    (r"\.branch2\.conv_a\.", ".conv1."),
    (r"\.branch2\.conv_b\.", ".conv2."),
    (r"\.branch2\.conv_c\.", ".conv3."),
    (r"\.branch2\.norm_a\.", ".bn1."),
    (r"\.branch2\.norm_b\.", ".bn2."),
    (r"\.branch2\.norm_c\.", ".bn3."),
    (r"^blocks\.\d\.pool\.pre_conv\.", "conv5.conv."),
    (r"^blocks\.\d\.pool\.pre_norm\.", "conv5.bn."),
    (r"^blocks\.\d\.pool\.post_conv\.", "cls_head.fc1."),
    (r"^blocks\.\d\.proj\.", "fc."),
)
#: Names of mmaction2's X3D that are not those of its ResNets.
_X3D: _Names = ((r"^conv1_t\.bn\.", "bn1."), (r"^cls_head\.fc2\.", "fc."))
#: The names of classic_models' channel-separated networks, and torchvision's; of the two halves of an
#: interaction-preserved convolution, mmaction2's.
_SEPARATED: _Names = (
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    (r"\.conv2\.0\.0\.weight$", ".conv2.0.conv.weight"),
    (r"\.conv2\.0\.1\.", ".conv2.0.bn."),
    (r"\.conv2\.0\.2\.weight$", ".conv2.1.conv.weight"),
    (r"\.conv([13])\.0\.weight$", r".conv\1.weight"),
    (r"\.conv([13])\.1\.", r".bn\1."),
)

#: Both of X3D's, in mmaction2 and in PyTorchVideo.
_EPSILON = 1e-5

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # 123.675, 116.28, ... of [0, 255]
_GREY = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}  # 114.75 and 57.38


def _frames(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | Refusal | None:
    """TSN and TSM for those of classic_models."""
    if "base_model.layer1.0.bn1.weight" not in own or not _is_resnet(weights, dimensions=4):
        return None
    if any(name.endswith(".net.weight") for name in weights) and not any(".net." in name for name in own):
        return Refusal("the file's network shifts features in time (TSM), and the model does not (TSN)")
    if any(".net." in name for name in own) and not any(name.endswith(".net.weight") for name in weights):
        return Refusal("the model shifts features in time (TSM), and the file's network does not (TSN, C2D)")
    return _renamed(weights, own, _FRAMES)


def _slow(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | Refusal | None:
    """SlowOnly for PyTorchVideo's Slow."""
    if any(name.startswith("slow_path.") for name in weights):
        if any(".multipathway_" in name for name in own):
            return Refusal("mmaction2's SlowFast joins its pathways without normalisation and ReLU")
        return None
    if "blocks.0.conv.weight" not in own:
        return None
    if _is_resnet(weights, dimensions=4):
        if "blocks.6.proj.weight" in own and own["blocks.3.res_blocks.0.branch2.conv_a.weight"].shape[2] == 1:
            return Refusal(
                "mmaction2's C2D pools without padding after its first convolution; TSN's files look the same"
            )
        return None
    if not _is_resnet(weights, dimensions=5):
        return None
    if weights["conv1.conv.weight"].shape[2] > 1:
        return Refusal(
            "mmaction2's I3D halves the frames in its first convolution and in its first pooling, PyTorchVideo's after "
            "its first stage"
        )
    # C2D and I3D have a pooling between their stages, which are then one block further on.
    return _renamed(weights, own, _PYTORCHVIDEO) if "blocks.5.proj.weight" in own else None


def _x3d(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | Refusal | None:
    """X3D for PyTorchVideo's, which leaves out the normalisation of a shortcut that keeps the channels: it becomes a
    factor on the shortcut's kernel, and a shift of the normalisation that the shortcut is added to."""
    if "blocks.0.conv.conv_t.weight" not in own or "conv1_s.conv.weight" not in weights:
        return None
    named = _renamed(weights, own, _PYTORCHVIDEO, _X3D)
    if isinstance(named, Refusal):
        return named
    places = {_rename(name, _PYTORCHVIDEO): name for name in own}
    for name in [name for name in named if name.endswith(".downsample.1.weight")]:
        norm, block = name.removesuffix(".weight"), name.removesuffix(".downsample.1.weight")
        kernel = places.get(f"{block}.downsample.0.weight", "")
        shift = places.get(f"{block}.bn3.bias", "")
        if {kernel, shift, f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var"} <= named.keys():
            factor = named.pop(name) / (named.pop(f"{norm}.running_var") + _EPSILON).sqrt()
            named[kernel] = named[kernel] * factor.view(-1, 1, 1, 1, 1)
            named[shift] = named[shift] + named.pop(f"{norm}.bias") - named.pop(f"{norm}.running_mean") * factor
            named.pop(f"{norm}.num_batches_tracked", None)
    for name in (name for name in own if name.endswith("pool.post_conv.weight") and name in named):
        named[name] = named[name].reshape(own[name].shape[:1] + named[name].shape[1:] + (1, 1, 1))
    return named


def _separated(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | Refusal | None:
    """CSN-152 for those of classic_models; R(2+1)D-34 has another stem here, and a pooling after it there."""
    if "stem.0.weight" not in own:
        return None
    if "layer1.0.conv1.conv.conv_s.weight" in weights:
        return Refusal("mmaction2's R(2+1)D pools after its first convolution, which has other channels inside")
    if not _is_resnet(weights, dimensions=5) or "layer1.0.conv1.0.weight" not in own:
        return None
    preserved = any(".conv2.0.2." in name for name in own)
    if preserved != ("layer1.0.conv2.1.conv.weight" in weights):
        kinds = ("interaction-reduced", "interaction-preserved")
        return Refusal(f"the model is {kinds[preserved]} (ir, ip), the file's network {kinds[not preserved]}")
    inner = [] if preserved else [(r"\.conv2\.0\.weight$", ".conv2.0.conv.weight")]
    norm = (r"\.conv2\.1\.(?!conv\.)", f".conv2.{1 if preserved else 0}.bn.")
    return _renamed(weights, own, [*inner, *_SEPARATED, norm])


def _is_resnet(weights: Mapping[str, Tensor], *, dimensions: int) -> bool:
    """Whether these are a ResNet of mmaction2's with kernels of so many dimensions (4: of frames, 5: of clips)."""
    stem = weights.get("conv1.conv.weight")
    return stem is not None and stem.dim() == dimensions and "layer1.0.conv1.bn.weight" in weights


def _renamed(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], ours: _Names, theirs: _Names = ()
) -> dict[str, Tensor] | Refusal:
    if any("non_local_block" in name for name in weights):
        return Refusal("the file's network has non-local blocks, and the model has none")
    places = {_rename(name, ours): name for name in own}
    renamed = {_rename(name, [*theirs, *_MMACTION2]): value for name, value in weights.items()}
    return {places.get(name, name): value for name, value in renamed.items()}


def _rename(name: str, names: _Names) -> str:
    for old, new in names:
        name = re.sub(old, new, name)
    return name


_Convert = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], "dict[str, Tensor] | Refusal | None"]

for _name, _convert, _normalisation, _sampling in (
    ("mmaction2 TSN, TSM", _frames, _IMAGENET, ""),
    ("mmaction2 SlowOnly", _slow, _IMAGENET, "rate"),
    ("mmaction2 X3D", _x3d, _GREY, ""),  # converted from SlowFast's
    ("mmaction2 CSN", _separated, _IMAGENET, "rate"),
):
    KEY_LAYOUT.register(NormalisedLayout(convert=_convert, sampling=_sampling, **_normalisation), name=_name)
