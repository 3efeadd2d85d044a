"""Gradients against torch's own kernels in double precision, on clips for which oneDNN's are wrong."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.layers import ExplicitPadding
from pvbias.runtime import Settings

#: (kernel, stride, padding, frames, precision). On a processor with AVX-512, oneDNN is wrong about some of them.
CLIPS = [
    ((7, 1, 1), (2, 1, 1), (3, 0, 0), 6, "fp32"),
    ((7, 3, 3), (2, 1, 1), (3, 1, 1), 7, "fp32"),
    ((9, 1, 1), (3, 1, 1), (4, 0, 0), 9, "fp32"),
    ((3, 3, 3), 1, 1, 2, "bf16"),
    ((5, 1, 1), (2, 1, 1), (2, 0, 0), 4, "bf16"),
    ((7, 1, 1), (3, 1, 1), (3, 0, 0), 5, "bf16"),
    ((3, 1, 1), (1, 1, 1), "same", 2, "bf16"),
    ((2, 3, 3), 1, "same", 2, "fp32"),
    ((3, 3, 3), (2, 1, 1), (1, 1, 1), 5, "fp32"),
    ((3, 3, 3), (1, 2, 2), (1, 1, 1), 16, "bf16"),
]


def on_cpu(precision):
    return Settings(device=torch.device("cpu"), memory_format="channels_last_3d", precision=precision)


def gradients(convolve, clip, weight, precision):
    """The output, and the gradients of its weighted sum for the clip and the weight, float64."""
    clip, weight = (tensor.detach().clone().requires_grad_() for tensor in (clip, weight))
    with on_cpu(precision).autocast():
        output = convolve(clip, weight)
    output.backward(torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype))
    return [tensor.double() for tensor in (output.detach(), clip.grad, weight.grad)]


def reference(convolve, clip, weight, precision):
    """The same in double precision, which oneDNN does not compute in, of what the precision leaves of the inputs."""
    rounded = torch.bfloat16 if precision == "bf16" else torch.float32
    clip, weight = (tensor.detach().to(rounded).double().requires_grad_() for tensor in (clip, weight))
    output = convolve(clip, weight)
    output.backward(torch.linspace(-1, 1, output.numel()).view(output.shape).to(rounded).double())
    return output.detach(), clip.grad, weight.grad


def check(convolve, clip, weight, precision):
    # Processors round bf16 sums at different places: up to 1.5 % of the largest. Wrong kernels give garbage.
    tolerance = 5e-2 if precision == "bf16" else 1e-5
    expected = reference(convolve, clip, weight, precision)
    for ours, exact in zip(gradients(convolve, clip, weight, precision), expected, strict=True):
        scale = exact.abs().max()
        torch.testing.assert_close(ours / scale, exact / scale, rtol=0, atol=tolerance)


@pytest.mark.smoke
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("kernel", "stride", "padding", "frames", "precision"), CLIPS)
def test_gradients_of_convolutions_over_few_frames(kernel, stride, padding, frames, precision, memory_format):
    clip = torch.rand(2, 16, frames, 6, 6).to(memory_format=memory_format)
    weight = torch.randn(32, 16, *kernel).to(memory_format=memory_format)
    check(lambda clip, weight: F.conv3d(clip, weight, None, stride, padding), clip, weight, precision)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(5, 2, 1), (7, 2, 2), (11, 4, 3), (3, 1, 9)])
def test_gradients_of_convolutions_over_few_pixels(kernel, stride, size):
    image, weight = torch.rand(2, 16, size, size), torch.randn(32, 16, kernel, kernel)
    padding = kernel // 2
    check(lambda image, weight: F.conv2d(image, weight, None, stride, padding), image, weight, "bf16")


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more", "frames", "precision"),
    [(3, 1, 1, 0, 2, "bf16"), (5, 1, 2, 0, 4, "bf16"), (7, 2, 3, 1, 3, "fp32"), (4, 2, 1, 0, 5, "fp32")],
)
def test_gradients_of_transposed_convolutions(kernel, stride, padding, more, frames, precision):
    clip, weight = torch.rand(2, 16, frames, 4, 4), torch.randn(16, 32, kernel, 3, 3)

    def convolve(clip, weight):
        return F.conv_transpose3d(clip, weight, None, (stride, 1, 1), (padding, 1, 1), (more, 0, 0))

    check(convolve, clip, weight, precision)


def test_a_module_dilated_grouped_and_with_a_bias():
    module = nn.Conv3d(8, 8, 3, padding=(2, 1, 1), dilation=(2, 1, 1), groups=4)
    clip = torch.rand(2, 8, 3, 5, 5)
    expected = module.double()(clip.double())
    with ExplicitPadding():
        found = module.float()(clip)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_what_does_not_learn_is_left_to_torch():
    clip, weight = torch.rand(1, 4, 2, 5, 5), torch.randn(4, 4, 3, 3, 3)
    with ExplicitPadding():
        assert torch.equal(F.conv3d(clip, weight, padding=1), F.conv3d(clip, weight, padding=1))
        with pytest.raises(RuntimeError, match="channels"):
            F.conv3d(clip[:, :3], weight.requires_grad_(), padding=1)
