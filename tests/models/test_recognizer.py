"""The Recognizer: normalisation, embedding, taps, and the untouched module underneath."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec, slow_fast_pathways
from pvbias.errors import ConfigError
from pvbias.models import Outputs, Recognizer, freeze_parameters

SPEC = ClipSpec(
    num_frames=4,
    sampling_rate=1,
    crop_size=8,
    test_crop_size=8,
    short_side=8,
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.25, 0.125),
)


class LinearHead(nn.Module):
    """Convolution, then a linear projection at every position, then the average: as the zoo's heads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3)
        self.proj = nn.Linear(5, 7)

    def forward(self, clip):
        return self.proj(self.conv(clip).permute(0, 2, 3, 4, 1)).mean(dim=(1, 2, 3))


class ConvHead(nn.Module):
    """The same with a 1x1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3)
        self.proj = nn.Conv3d(5, 7, 1)

    def forward(self, clip):
        return self.proj(self.conv(clip)).mean(dim=(2, 3, 4))


class InPlacePathways(nn.Module):
    """Two pathways in one list that each block writes its results into, as PyTorchVideo's do."""

    class Block(nn.Module):
        def forward(self, paths):
            for index, path in enumerate(paths):
                paths[index] = path + 1
            return paths

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = self.Block(), self.Block()
        self.proj = nn.Linear(3, 2)

    def forward(self, paths):
        return self.proj(self.second(self.first(paths))[1].mean(dim=(2, 3, 4)))


