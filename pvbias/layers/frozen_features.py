"""Features of frozen clips, computed for the frames that differ only.

A network's features of one frame, repeated, are constant in time but for the borders, where its convolutions see the
zeros of their padding: ``left`` frames that differ, one that repeats, ``right`` frames that differ. So a layer needs to
run on those alone::

    frame     x x x x x x x x x x x x x x x x      1 of 16
    3x3x3     a x x x x x x x x x x x x x x b      3 of 16
    3x3x3     a b x x x x x x x x x x x x c d      5 of 16

This is exact, not an approximation: where the frames that repeat run out, and for operations that are not known here,
the features become ordinary ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

_aten = torch.ops.aten

#: The dimension of time, of features ``(N, C, T, H, W)``.
_TIME = 2

_Size = int | Sequence[int]
_Kind = TypeVar("_Kind", bound=Tensor)


def repeat_frame(frame: Tensor, times: int) -> Tensor:
    """Repeat features of single frames: ``(N, C, 1, H, W) -> (N, C, T, H, W)``, memory format kept.

    Without gradients as :class:`FrozenFeatures`, with which the layers to come have less to compute.

    Args:
        frame: floating point.
        times: T.
    """
    # On a GPU, a layer's work for all frames takes less than the host's for the frames that differ.
    if times < 2 or torch.is_grad_enabled() or frame.device.type == "cuda":
        # Joined, since expanding would not keep channels_last_3d.
        return torch.cat([frame] * times, dim=_TIME)
    return FrozenFeatures(frame, left=0, repeats=times)


class FrozenFeatures(Tensor):
    """A tensor ``(N, C, T, H, W)`` that repeats one of its frames, held as the frames that differ.

    ::

        T = left + repeats + right:   left frames | one frame, repeated | right frames

    It has the shape, strides, type and device of the whole tensor and stands in for it in any computation without
    gradients. Convolutions, pooling, BatchNorm, elementwise operations, padding, joined channels and means over time
    are computed on :attr:`frames`. Anything else is on the whole tensor, which it then is for good (so that a change
    through a view of it is seen by all who hold it).

    Attributes:
        frames: ``(N, C, left + 1 + right, H, W)``.
        left: how many frames come before the one that repeats.
        repeats: how often that one is there, 2 or more.
    """

    frames: Tensor
    left: int
    repeats: int
    _whole: Tensor | None

    @staticmethod
    def __new__(cls: type[FrozenFeatures], frames: Tensor, left: int, repeats: int) -> FrozenFeatures:
        """Args as the attributes."""
        clips, channels, times, height, width = frames.shape
        times += repeats - 1
        size, area = (clips, channels, times, height, width), height * width
        strides = (channels * times * area, times * area, area, width, 1)
        if not frames.is_contiguous() and frames.is_contiguous(memory_format=torch.channels_last_3d):
            strides = (channels * times * area, 1, channels * area, channels * width, channels)
        # Of the class Tensor itself: it says what it is before there is an instance.
        features = Tensor._make_wrapper_subclass(cls, size, strides, dtype=frames.dtype, device=frames.device)
        features._hold(frames, left, repeats)
        features._whole = None
        return features

    def _hold(self, frames: Tensor, left: int, repeats: int) -> None:
        self.frames, self.left, self.repeats = frames, left, repeats

    @property
    def right(self) -> int:
        """How many frames come after the one that repeats."""
        return self.frames.shape[_TIME] - 1 - self.left

    def whole(self) -> Tensor:
        """All frames, as an ordinary tensor: the same one whenever it is asked for."""
        if self._whole is None:
            self._whole = self.repeated(self.repeats)
        return self._whole

    def repeated(self, times: int) -> Tensor:
        """The frames as an ordinary tensor, with the one that repeats so many times."""
        if times == 1:
            return self.frames
        before, frame, after = self.frames.tensor_split((self.left, self.left + 1), dim=_TIME)
        # Nothing empty among them, which would not keep channels_last_3d.
        return torch.cat([part for part in (before, *[frame] * times, after) if part.shape[_TIME]], dim=_TIME)

    def slide(
        self, layer: Callable[[Tensor], Tensor], kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> Tensor:
        """Apply a layer that slides a window over time, such as a convolution, to a clip just long enough for all
        results that differ.

        Args:
            layer: of features ``(N, C, T, H, W)`` of any number of frames.
            kernel_size, stride, padding, dilation: of its window, frames; ``padding`` on either side.
        """
        # The results from first to last, counted from 0, see nothing but the frame that repeats.
        extent = (kernel_size - 1) * dilation + 1
        first = -(-(self.left + padding) // stride)
        last = (self.left + self.repeats - extent + padding) // stride
        if last <= first:
            return layer(self.whole())
        spared = last - first
        results = layer(self.repeated(self.repeats - spared * stride))
        return FrozenFeatures(results, first, spared + 1)

    def mean_over_time(self, values: Tensor) -> Tensor:
        """Mean over all T frames of what :attr:`frames` have one value each of, ``(N', C', left + 1 + right, H', W')``;
        the dimension stays."""
        share = (self.repeats - 1) / (values.shape[_TIME] + self.repeats - 1)
        return values.mean(_TIME, keepdim=True).lerp(values.narrow(_TIME, self.left, 1), share)

    @classmethod
    def __torch_function__(
        cls, func: Callable, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch's."""
        rule = None if torch.is_grad_enabled() else _FUNCTIONS.get(func)
        with torch._C.DisableTorchFunctionSubclass():
            if rule or func in _OF_MEMORY:
                return _call(func, rule, args, kwargs)
            return func(*args, **(kwargs or {}))  # of operators

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own stub is of what it does without one
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call an operator of torch's."""
        rule = _OPERATORS.get(func) or (_elementwise if torch.Tag.pointwise in func.tags else None)
        return _call(func, rule, args, kwargs)


