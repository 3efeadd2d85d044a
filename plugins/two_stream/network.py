"""The two-stream network: embeddings of an RGB and a flow network side by side, and one linear layer on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pvbias.clips import Pathways, single_pathway
from pvbias.errors import ConfigError

#: Channels of RGB.
RGB = 3


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A classifier that becomes a stream.

    Attributes:
        name: of the model, for messages.
        module: zoo module that gives logits ``(N, K)``.
        head: dotted name of its final projection, a linear layer or a 1x1x1 convolution.
        pathways: packs a normalised clip into the module's input.
        weight: of its logits in the fused ones, above 0.
    """

    name: str
    module: nn.Module
    head: str
    pathways: Pathways = single_pathway
    weight: float = 1.0


class TwoStreamNetwork(nn.Module):
    """Two networks on what a clip shows, RGB and stacked optical flow, late fusion inside.

    ::

        clip (N, 3 + 2k, T, H, W), normalised
          -> RGB  (N, 3, T, H, W)  -> rgb  -> embedding (N, D1) -+
          -> flow (N, 2k, T, H, W) -> flow -> embedding (N, D2) -+-> (N, D1 + D2) -> head, linear -> logits (N, K)

    The head's weights are those of the two final projections side by side, each times its stream's weight. As those are
    linear, the logits are exactly the weighted sum of the two networks' logits (Simonyan and Zisserman 2014, section
    2, and TSN, Wang et al. 2016, average class scores in the same way); and the network has one final projection, one
    embedding and one gradient, as any other. In training the head is free to weigh the streams anew.

    Args:
        rgb, flow: the networks. They lose their final projections to the head.

    Raises:
        ConfigError: they tell different numbers of classes apart, or have a final projection of another kind.
    """

    def __init__(self, rgb: Stream, flow: Stream) -> None:
        super().__init__()
        projections = [_projection(stream) for stream in (rgb, flow)]
        numbers = [len(weight) for weight, _ in projections]
        if numbers[0] != numbers[1]:
            raise ConfigError(
                f"{rgb.name} tells {numbers[0]} classes apart and {flow.name} {numbers[1]}: the streams of a network "
                "have the same classes."
            )
        for stream in (rgb, flow):
            parent, _, name = stream.head.rpartition(".")
            setattr(stream.module.get_submodule(parent), name, nn.Identity())
        self.rgb, self.flow = rgb.module, flow.module
        self.head = nn.Linear(sum(weight.shape[1] for weight, _ in projections), numbers[0])
        (rgb_weight, rgb_bias), (flow_weight, flow_bias) = projections
        with torch.no_grad():
            self.head.weight.copy_(torch.cat([rgb.weight * rgb_weight, flow.weight * flow_weight], dim=1))
            self.head.bias.copy_(rgb.weight * rgb_bias + flow.weight * flow_bias)
        self._names = (rgb.name, flow.name)
        self._pathways = (rgb.pathways, flow.pathways)
        self._widths = [weight.shape[1] for weight, _ in projections]

    def forward(self, clip: Tensor) -> Tensor:
        """Logits ``(N, K)``."""
        parts = (clip[:, :RGB], clip[:, RGB:])
        streams = zip((self.rgb, self.flow), parts, self._pathways, strict=True)
        embeddings = [module(pathways(part)) for module, part, pathways in streams]
        for name, embedding, width in zip(self._names, embeddings, self._widths, strict=True):
            if embedding.shape != (len(clip), width):
                raise ConfigError(
                    f"{name} cannot be a stream: without its final projection it gives {tuple(embedding.shape)} for "
                    f"{len(clip)} clips and not ({len(clip)}, {width}), so what comes after is not linear."
                )
        return self.head(torch.cat(embeddings, dim=1))


def with_flow_input(module: nn.Module, num_flow_frames: int, *, name: str) -> nn.Module:
    """Make a network on RGB one on stacked flow, in place: its first convolution gets 2k channels for 3.

    Args:
        module: as built, its weights not loaded yet.
        num_flow_frames: k.
        name: of the model, for messages.

    Returns:
        The module. (The new kernel is random; loading weights on RGB averages theirs over the channels.)

    Raises:
        ConfigError: it has no first convolution on three channels, or several.
    """
    first = [
        (place, layer)
        for place, layer in module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)) and layer.in_channels == RGB and layer.groups == 1
    ]
    if len(first) != 1:
        places = ", ".join(place for place, _ in first) or "none"
        raise ConfigError(
            f"{name} cannot see optical flow: one on flow takes the place of its convolution on RGB, and it has "
            f"{len(first)} of them ({places})."
        )
    place, layer = first[0]
    kernel: Sequence[int] = layer.kernel_size
    made = type(layer)(
        2 * num_flow_frames,
        layer.out_channels,
        kernel,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )
    parent, _, attribute = place.rpartition(".")
    setattr(module.get_submodule(parent), attribute, made)
    return module


def _projection(stream: Stream) -> tuple[Tensor, Tensor]:
    """Weight ``(K, D)`` and bias ``(K,)`` of a stream's final projection."""
    layer = stream.module.get_submodule(stream.head)
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, (nn.Linear, nn.Conv3d)) or weight is None or weight[0].numel() != weight.shape[1]:
        raise ConfigError(
            f"{stream.name} cannot be a stream: its final projection, {stream.head}, is a {type(layer).__name__}, and "
            "has to be a linear layer or 1x1x1 convolution."
        )
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()
    return weight.detach().flatten(1), bias
