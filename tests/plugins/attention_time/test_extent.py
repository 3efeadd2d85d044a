"""Extents of the attention of each family, against closed forms and the networks' own weights."""

import pytest
import torch
from torch import nn

from pvbias.errors import ConfigError
from pvbias.models.layer_features import LayerCall
from pvbias.plugins.attention_time.extent import mean_distances
from pvbias.plugins.attention_time.layouts import attention_modules, moments
from pvbias.plugins.attention_time.weights import attention_weights
from tests.plugins.video_transformers import FAMILIES, clips, recognizer, vjepa

#: Moments of the keys of each layer, in frames, where they are not those of four tubelets: of the second block of
#: torchvision's MViT every other tubelet is the middle of a key.
KEYS = {"torchvision MViT v1": [[0, 2, 4, 6], [0, 4]], "torchvision MViT v2": [[0, 2, 4, 6], [0, 4]]}


def extents(model, count=2):
    names = attention_modules(model)
    features = tuple(f"attention_extent({name})" for name in names)
    with torch.no_grad():
        found = model.outputs(clips(count), features).features
    return [found[name] for name in features]


def uniform(queries, keys):
    """The mean distance of all pairs of moments."""
    return float((torch.tensor(queries)[:, None] - torch.tensor(keys)[None]).abs().float().mean())


def test_the_closed_form():
    """F (T^2 - 1) / (3 T), T moments F frames apart."""
    for steps in (1, 2, 8):
        moments = [2 * step for step in range(steps)]
        assert uniform(moments, moments) == pytest.approx(2 * (steps**2 - 1) / (3 * steps))


def test_distances_are_means_over_what_is_a_position():
    nan = float("nan")
    weights = torch.tensor([[[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]]]])
    times = torch.tensor([[nan, 0.0, 4.0]])
    found = mean_distances(weights, times, times)
    # The second query looks at itself; of what the third one looks at, 0.8 is positions.
    torch.testing.assert_close(found, torch.tensor([[[(0 + 4 * 0.2 / 0.8) / 2, (0 + 2) / 2]]]))


@pytest.mark.parametrize("family", FAMILIES)
def test_uniform_attention_has_the_closed_form(family):
    model = recognizer(family)
    with torch.no_grad():
        for name in attention_modules(model):
            for parameter in model.submodule(name).parameters():
                parameter.zero_()
    layers = extents(model)
    assert len(layers) == 2
    if family == "Swin3D":
        # Windows of two tubelets; shifted by one, the first and the last of the clip share one, and are apart.
        expected = [uniform([0, 2], [0, 2]), uniform([0, 2], [0, 2]) / 2]
    elif family == "TimeSformer":
        expected = [uniform(range(8), range(8))] * 2
    else:
        expected = [uniform([0, 2, 4, 6], keys) for keys in KEYS.get(family, [[0, 2, 4, 6]] * 2)]
    for layer, value in zip(layers, expected, strict=True):
        assert layer.shape[::2] == (2, 2)
        assert torch.allclose(layer, torch.tensor(value))


def test_a_predictor_that_is_never_called_is_left_out():
    model = vjepa()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for layer in extents(model):
        assert layer.shape == (2, 2, 2)
        assert torch.allclose(layer, torch.tensor(uniform([0, 2, 4, 6], [0, 2, 4, 6])))
    assert len(attention_modules(model)) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_for_each_clip_alone(family):
    """And the second call of a module changes nothing that its first one gave."""
    model = recognizer(family)
    together, alone = extents(model, 2), extents(model, 1)
    for both, one in zip(together, alone, strict=True):
        assert not torch.equal(both[0], both[1])
        torch.testing.assert_close(both[:1], one)
    names = tuple(attention_modules(model))
    with torch.no_grad():
        plain = model(clips())
        again = model.outputs(clips(), tuple(f"attention_extent({name})" for name in names)).logits
    assert torch.equal(plain, again)


@pytest.mark.parametrize("family", ["ViViT", "VideoMAE"])
def test_fused_attention_has_the_weights_of_the_network_that_makes_them(family):
    fused, eager = (recognizer(family, attn_implementation=kind) for kind in ("sdpa", "eager"))
    assert fused.module.config._attn_implementation == "sdpa"
    for one, other in zip(extents(fused), extents(eager), strict=True):
        torch.testing.assert_close(one, other)
        assert ((one[..., 0] - one[..., 1]).abs() > 0.001).any()


def test_relative_positions_are_in_it():
    """Swin, told by its table of relative positions to stay at its moment, or to leave it."""
    model = recognizer("Swin3D")
    (first, _) = attention_modules(model)
    table = model.submodule(first).relative_position_bias_table
    for stays, expected in ((True, 0.0), (False, 2.0)):
        with torch.no_grad():
            of_distances = table.view(3, -1, 2)
            of_distances.fill_(-500.0 if stays else 500.0)
            of_distances[1] = 500.0 if stays else -500.0
        assert torch.allclose(extents(model)[0][..., 0], torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "Swin3D"])
def test_tokens_have_the_moments_of_the_frames_that_they_see(family):
    """Of the first layer's queries, those change most at whose moment the clip does."""
    model = recognizer(family)
    name = attention_modules(model)[0]
    found = []

    def keep(module, args, kwargs, output):
        tokens = args[0] if args else kwargs["hidden_states"]
        found.append((tokens.detach(), moments(LayerCall(name, module, model.module, args, kwargs, output, 8)).queries))

    handle = model.submodule(name).register_forward_hook(keep, with_kwargs=True)
    still = torch.full((1, 3, 8, 32, 32), 0.5)
    for frame in range(8):
        changed = still.clone()
        changed[:, :, frame] = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            model(still)
            model(changed)
    handle.remove()
    for frame in range(8):
        (before, times), (after, _) = found[2 * frame : 2 * frame + 2]
        change = (after - before).square().sum(-1).flatten()
        times = times.flatten()
        steps = times[~times.isnan()].unique()
        by_moment = torch.stack([change[times == step].sum() for step in steps])
        nearest = (steps - frame).abs()
        # MViT's tubelets overlap: two of them see every other frame.
        assert nearest[by_moment.argmax()] <= nearest.min() + (1.01 if "MViT" in family else 0.01)


def test_no_attention_and_two_are_refused():
    call = LayerCall("a", nn.Identity(), nn.Identity(), (torch.zeros(1),), {}, None, 8)
    with pytest.raises(ConfigError, match=r"'a' \(Identity\) computes 0 softmaxes"):
        list(attention_weights(call))


@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True}, {"scale": 0.7}, {"attn_mask": "bool"}, {"attn_mask": "add"}]
)
def test_weights_times_values_is_what_fused_attention_gives(options):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 6, 5, generator=generator)
    masks = {"bool": torch.rand(6, 6, generator=generator) < 0.7, "add": torch.randn(2, 4, 6, 6, generator=generator)}
    masks["bool"].fill_diagonal_(True)
    options = {name: masks.get(given, given) if name == "attn_mask" else given for name, given in options.items()}

    class Fused(nn.Module):
        def forward(self, query, key, value):
            return nn.functional.scaled_dot_product_attention(query, key, value, **options)

    module = Fused()
    weights = torch.cat(list(attention_weights(LayerCall("a", module, module, (query, key, value), {}, None, 8))))
    torch.testing.assert_close(weights @ value, module(query, key, value))