def _call(func: Callable, rule: Any, args: Sequence[Any], kwargs: dict[str, Any] | None) -> Any:
    """Call ``func`` by its rule, or with the whole tensors."""
    kwargs = kwargs or {}
    if rule and all(features._whole is None for features in _tensors(args, kwargs, FrozenFeatures)):
        results = rule(func, *args, **kwargs)
        if results is not NotImplemented:
            return results
    return _apply(func, args, kwargs, FrozenFeatures.whole)


def _apply(
    func: Callable, args: Sequence[Any], kwargs: Mapping[str, Any], convert: Callable[[FrozenFeatures], Tensor]
) -> Any:
    """Call ``func`` with ordinary tensors in place of frozen features."""

    # Operators take tensors and lists of them; torch's pytree, for anything nested, takes longer than the call.
    def ordinary(value: Any) -> Any:
        if isinstance(value, FrozenFeatures):
            return convert(value)
        return [ordinary(each) for each in value] if isinstance(value, (list, tuple)) else value

    return func(*ordinary(args), **{name: ordinary(value) for name, value in kwargs.items()})


def _tensors(args: Sequence[Any], kwargs: Mapping[str, Any], kind: type[_Kind]) -> list[_Kind]:
    """Those of a kind among arguments, and in lists among them."""
    found = []
    for value in (*args, *kwargs.values()):
        found += [each for each in (value if isinstance(value, (list, tuple)) else (value,)) if isinstance(each, kind)]
    return found


# Rules: of a function's or operator's results, given it and its arguments, which are FrozenFeatures that were never
# whole. NotImplemented: it is to be called with the whole tensors.


