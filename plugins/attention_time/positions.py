"""Sensitivity to temporal positions: the network's answer after its temporal position embeddings changed places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pvbias.clips.rearrangements import shuffled_order
from pvbias.models.layer_features import LayerCall
from pvbias.models.outputs import first_head
from pvbias.registries import FEATURE

#: Of the permutation, which is the same for all clips, layers and networks of as many moments.
_SEED = 0

#: Shuffled embeddings, or None where the module has none of the kind: ``(module, network) -> (attribute, tensor)``.
_Shuffle = Callable[[Any, Any], "tuple[str, Tensor] | None"]


def has_temporal_positions(network: nn.Module) -> bool:
    """Whether there are temporal position embeddings that :func:`shuffled_positions` knows."""
    return any(True for _ in _shuffled(network))


@FEATURE.register()
def shuffled_positions(call: LayerCall) -> Tensor:
    """Logits ``(N, K)`` of the whole network, ``shuffled_positions()``, after its temporal position embeddings were
    permuted: absolute ones moment by moment, relative ones distance by distance. Its clips stay as they are."""
    with ExitStack() as stack:
        for module, attribute, tensor in list(_shuffled(call.network)):
            stack.enter_context(_in_place_of(module, attribute, tensor))
        return first_head(call.again())


@contextmanager
def _in_place_of(module: nn.Module, attribute: str, tensor: Tensor) -> Iterator[None]:
    """A tensor in place of a parameter, a buffer or a plain attribute of a module."""
    holders: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, module.__dict__)
    for holder in holders:
        if attribute in holder:
            kept = holder[attribute]
            holder[attribute] = tensor
            try:
                yield
            finally:
                holder[attribute] = kept
            return


def _shuffled(network: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """(module, attribute, its embeddings shuffled) of all temporal position embeddings of a network."""
    for module in network.modules():
        shuffle = _KINDS.get((type(module).__module__.partition(".")[0], type(module).__name__))
        found = shuffle(module, network) if shuffle is not None else None
        if found is not None:
            yield (module, *found)


def _permuted(embeddings: Tensor, dimension: int) -> Tensor:
    order = shuffled_order(embeddings.shape[dimension], _SEED)
    # Piece by piece: an index on the host would be copied to the device, which waits.
    pieces = embeddings.detach().unbind(dimension)
    return torch.stack([pieces[place] for place in order.tolist()], dimension)


def _along(attribute: str, dimension: int) -> _Shuffle:
    def shuffle(module: Any, network: Any) -> tuple[str, Tensor] | None:
        embeddings = getattr(module, attribute, None)
        return None if embeddings is None else (attribute, _permuted(embeddings, dimension))

    return shuffle


def _window_table(module: Any, network: Any) -> tuple[str, Tensor]:
    """Swin's table of relative positions, in which distances in time come first."""
    table, distances = module.relative_position_bias_table, 2 * module.window_size[0] - 1
    return "relative_position_bias_table", _permuted(table.unflatten(0, (distances, -1)), 0).flatten(0, 1)


def _tubelet_positions(module: Any, network: Any) -> tuple[str, Tensor]:
    """The embeddings of all tokens of ViViT and VideoMAE: frames first, after a class token or none."""
    config, embeddings = network.config, module.position_embeddings
    tubelet = config.tubelet_size
    steps = config.num_frames // (tubelet if isinstance(tubelet, int) else tubelet[0])
    classes = embeddings.shape[1] % steps
    blocks = embeddings[:, classes:].unflatten(1, (steps, -1))
    return "position_embeddings", torch.cat([embeddings[:, :classes].detach(), _permuted(blocks, 1).flatten(1, 2)], 1)


_KINDS: dict[tuple[str, str], _Shuffle] = {
    ("torchvision", "PositionalEncoding"): _along("temporal_pos", 0),
    ("torchvision", "MultiscaleAttention"): _along("rel_pos_t", 0),
    ("torchvision", "ShiftedWindowAttention3d"): _window_table,
    ("pytorchvideo", "SpatioTemporalClsPositionalEncoding"): _along("pos_embed_temporal", 1),
    ("transformers", "TimesformerEmbeddings"): _along("time_embeddings", 1),
    ("transformers", "VivitEmbeddings"): _tubelet_positions,
    ("transformers", "VideoMAEEmbeddings"): _tubelet_positions,
}