@pytest.fixture
def clips():
    return torch.randint(0, 256, (2, 3, 4, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_normalisation_of_uint8_and_float(clips, layout):
    recognizer = Recognizer(LinearHead(), clip_spec=SPEC, head="proj")
    given = clips.contiguous(memory_format=layout)
    normal = recognizer.normalize(given)
    value = clips[1, 2, 3, 4, 5].item()
    assert normal[1, 2, 3, 4, 5].item() == pytest.approx((value / 255 - 0.3) / 0.125, abs=1e-5)
    assert normal.is_contiguous(memory_format=layout)
    assert torch.equal(recognizer.normalize(given.float() / 255), normal)
    assert torch.equal(given, clips)


def test_gradients_reach_the_clip(clips):
    recognizer = Recognizer(LinearHead(), clip_spec=SPEC, head="proj")
    clip = (clips.float() / 255).requires_grad_()
    recognizer(clip).sum().backward()
    assert clip.grad is not None
    assert clip.grad.abs().sum() > 0


@pytest.mark.parametrize("module", [LinearHead(), ConvHead()], ids=["linear", "convolution"])
def test_embedding_and_head_give_the_logits(clips, module):
    recognizer = Recognizer(module, clip_spec=SPEC, head="proj")
    logits, features = recognizer(clips), recognizer.embed(clips)
    assert recognizer.num_classes == 7
    assert features.shape == (2, 5)
    weight, bias = recognizer.head.weight.flatten(1), recognizer.head.bias
    torch.testing.assert_close(features @ weight.T + bias, logits)


def test_the_modules_state_is_the_zoos():
    module = LinearHead()
    recognizer = Recognizer(module, clip_spec=SPEC, head="proj")
    assert recognizer.module.state_dict().keys() == LinearHead().state_dict().keys()
    assert all(name.startswith("module.") for name in recognizer.state_dict())


def test_taps_are_there_for_the_block_only(clips):
    recognizer = Recognizer(LinearHead(), clip_spec=SPEC, head="proj")
    with recognizer.taps("conv") as features:
        recognizer(clips)
    torch.testing.assert_close(features["conv"], recognizer.module.conv(recognizer.normalize(clips)))
    assert features["conv"].requires_grad
    kept = features["conv"]
    recognizer(clips[:1])
    assert features["conv"] is kept


def test_an_unknown_tap_leaves_no_hook_behind():
    recognizer = Recognizer(LinearHead(), clip_spec=SPEC, head="proj")
    with pytest.raises(ConfigError, match=r"no inner module 'con'.*'conv'"), recognizer.taps("proj", "con"):
        pass
    assert not recognizer.head._forward_hooks


def test_tapped_lists_are_not_overwritten_by_later_blocks(clips):
    recognizer = Recognizer(InPlacePathways(), clip_spec=SPEC, head="proj", pathways=slow_fast_pathways(alpha=2))
    normal = recognizer.normalize(clips)
    with recognizer.taps("first") as outputs, recognizer.taps("second", inputs=True) as inputs:
        recognizer(clips)
    torch.testing.assert_close(outputs["first"][1], normal + 1)
    torch.testing.assert_close(inputs["second"][1], normal + 1)


class Network(nn.Module):
    """Features of each clip, K logits, and what comes after them; an auxiliary classifier that is defined last."""

    def __init__(self, after: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3)
        self.norm = nn.BatchNorm3d(5)
        self.gate = nn.Conv3d(5, 1, 1)
        self.proj = nn.Linear(5, 7)
        self.after = after or nn.Identity()
        self.auxiliary = nn.Linear(5, 7)

    def forward(self, clip):
        features = self.norm(self.conv(clip))
        features = features * self.gate(features).sigmoid()
        return self.after(self.proj(features.mean(dim=(2, 3, 4))))


def test_wrapping_finds_the_projection_that_runs_last(clips):
    network = Network().train()
    network.conv.eval()  # a mode of its own, which stays
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recognizer = Recognizer.wrap(network, SPEC)
    assert recognizer.head_name == "proj"
    assert recognizer.num_classes == 7
    assert [network.training, network.conv.training, network.norm.training] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(layer._forward_hooks for layer in network.modules())
    plain = Recognizer(network, clip_spec=SPEC, head="proj").eval()
    assert torch.equal(recognizer(clips), plain(clips))
    assert torch.equal(recognizer.embed(clips), plain.embed(clips))


@pytest.mark.parametrize("module", [LinearHead(), ConvHead()], ids=["linear", "convolution"])
def test_wrapping_takes_both_kinds_of_projections(module):
    assert Recognizer.wrap(module, SPEC).head_name == "proj"


def test_a_reparametrised_projection_is_found():
    network = Network()
    nn.utils.parametrizations.weight_norm(network.proj)
    assert Recognizer.wrap(network, SPEC).head_name == "proj"


def test_the_projection_can_be_named():
    first, second = nn.Linear(5, 7), nn.Linear(7, 7)
    network = nn.Sequential(nn.Conv3d(3, 5, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), first, second)
    assert Recognizer.wrap(network, SPEC).head is second
    assert Recognizer.wrap(network, SPEC, head="3").head is first
    with pytest.raises(ConfigError, match=r"no inner module '5'"):
        Recognizer.wrap(network, SPEC, head="5")
    with pytest.raises(ConfigError, match=r"head = '0' is no linear layer.*7 outputs.*: 3, 4\."):
        Recognizer.wrap(network, SPEC, head="0")


class Softmaxed(Network):
    """Softmax as PyTorchVideo's heads have it: without a module, and in evaluation mode only."""

    def forward(self, clip):
        logits = super().forward(clip)
        return logits if self.training else logits.softmax(1)


class Sigmoided(Network):
    """A sigmoid without a module."""

    def forward(self, clip):
        return super().forward(clip).sigmoid()


@pytest.mark.parametrize("network", [Network(nn.Softmax(dim=1)), Network(nn.Sigmoid()), Softmaxed(), Sigmoided()])
def test_probabilities_are_refused(network):
    with pytest.raises(ConfigError, match="probabilities, not logits"):
        Recognizer.wrap(network, SPEC)


@pytest.mark.parametrize("classes", [2, 3])
def test_logits_between_0_and_1_are_logits(classes):
    network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, classes))
    nn.init.zeros_(network[-1].weight)
    network[-1].bias.data = torch.tensor([0.3, 0.6, 0.9])[:classes]
    assert Recognizer.wrap(network, SPEC).head_name == "2"


def test_log_probabilities_are_logits():
    assert Recognizer.wrap(Network(nn.LogSoftmax(dim=1)), SPEC).head_name == "proj"


