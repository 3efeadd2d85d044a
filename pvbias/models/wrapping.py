"""Validation of a user's network, and detection of its final projection, for :meth:`.Recognizer.wrap`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ConfigError
from .evaluation_mode import evaluation_mode
from .outputs import first_head

if TYPE_CHECKING:
    from .recognizer import Recognizer

logger = logging.getLogger(__name__)

#: What a network raises that is given something else than it takes.
_MISFITS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError)

#: Other orders of a clip's axes, how they are made of ``(N, C, T, H, W)``, and what to write for that.
_ORDERS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "(N, T, C, H, W)": (lambda clip: clip.transpose(1, 2), "clip.transpose(1, 2)"),
    "(N, T, H, W, C)": (lambda clip: clip.permute(0, 2, 3, 4, 1), "clip.permute(0, 2, 3, 4, 1)"),
}


@dataclass
class _Run:
    """Record of one forward: (name, layer, a projection's output) of the layers that ran, in order, and the network's
    logits."""

    layers: list[tuple[str, nn.Module, Any]]
    logits: Tensor


def refuse_wrapped(module: nn.Module) -> None:
    """Raise ConfigError for a wrapper around the network, such as DataParallel or a traced module."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise ConfigError(f"The network is in a {type(module).__name__}: wrap what is in it, `network.module`.")
    if isinstance(getattr(module, "_orig_mod", None), nn.Module):
        raise ConfigError("The network is compiled, which hides its layers: wrap the one before, `network._orig_mod`.")
    if isinstance(module, torch.jit.ScriptModule):
        raise ConfigError(
            "The network is a TorchScript program, traced or scripted, which shows none of its layers: wrap the "
            "network that it was made from, the first argument of torch.jit.trace or torch.jit.script."
        )


def find_head(recognizer: Recognizer, named: str) -> tuple[str, int]:
    """Find the final projection of a network, and the number of its classes, by running it on clips of its
    specification.

    Args:
        recognizer: the network, its head not known yet.
        named: what the user says that the head is; empty: it is looked for.

    Returns:
        Its dotted name, empty where the logits are no layer's output; K.

    Raises:
        ConfigError: the network fails on such clips or gives no logits, or ``named`` is no projection of it.
    """
    spec = recognizer.clip_spec
    run = _run(recognizer, spec.crop_size)
    if spec.test_crop_size != spec.crop_size:
        try:
            other = _forward(recognizer, spec.test_crop_size).logits
        except (*_MISFITS, ConfigError) as error:
            raise ConfigError(
                f"The network takes clips of {spec.crop_size} pixels and fails on test crops of {spec.test_crop_size} "
                f"({type(error).__name__}: {error}): give clip_spec the test_crop_size {spec.crop_size}."
            ) from error
        if other.shape != run.logits.shape:
            raise ConfigError(
                f"The network gives {tuple(run.logits.shape)} for a clip of {spec.crop_size} pixels and "
                f"{tuple(other.shape)} for a test crop of {spec.test_crop_size}: give clip_spec the test_crop_size "
                f"{spec.crop_size}."
            )
    classes = run.logits.shape[1]
    if classes < 2:
        raise ConfigError(
            "The network gives one number for a clip, and a prediction needs two classes or more. Of a single logit z, "
            "those of both classes are torch.cat([torch.zeros_like(z), z], dim=1)."
        )
    _refuse_mixed_axes(recognizer)
    projections = {name: output for name, layer, output in run.layers if _projects_to(layer) == classes}
    if named and named not in projections:
        recognizer.submodule(named)  # raises where there is none
        raise ConfigError(
            f"head = {named!r} is no linear layer or 1x1x1 convolution that the network runs and that has {classes} "
            f"outputs, as many as its logits. Those that are: {', '.join(projections) or 'none'}."
        )
    head = named or next((name for name in reversed(projections) if _makes(projections[name], run.logits)), "")
    _refuse_probabilities(run, head, projections.values())
    if not head:
        last = ", ".join(f"{name} ({type(layer).__name__})" for name, layer, _ in run.layers[-3:])
        logger.info(
            "The network's logits are no output of a linear layer or 1x1x1 convolution (what runs last: %s): it is "
            "measured without a final projection, and what needs one says so.",
            last,
        )
    return head, classes


def _run(recognizer: Recognizer, side: int) -> _Run:
    """Run one grey clip, or raise ConfigError that says what to write for it to succeed."""
    try:
        run = _forward(recognizer, side)
    except _MISFITS as error:
        raise ConfigError(_why_it_fails(recognizer, side, error)) from error
    if run.logits.dim() != 2 or len(run.logits) != 1:
        raise ConfigError(
            f"The network makes {tuple(run.logits.shape)} of one clip; it has to give logits (1, K). If it gives some "
            "for each frame or view, average them in a module of your own."
        )
    return run


def _why_it_fails(recognizer: Recognizer, side: int, error: Exception) -> str:
    spec = recognizer.clip_spec
    size = (1, len(spec.mean), spec.num_frames, side, side)
    types = {value.dtype for value in recognizer.module.parameters() if value.is_floating_point()} - {torch.float32}
    if types:
        named = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in types))
        return (
            f"The network's weights are {named}, and clips are float32 ({type(error).__name__}: {error}): wrap "
            "`network.float()`. PRECISION bf16 or fp16 measures in half precision."
        )
    for order, (arrange, text) in _ORDERS.items():
        if _takes(recognizer, arrange(torch.full(size, 0.5)), (1,)):
            return (
                f"The network fails on a clip (N, C, T, H, W) and takes one of the order {order}: "
                f"Recognizer.wrap(network, spec, pathways=lambda clip: {text})."
            )
    if _takes(recognizer, torch.full((size[2], size[1], side, side), 0.5), (size[2],)):
        return (
            "The network fails on a clip (N, C, T, H, W) and takes single frames (N, C, H, W): wrap a module whose "
            "forward gives it clip.transpose(1, 2).flatten(0, 1) and averages the logits of a clip's frames."
        )
    return (
        f"The network fails on a clip {size} (N, C, T, H, W), which is what clip_spec says that it takes: "
        f"{type(error).__name__}: {error}"
    )


