"""Data-parallel training: gradient averaging and broadcasts between processes; nothing to do in a single one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..distributed import get_world_size
from ..errors import TrainingError
from ..transfers import to_device

#: Gradients are exchanged about this many bytes at a time: enough to make good use of a network, and few enough that
#: the backward pass goes on meanwhile.
_BUCKET_BYTES = 25 * 2**20


class GradientAverage:
    """Averages gradients over the processes, overlapped with the backward pass.

    The parameters lie in buckets, the last ones first, as a backward pass comes to them. A bucket is sent when all of
    its gradients are there and the bucket before it has been sent: in the same order in all processes.

    That is what torch's DistributedDataParallel does, too. It waits, however, for the gradient of each parameter that
    there is, and fails on the next forward where a loss does not reach one. Here nothing is waited for: with each
    bucket goes which gradients there are. A parameter that the loss reaches in some processes only has gradients of
    zero in the others; one that it reaches in none has none, as in a single process.

    A bucket's parameters are always the same, and so the sums are rounded alike in a run and in one that is resumed.

    Args:
        parameters: those of the optimizer that the gradients are for, in the same order in all processes.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._buckets = _divide(parameters) if get_world_size() > 1 else []
        self._listens = False
        self._sent: list[tuple[Tensor, dist.Work]] = []
        self._missing: list[set[int]] = []
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(lambda found, number=number: self._arrived(number, found))

    @contextmanager
    def exchanging(self, *, active: bool = True) -> Iterator[None]:
        """Context of a backward pass. The last one before :meth:`finish` is active: gradients are sent as they arrive.
        In others they only accumulate."""
        self._listens = active
        self._missing = [{id(parameter) for parameter in bucket} for bucket in self._buckets]
        try:
            yield
        finally:
            self._listens = False

    def finish(self) -> None:
        """Send the remaining gradients, and replace each by its mean."""
        while len(self._sent) < len(self._buckets):
            self._send()
        totals = [_arrived_total(flat, work) for flat, work in self._sent]
        self._sent = []
        if not totals:
            return
        flags: Iterator[float] = repeat(1.0)
        if any(parameter.grad is None for bucket in self._buckets for parameter in bucket):
            # Whether another process has a gradient that is missing here, the device has to be asked: it is waited for.
            found = [flat[-len(bucket) :] for flat, bucket in zip(totals, self._buckets, strict=True)]
            flags = iter(torch.cat(found).tolist())
        for flat, bucket in zip(totals, self._buckets, strict=True):
            flat /= get_world_size()
            means = flat[: -len(bucket)].split([parameter.numel() for parameter in bucket])
            for parameter, mean in zip(bucket, means, strict=True):
                if not next(flags):
                    continue
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad.copy_(mean.view(parameter.shape))

    def _arrived(self, number: int, parameter: Tensor) -> None:
        if not self._listens:
            return
        if number < len(self._sent):
            raise TrainingError(
                f"A parameter of shape {tuple(parameter.shape)} got its gradient in two parts in one backward pass, "
                "the second after the first had been sent to the other processes. Gradient checkpointing does that "
                "with use_reentrant=True: set it to False."
            )
        self._missing[number].discard(id(parameter))
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        """Start the all-reduce of the next bucket's gradients, and of how many processes have each of them."""
        bucket = self._buckets[len(self._sent)]
        there = [float(parameter.grad is not None) for parameter in bucket]
        gradients = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).detach().flatten()
            for parameter in bucket
        ]
        flags = to_device(torch.tensor(there, dtype=gradients[0].dtype), gradients[0].device)
        flat = torch.cat([*gradients, flags])
        work = dist.all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append((flat, work))


def _divide(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Split parameters into buckets of one device and number format each, the last parameters first."""
    buckets: list[list[nn.Parameter]] = []
    size, kind = 0, None
    for parameter in reversed(parameters):
        if size >= _BUCKET_BYTES or kind != (parameter.device, parameter.dtype):
            buckets.append([])
            size, kind = 0, (parameter.device, parameter.dtype)
        buckets[-1].append(parameter)
        size += parameter.numel() * parameter.element_size()
    return buckets


def _arrived_total(flat: Tensor, work: dist.Work) -> Tensor:
    work.wait()
    return flat


def broadcast_parameters(module: nn.Module) -> None:
    """Broadcast parameters and buffers from process 0."""
    _broadcast([*module.parameters(), *module.buffers()])


def broadcast_buffers(module: nn.Module) -> None:
    """Broadcast buffers (BatchNorm's running statistics) from process 0.

    Each process keeps its own within an epoch; at its end these are what is saved and evaluated.
    """
    _broadcast(module.buffers())


@torch.no_grad()
def _broadcast(tensors: Iterable[Tensor]) -> None:
    if get_world_size() == 1:
        return
    for tensor in tensors:
        dense = tensor.detach().contiguous()  # NCCL wants it so; weights may be in channels_last_3d
        dist.broadcast(dense, src=0)
        tensor.copy_(dense)