class PerFrame(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(3, 7)

    def forward(self, clip):
        return self.proj(clip.mean(dim=(3, 4)).transpose(1, 2))


class FirstAxis(nn.Module):
    """A network that takes another order of axes."""

    def __init__(self, arrange) -> None:
        super().__init__()
        self.arrange = arrange
        self.inner = Network()

    def forward(self, clip):
        arranged = self.arrange(clip)
        assert arranged.shape[1] == 3, "channels"  # as timm's networks look at what they get
        return self.inner(arranged)


class Answer(nn.Module):
    """Always gives the same."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, clip):
        return self.answer


class Similarities(nn.Module):
    """Logits as CLIP has them: cosines of features with those of K texts. ``visual`` has K outputs, too."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3)
        self.visual = nn.Linear(5, 7)
        self.texts = nn.Parameter(torch.randn(classes, 7))

    def forward(self, clip):
        features = nn.functional.normalize(self.visual(self.conv(clip).mean(dim=(2, 3, 4))), dim=1)
        return 10 * features @ nn.functional.normalize(self.texts, dim=1).T


@pytest.mark.parametrize("classes", [7, 4])
def test_a_network_without_a_final_projection_is_wrapped_without_one(clips, classes):
    network = Similarities(classes)
    recognizer = Recognizer.wrap(network, SPEC)
    assert (recognizer.head_name, recognizer.num_classes) == ("", classes)
    assert recognizer(clips).shape == (2, classes)
    for needing in (
        lambda: recognizer.head,
        lambda: recognizer.embed(clips),
        lambda: freeze_parameters(recognizer, ["backbone"]),
    ):
        with pytest.raises(ConfigError, match="has no final projection"):
            needing()


@pytest.mark.parametrize("after", [nn.Identity(), nn.LogSoftmax(dim=1)])
def test_the_head_is_the_layer_whose_output_is_the_logits(after):
    """Not one that happens to have as many outputs."""

    class Extra(Network):
        def forward(self, clip):
            logits = super().forward(clip)
            self.auxiliary(torch.ones(1, 5))  # runs last
            return logits

    assert Recognizer.wrap(Extra(after), SPEC).head_name == "proj"


def test_another_order_of_axes_and_pathways_can_be_given(clips):
    network = FirstAxis(lambda clip: clip.transpose(1, 2)).eval()
    recognizer = Recognizer.wrap(network, SPEC, pathways=lambda clip: clip.transpose(1, 2))
    torch.testing.assert_close(recognizer(clips), network.inner(recognizer.normalize(clips)))
    assert Recognizer.wrap(InPlacePathways(), SPEC, pathways=slow_fast_pathways(alpha=2)).num_classes == 2


def test_test_crops_are_tried_too():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 8 * 8, 7))
    assert Recognizer.wrap(network, SPEC).num_classes == 7
    with pytest.raises(
        ConfigError, match=r"clips of 8 pixels and fails on test crops of 12 .*give .* test_crop_size 8"
    ):
        Recognizer.wrap(network, SPEC.replace(test_crop_size=12, short_side=12))
    assert Recognizer.wrap(Network(), SPEC.replace(test_crop_size=12, short_side=12)).num_classes == 7


