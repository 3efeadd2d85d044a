"""What training in several processes needs beside the optimizer; nothing here does anything in a single process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..distributed import get_world_size


def wrap_recognizer(recognizer: nn.Module, device: torch.device) -> nn.Module:
    """The module to call for forwards whose gradients are averaged over the processes.

    Buffers are not broadcast before each forward: that would change BatchNorm's in place between the two forwards of
    one step, and the backward would fail. So each process keeps its own running statistics in an epoch;
    :func:`broadcast_buffers` at its end makes them those of process 0, which are what is saved and evaluated.
    """
    if get_world_size() == 1 or not any(parameter.requires_grad for parameter in recognizer.parameters()):
        return recognizer
    device_ids = [device.index] if device.type == "cuda" else None
    wrapped = DistributedDataParallel(recognizer, device_ids=device_ids, broadcast_buffers=False)
    if device.type == "cpu":
        wrapped.register_comm_hook(None, lambda _, bucket: _average(bucket))
    return wrapped


def _average(bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Average gradients in float64: the sum of a few float32 numbers is the same there in any order.

    In which order the processes' gradients are added depends on where they lie in the bucket, and the wrapper regroups
    its buckets after the first step. So the first step of a run that is resumed would be rounded otherwise than the
    same step of one that was not interrupted, in three processes or more.
    """
    exact = bucket.buffer().double()
    reduced = dist.all_reduce(exact, async_op=True).get_future()  # type: ignore[union-attr]
    return reduced.then(lambda done: bucket.buffer().copy_(done.value()[0] / get_world_size()))


@contextmanager
def local_gradients(module: nn.Module, active: bool) -> Iterator[None]:
    """Inside, backward passes through a wrapped module add up gradients without exchanging them (accumulation)."""
    with module.no_sync() if active and isinstance(module, DistributedDataParallel) else nullcontext():
        yield


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients of modules that are not wrapped (an objective's own networks) over the processes."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if get_world_size() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten().float() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view(gradient.shape))


def broadcast_parameters(module: nn.Module) -> None:
    """Give all processes the parameters and buffers that process 0 has."""
    _broadcast([*module.parameters(), *module.buffers()])


def broadcast_buffers(module: nn.Module) -> None:
    """Give all processes the buffers (BatchNorm's running statistics) that process 0 has."""
    _broadcast(module.buffers())


@torch.no_grad()
def _broadcast(tensors: Iterable[Tensor]) -> None:
    if get_world_size() == 1:
        return
    for tensor in tensors:
        dense = tensor.detach().contiguous()  # NCCL wants it so; weights may be in channels_last_3d
        dist.broadcast(dense, src=0)
        tensor.copy_(dense)
