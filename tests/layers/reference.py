"""What layers compute, beside the same in float64 by torch."""

import torch


def both(layer, plain, *given):
    """Results and gradients by name, of a layer and of a plain one in float64.

    Args:
        layer: ``layer(*given)``; a module's parameters get gradients.
        plain: the same, in float64.
        given: fp32.
    """
    results = []
    for called, dtype in ((layer, torch.float32), (plain, torch.float64)):
        own = [values.to(dtype).detach().clone(memory_format=torch.preserve_format) for values in given]
        own = [values.requires_grad_() for values in own]
        output = called(*own)
        output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(dtype))
        parameters = dict(called.named_parameters()) if isinstance(called, torch.nn.Module) else {}
        gradients = {f"input {number}": values.grad for number, values in enumerate(own)}
        gradients |= {name: parameter.grad for name, parameter in parameters.items()}
        results.append({"output": output.detach()} | gradients)
    return results


def assert_same(layer, plain, *given, tolerance=2e-6):
    """A layer's results and gradients are those of the plain one, relative to their size."""
    found, expected = both(layer, plain, *given)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        difference = (found[name].double() - values).norm() / values.norm().clamp(min=1e-12)
        assert found[name].shape == values.shape
        assert difference < tolerance, f"{name}: {difference:.1e}"


def assert_same_network(fast, plain, clip):
    """A network with fast forwards gives the logits, gradients and running statistics of the same one without; both in
    float64 and training mode."""
    expected, found = plain(clip), fast(clip)
    assert torch.allclose(found, expected, rtol=1e-9)
    expected.square().sum().backward()
    found.square().sum().backward()
    gradients = dict(fast.named_parameters())
    # Some are zero but for rounding: adding the same to all keys changes no attention.
    largest = max(parameter.grad.abs().max() for parameter in plain.parameters())
    for key, parameter in plain.named_parameters():
        assert torch.allclose(gradients[key].grad, parameter.grad, rtol=1e-6, atol=1e-11 * largest), key
    for key, value in plain.named_buffers():
        assert torch.allclose(fast.get_buffer(key), value), key