def _refuse_mixed_axes(recognizer: Recognizer) -> None:
    """Raise ConfigError where the network accepts clips but mixes their axes, as ``view(-1, 3, H, W)`` does: its images
    are then made up of several frames."""
    spec = recognizer.clip_spec
    channels = len(spec.mean)
    device = next((value.device for value in recognizer.module.parameters()), recognizer.mean.device)
    colour = torch.linspace(0.2, 0.8, channels, device=device).view(1, -1, 1, 1, 1)
    clip = colour.expand(1, channels, spec.num_frames, spec.crop_size, spec.crop_size)
    if not _mixes(recognizer, clip, partial(recognizer, clip)):
        return
    given = recognizer.normalize(clip)
    for order, (arrange, text) in _ORDERS.items():
        arranged = arrange(given)
        if not _mixes(recognizer, given, partial(recognizer.module, arranged)) and _takes(recognizer, arranged, (1,)):
            advice = f"It takes the order {order}: Recognizer.wrap(network, spec, pathways=lambda clip: {text})."
            break
    else:
        advice = "Recognizer.wrap's `pathways` makes of a clip (N, C, T, H, W) what the network takes."
    raise ConfigError(
        "The network does not fail on a clip (N, C, T, H, W), but its first convolution then sees channels of several "
        f"frames as those of one. {advice}"
    )


class _Seen(Exception):
    """Raised to end a forward early."""