def _elementwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Elementwise operations of any number of arguments, in all of which frames repeat."""
    in_place = func._schema.is_mutable
    if in_place and not (func._schema.name.endswith("_") and isinstance(args[0], FrozenFeatures)):
        return NotImplemented  # into an ordinary tensor
    tensors = _tensors(args, kwargs, Tensor)
    features = [each for each in tensors if isinstance(each, FrozenFeatures)]
    left, right = max(each.left for each in features), max(each.right for each in features)
    repeats = features[0].shape[_TIME] - left - right
    if repeats < 2 or len(func._schema.returns) != 1 or not all(_is_constant(each) for each in tensors):
        return NotImplemented

    def align(each: FrozenFeatures) -> Tensor:
        return each.repeated(left - each.left + 1 + right - each.right)

    results = _apply(func, args, kwargs, align)
    if not in_place:
        return FrozenFeatures(results, left, repeats)
    args[0]._hold(results, left, repeats)
    return args[0]


def _is_constant(tensor: Tensor) -> bool:
    """Whether a tensor, broadcast to five dimensions, has frames that repeat."""
    if isinstance(tensor, FrozenFeatures) or tensor.dim() < 3:
        return True
    return tensor.dim() <= 5 and tensor.shape[-3] == 1


def _join(func: Any, tensors: Sequence[Tensor], dim: int = 0) -> Any:
    return NotImplemented if dim in (_TIME, _TIME - 5) else _elementwise(func, tensors, dim)


def _pad(func: Any, input: FrozenFeatures, pad: Sequence[int], *value: Any) -> Any:
    before, after = pad[4:6] if len(pad) > 4 else (0, 0)  # counted from the last dimension
    if min(before, after) < 0:
        return NotImplemented
    return FrozenFeatures(func(input.frames, pad, *value), input.left + before, input.repeats)


def _mean(
    func: Any,
    input: FrozenFeatures,
    dim: Sequence[int] | None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    dims = {each % 5 for each in dim or range(5)}
    dtype = dtype or input.dtype
    if _TIME not in dims or not dtype.is_floating_point:
        return NotImplemented
    precise = torch.promote_types(dtype, torch.float32)
    others = sorted(dims - {_TIME})
    values = func(input.frames, others, True, dtype=precise) if others else input.frames.to(precise)
    mean = input.mean_over_time(values).to(dtype)
    return mean if keepdim else mean.squeeze(tuple(dims))


def _convolution(
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    if not isinstance(input, FrozenFeatures) or transposed:
        return NotImplemented
    frames, window = input.frames, (weight.shape[_TIME], stride[0], padding[0], dilation[0])

    def convolve(clip: Tensor) -> Tensor:
        return func(clip, weight, bias, stride, padding, dilation, False, output_padding, groups)

    def convolve_repeated(clip: Tensor) -> Tensor:
        kernels = _kernels_of_one_frame(weight, clip.shape[_TIME], *window)
        biases = None if bias is None else bias.repeat_interleave(kernels.shape[1])
        in_frame = (0, *padding[1:])
        results = func(frames, kernels.flatten(0, 1), biases, stride, in_frame, dilation, False, output_padding, 1)
        results = results.squeeze(_TIME).unflatten(1, kernels.shape[:2])
        return results if results.is_contiguous() else results.contiguous(memory_format=torch.channels_last_3d)

    return input.slide(convolve_repeated if frames.shape[_TIME] == 1 and groups == 1 else convolve, *window)


def _kernels_of_one_frame(
    weight: Tensor, times: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> Tensor:
    """Kernels for a frame that give what a kernel ``(D, C, T, H, W)`` gives for the frame repeated so many times.

    They are sums over those of its frames that do not see the zeros of the padding: ``(D, t, C, 1, H, W)``, t results.
    """
    results = (times + 2 * padding - (kernel_size - 1) * dilation - 1) // stride + 1
    first = torch.arange(results, device=weight.device) * stride - padding
    seen = first[:, None] + torch.arange(kernel_size, device=weight.device) * dilation
    inside = ((seen >= 0) & (seen < times))[:, None, :, None, None]
    precise = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return (precise[:, None] * inside).sum(3, keepdim=True).to(weight.dtype)


def _average_pool(
    func: Any,
    input: FrozenFeatures,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    *more: Any,
) -> Any:
    return input.slide(
        lambda frames: func(frames, kernel_size, stride, padding, *more),
        kernel_size=kernel_size[0],
        stride=(stride or kernel_size)[0],
        padding=padding[0],
    )


def _max_pool(
    func: Any,
    input: FrozenFeatures,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices:  # of each frame others
        return NotImplemented
    return input.slide(
        lambda frames: func(frames, kernel_size, stride, padding, dilation, ceil_mode),
        kernel_size=_temporal(kernel_size),
        stride=_temporal(kernel_size if stride is None else stride),
        padding=_temporal(padding),
        dilation=_temporal(dilation),
    )


def _temporal(size: _Size) -> int:
    return size if isinstance(size, int) else size[0]


def _batch_norm(
    func: Any,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """In training mode with the mean and variance over all T frames, from those over each that differs."""
    if not isinstance(input, FrozenFeatures) or (training and running_mean is not None):  # which is to be updated
        return NotImplemented
    if training:
        variances, means = _moments(input.frames)
        mean = input.mean_over_time(means).mean(0, keepdim=True)
        variance = input.mean_over_time(variances + (means - mean).square()).mean(0)
        running_mean, running_var = mean.flatten(), variance.flatten()
    normalised = func(input.frames, running_mean, running_var, weight, bias, eps=eps)
    return FrozenFeatures(normalised, input.left, input.repeats)


def _moments(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel of each frame, ``(N, C, T, 1, 1)``; in float32 of half precision."""
    half = frames.dtype in (torch.bfloat16, torch.float16)
    # Sums of squares as they are lose less in float32 than half precision has lost, and need no copy.
    options: dict[str, Any] = {"dim": (3, 4), "keepdim": True, "dtype": torch.float32 if half else frames.dtype}
    means = frames.mean(**options)
    norms = torch.linalg.vector_norm(frames if half else frames - means, **options)
    variances = norms.square() / (frames.shape[3] * frames.shape[4])
    return (variances - means.square()).clamp_(min=0) if half else variances, means


#: What asks for the memory of a tensor, for another library or a kernel, and not for an operator.
_OF_MEMORY = {Tensor.data_ptr, Tensor.numpy, Tensor.tolist, Tensor.untyped_storage, Tensor.__dlpack__}

#: Functions that call several operators, or other ones on another device.
_FUNCTIONS = {F.batch_norm: _batch_norm, F.max_pool3d: _max_pool}

#: Operators, beside those that torch itself tags as elementwise.
_OPERATORS = {
    _aten._prelu_kernel.default: _elementwise,
    _aten._to_copy.default: _elementwise,
    _aten.hardswish.default: _elementwise,
    _aten.hardswish_.default: _elementwise,
    _aten.cat.default: _join,
    _aten.constant_pad_nd.default: _pad,
    _aten.mean.dim: _mean,
    _aten.convolution.default: _convolution,
    _aten.avg_pool3d.default: _average_pool,
}
