"""Fast forwards change how a layer computes, and nothing else of a model."""

import copy
import pickle

import pytest
import torch
from torch import nn

from pvbias.layers import describe_fast_layers, use_fast_layers


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 6, (3, 3, 3), (1, 2, 2), 1),
        nn.BatchNorm3d(6),
        nn.ReLU(),
        nn.Conv3d(6, 6, 3, padding=1, groups=6),
        nn.MaxPool3d(2),
        nn.Flatten(),
        nn.LayerNorm(6),
    )


def clip():
    return torch.rand(1, 3, 2, 4, 4).contiguous(memory_format=torch.channels_last_3d)


def test_the_model_is_what_it_was(interpreter):
    plain, fast = model(), model()
    kinds = [type(module) for module in fast.modules()]
    use_fast_layers(fast)
    assert describe_fast_layers(fast) == {
        "sequence": 1,
        "stem": 1,
        "batch_norm": 1,
        "depthwise": 1,
        "max_pool": 1,
        "layer_norm": 1,
    }
    assert [type(module) for module in fast.modules()] == kinds
    assert [name for name, _ in fast.named_modules()] == [name for name, _ in plain.named_modules()]
    assert fast.state_dict().keys() == plain.state_dict().keys()
    x = clip()
    assert torch.allclose(fast(x), plain(x), atol=1e-4)


def test_kinds_are_left_out(interpreter):
    fast = model()
    use_fast_layers(fast)
    use_fast_layers(fast, off=["stem", "sequence", "batch_norm"])
    assert describe_fast_layers(fast) == {"depthwise": 1, "max_pool": 1, "layer_norm": 1}
    use_fast_layers(fast, off=["stem", "sequence", "batch_norm", "depthwise", "max_pool", "layer_norm"])
    assert describe_fast_layers(fast) == {}
    assert all("forward" not in vars(module) for module in fast.modules())


def test_a_forward_of_somebody_else_stays(interpreter):
    fast = model()
    fast[1].forward = torch.zeros_like
    fast[6].forward = torch.ones_like
    use_fast_layers(fast)
    assert describe_fast_layers(fast) == {"sequence": 1, "stem": 1, "depthwise": 1, "max_pool": 1}
    seen = []
    fast[3].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert fast(clip()).all()
    assert not seen[0].any()


def test_inputs_have_torchs_names(interpreter):
    plain, fast = model(), model()
    use_fast_layers(fast)
    x = given = clip()
    assert fast(input=x).shape == plain(input=x).shape
    for own, other in zip(fast, plain, strict=True):
        x, given = own(input=x), other(input=given)
    assert torch.allclose(x, given, atol=1e-4)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_use_their_own_weights(interpreter, copied):
    fast = model()
    use_fast_layers(fast)
    x = clip()
    other = copied(fast)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not other(x).any()
    assert fast(x).any()


def test_float64_is_torchs_own(interpreter):
    plain, fast = model().double(), model().double()
    use_fast_layers(fast)
    x = clip().double()
    assert torch.allclose(fast(x), plain(x), rtol=1e-10)