def _mixes(recognizer: Recognizer, clip: Tensor, forward: Callable[[], Any]) -> bool:
    """Whether a clip of one colour, whose channels differ, reaches the network's first convolution on as many channels
    in another order from frame to frame."""
    channels = clip.shape[1]
    seen: list[Tensor] = []

    def note(layer: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            seen.append(args[0].detach())
            raise _Seen

    layers = [layer for layer in recognizer.module.modules() if isinstance(layer, (nn.Conv2d, nn.Conv3d))]
    handles = [layer.register_forward_pre_hook(note) for layer in layers if layer.in_channels == channels]
    if channels == 1 or not handles:
        return False
    try:
        with evaluation_mode(recognizer), torch.no_grad(), contextlib.suppress(_Seen, *_MISFITS):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    if not seen or seen[0].dim() < 4 or seen[0].shape[1] != channels:
        return False
    frames = seen[0].flatten(-2).median(-1).values.movedim(1, -1).reshape(-1, channels)
    frames = frames[frames.abs().amax(1) > 0]  # without padding in time
    values = (frames / frames.abs().max()).mul(1e3).round() if len(frames) else frames
    # What depends on the frame's number in some other way makes more values of three.
    return len(values.unique(dim=0)) > 1 and len(values.unique()) <= channels


def _takes(recognizer: Recognizer, given: Tensor, lengths: tuple[int, ...]) -> bool:
    """Whether the network makes ``lengths[0]`` rows of logits of what it is given."""
    device = next((value.device for value in recognizer.module.parameters()), given.device)
    try:
        with evaluation_mode(recognizer), torch.no_grad():
            output = recognizer.module(given.to(device))
    except _MISFITS:
        return False
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    return isinstance(output, Tensor) and output.dim() == 2 and len(output) in lengths


def _forward(recognizer: Recognizer, side: int) -> _Run:
    """Run one grey clip, leaving the network unchanged.

    Raises:
        ConfigError: it gives no tensor.
    """
    module, spec = recognizer.module, recognizer.clip_spec
    reference = next(module.parameters(), recognizer.mean)
    recognizer.to(reference.device)
    size = (1, len(spec.mean), spec.num_frames, side, side)
    ran: list[tuple[str, nn.Module, Any]] = []

    def note(name: str, layer: nn.Module) -> RemovableHandle:
        kept = _projects_to(layer) > 0  # not all that runs
        return layer.register_forward_hook(lambda _, args, out: ran.append((name, layer, out if kept else None)))

    # A layer whose weight is reparametrised has inner modules, too.
    layers = [item for item in module.named_modules() if _projects_to(item[1]) or not any(item[1].children())]
    handles = [note(name, layer) for name, layer in layers]
    try:
        with evaluation_mode(recognizer), torch.no_grad():
            output = recognizer.classify(torch.full(size, 0.5, device=reference.device))
    finally:
        for handle in handles:
            handle.remove()
    if isinstance(getattr(output, "logits", None), Tensor):
        raise ConfigError(
            f"The network gives a {type(output).__name__} and not a tensor. Its logits alone: "
            "network.register_forward_hook(lambda module, args, output: output.logits)."
        )
    if isinstance(output, Mapping):
        output = first_head(output)
    if not isinstance(output, Tensor):
        raise ConfigError(
            f"The network makes a {type(output).__name__} of one clip; it has to give logits (1, K). "
            "network.register_forward_hook(lambda module, args, output: ...) can take them out of it."
        )
    return _Run(ran, output)


def _makes(output: Any, logits: Tensor) -> bool:
    """Whether a layer's output, averaged over positions, is the logits, but for a factor above 0 and a number that is
    added to all of them (log-probabilities)."""
    values = _averaged(output, logits.shape[1])
    if values is None:
        return False
    own, given = values - values.mean(), logits[0].double() - logits[0].double().mean()
    size = own.square().sum()
    if not size:
        return bool(given.abs().max() < 1e-6)
    factor = (own * given).sum() / size
    return bool(factor > 0 and (given - factor * own).abs().max() <= 1e-3 * given.abs().max())


def _refuse_probabilities(run: _Run, head: str, projected: Iterable[Any]) -> None:
    names = [name for name, _, _ in run.layers]
    after_head = run.layers[len(names) - names[::-1].index(head) :] if head else []
    within = 0 <= float(run.logits.min()) <= float(run.logits.max()) <= 1
    if not within:
        return
    sums_to_one = abs(float(run.logits.sum()) - 1) < 1e-3
    sigmoid = any(isinstance(layer, nn.Sigmoid) for _, layer, _ in after_head or run.layers[-1:])
    if sums_to_one or sigmoid or any(_has_sigmoid(output, run.logits) for output in projected):
        raise ConfigError(
            "The network gives probabilities, not logits (PyTorchVideo's do in evaluation mode only). Leave its "
            "softmax or sigmoid out: nn.Identity() in the place of that module has no weights either."
        )


def _has_sigmoid(output: Any, probabilities: Tensor) -> bool:
    """Whether ``probabilities`` are the sigmoid of a layer's output, averaged over positions."""
    values = _averaged(output, probabilities.shape[1])
    return values is not None and torch.allclose(values.sigmoid(), probabilities[0].double(), rtol=1e-3, atol=1e-5)


def _averaged(output: Any, num_classes: int) -> Tensor | None:
    """A layer's output, averaged over positions, ``(K,)`` in double precision; None: it is not of that many classes."""
    if not isinstance(output, Tensor) or output.dim() < 2:
        return None
    channels = 1 if output.shape[1] == num_classes and output.dim() == 5 else -1
    if output.shape[channels] != num_classes:
        return None
    return output.movedim(channels, -1).reshape(-1, num_classes).double().mean(0)


def _projects_to(layer: nn.Module) -> int:
    """Outputs of a linear layer or 1x1x1 convolution; 0: it is neither."""
    if isinstance(layer, nn.Conv3d) and layer.kernel_size == (1, 1, 1):
        return layer.out_channels
    return layer.out_features if isinstance(layer, nn.Linear) else 0