class Folding(nn.Module):
    """TSN and TSM as they are usually written: they take (N, T, C, H, W), or (N, T C, H, W), and look at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7))

    def forward(self, clip):
        return self.frames(clip.reshape(-1, 3, *clip.shape[-2:])).view(len(clip), -1, 7).mean(1)


class Padding(Network):
    """Pads before its first convolution, in time, too, as Inception-I3D does."""

    def forward(self, clip):
        return super().forward(nn.functional.pad(clip, (1, 1, 1, 1, 1, 1)))


def test_frames_made_up_of_several_frames_are_noticed(clips):
    with pytest.raises(ConfigError, match=r"channels of several frames.*pathways=lambda clip: clip\.transpose\(1, 2\)"):
        Recognizer.wrap(Folding(), SPEC)
    network = Folding().eval()
    recognizer = Recognizer.wrap(network, SPEC, pathways=lambda clip: clip.transpose(1, 2))
    frames = recognizer.normalize(clips).unbind(2)
    torch.testing.assert_close(recognizer(clips), torch.stack([network.frames(frame) for frame in frames]).mean(0))
    assert Recognizer.wrap(Padding(), SPEC).num_classes == 7


@pytest.mark.filterwarnings("ignore:.*torch.jit:")
def test_programs_and_compiled_networks_say_what_to_wrap():
    traced = torch.jit.trace(Network().eval(), torch.rand(1, 3, 4, 8, 8))
    with pytest.raises(ConfigError, match=r"TorchScript program.*first argument of torch\.jit\.trace"):
        Recognizer.wrap(traced, SPEC)
    with pytest.raises(ConfigError, match=r"compiled.*`network\._orig_mod`"):
        Recognizer.wrap(torch.compile(Network()), SPEC)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.DataParallel(LinearHead()), r"DataParallel: wrap .* `network\.module`"),
        (nn.Linear(4, 2), r"clip \(1, 3, 4, 8, 8\).*RuntimeError"),
        (PerFrame(), r"makes \(1, 4, 7\) of one clip"),
        (Network().half(), r"weights are float16.*wrap `network\.float\(\)`"),
        (Network().double(), r"weights are float64"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 8 * 8, 1)), r"one number .* two classes or more"),
        (FirstAxis(lambda clip: clip.transpose(1, 2)), r"\(N, T, C, H, W\).*lambda clip: clip\.transpose\(1, 2\)\)"),
        (
            FirstAxis(lambda clip: clip.permute(0, 4, 1, 2, 3)),
            r"\(N, T, H, W, C\).*lambda clip: clip\.permute\(0, 2, 3, 4, 1\)\)",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 7)),
            r"takes single frames",
        ),
        (Answer(SimpleNamespace(logits=torch.zeros(1, 7))), r"a SimpleNamespace and not a tensor.*output\.logits\)"),
        (Answer([torch.zeros(1, 7)]), r"makes a list of one clip"),
        (InPlacePathways(), r"fails on a clip"),
    ],
    ids=[
        *("data parallel", "not for clips", "frames", "half", "double", "one logit"),
        *("time first", "channels last", "single frames", "an object", "a list", "pathways"),
    ],
)
def test_what_cannot_be_wrapped_says_why(network, message):
    with pytest.raises(ConfigError, match=message):
        Recognizer.wrap(network, SPEC)


def test_a_user_s_own_network_on_rgb_and_flow():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(7, 5)

        def forward(self, clip):
            return self.fc(clip.mean((2, 3, 4)))

    spec = ClipSpec(
        num_frames=4,
        sampling_rate=1,
        crop_size=16,
        test_crop_size=16,
        short_side=16,
        modality="rgb+flow",
        mean=(0.5,) * 7,
        std=(0.5,) * 7,
    )
    assert Recognizer.wrap(Network(), spec).head_name == "fc"
    with pytest.raises(ConfigError, match=r"3 \+ 2k.*there are 6 means"):
        spec.replace(mean=(0.5,) * 6)


class Branching(nn.Module):
    """Layers that change their input in place, a named tuple, and a head that does not run."""

    class Halves(NamedTuple):
        low: torch.Tensor
        high: torch.Tensor

    class Split(nn.Module):
        def forward(self, maps):
            return Branching.Halves(maps[:, :2], maps[:, 2:])

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv3d(3, 4, 1), nn.ReLU(inplace=True)
        self.split, self.auxiliary, self.proj = self.Split(), nn.Linear(2, 7), nn.Linear(2, 7)

    def forward(self, clip):
        halves = self.split(self.relu(self.conv(clip)))
        sums = halves.low.add_(halves.high).mean(dim=(2, 3, 4))
        logits = self.proj(sums)
        sums.zero_()
        return logits


@pytest.mark.parametrize("inference", [True, False])
def test_features_are_as_their_module_gave_them_whatever_works_in_place_later(clips, inference):
    recognizer = Recognizer(Branching(), clip_spec=SPEC, head="proj")
    with torch.inference_mode(inference):
        found = recognizer.outputs(clips, ("conv", "split", "embedding")).features
        expected = recognizer.module.conv(recognizer.normalize(clips))
    torch.testing.assert_close(found["conv"], expected)
    assert expected.min() < 0
    low, high = expected.relu().split(2, dim=1)
    assert isinstance(found["split"], Branching.Halves)
    torch.testing.assert_close(found["split"].low, low)
    torch.testing.assert_close(found["embedding"], (low + high).mean(dim=(2, 3, 4)))


def test_features_of_named_tuples_are_cut_and_joined(clips):
    outputs = Recognizer(Branching(), clip_spec=SPEC, head="proj").outputs(clips, ("split",))
    joined = Outputs.cat([outputs[:1], outputs[1:]]).features["split"]
    assert torch.equal(joined.high, outputs.features["split"].high)


@pytest.mark.parametrize(("head", "feature"), [("proj", "auxiliary"), ("auxiliary", "embedding")])
def test_a_module_that_does_not_run_has_no_feature(clips, head, feature):
    recognizer = Recognizer(Branching(), clip_spec=SPEC, head=head)
    with pytest.raises(ConfigError, match="forward did not call the inner module 'auxiliary'"):
        recognizer.outputs(clips, (feature,))
