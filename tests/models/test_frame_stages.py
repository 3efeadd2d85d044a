"""Leading stages that see one frame at a time: which are, and that the way in two parts is the whole way."""

import copy

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec, Freeze, slow_fast_pathways
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.models.batch_norm import freeze_running_stats

SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)


class Staged(nn.Module):
    """Stages one after another, then a projection of the mean over all positions."""

    class Head(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.proj = nn.Linear(width, 5)

        def forward(self, features):
            return self.proj(features.mean((2, 3, 4)))

    def __init__(self, *stages, width=4):
        super().__init__()
        self.blocks = nn.ModuleList([*stages, self.Head(width)])

    def forward(self, clip):
        for block in self.blocks:
            clip = block(clip)
        return clip


def spatial(channels=3, width=4):
    return nn.Sequential(
        nn.Conv3d(channels, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)), nn.BatchNorm3d(width), nn.ReLU()
    )


def temporal(width=4):
    return nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0))


def staged(*stages, width=4):
    return Recognizer(Staged(*stages, width=width), clip_spec=SPEC, head=f"blocks.{len(stages)}.proj", stages="blocks")


def two_spatial_stages():
    torch.manual_seed(0)
    return staged(spatial(), spatial(4, 4), temporal())


def clips(num_clips=3):
    return torch.rand(num_clips, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


class Mixing(nn.Sequential):
    """Layers that see one frame at a time, and a forward that does not; hidden behind a factor of zero at first."""

    def __init__(self):
        super().__init__(nn.Conv3d(3, 3, 1))
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, clip):
        return super().forward(clip) + self.scale * clip.mean(2, keepdim=True)


class OneFrame(nn.Sequential):
    """Keeps the first frame only."""

    def forward(self, clip):
        return super().forward(clip)[:, :, :1]


@pytest.mark.parametrize(
    "stage",
    [
        nn.Conv3d(3, 3, 1),
        nn.Conv3d(3, 3, (1, 5, 3), stride=(1, 2, 1), padding=(0, 2, 0), groups=3),
        nn.Conv3d(3, 3, (1, 3, 3), padding="same"),
        nn.Sequential(nn.BatchNorm3d(3), nn.SiLU(), nn.Identity()),
        nn.SyncBatchNorm(3),
        nn.MaxPool3d(1),
        nn.MaxPool3d((1, 2, 2)),
        nn.AvgPool3d((1, 3, 3), stride=1, padding=(0, 1, 1)),
    ],
    ids=str,
)
def test_stages_that_see_one_frame_at_a_time(stage):
    assert staged(stage, width=3).num_frame_stages == 1


@pytest.mark.parametrize(
    "stage",
    [
        nn.Conv3d(3, 3, (3, 1, 1), padding=(1, 0, 0)),
        nn.Conv3d(3, 3, 1, stride=(2, 1, 1)),
        nn.Conv3d(3, 3, 1, padding=(1, 0, 0)),
        nn.MaxPool3d(2),
        nn.MaxPool3d((1, 2, 2), stride=2),
        nn.AvgPool3d((2, 1, 1), stride=1),
        nn.AdaptiveAvgPool3d(1),
        nn.Sequential(nn.Conv3d(3, 3, 1), nn.Dropout(0.5)),
        nn.Sequential(nn.Conv3d(3, 3, 1), nn.InstanceNorm3d(3)),
        nn.Conv2d(3, 3, 1),
        Mixing(),
        OneFrame(nn.Conv3d(3, 3, 1)),
    ],
    ids=str,
)
def test_stages_that_do_not(stage):
    assert staged(stage, spatial(), width=4).num_frame_stages == 0


def test_counting_stops_at_the_first_that_does_not():
    assert two_spatial_stages().num_frame_stages == 2
    assert staged(spatial(), temporal(), spatial(4, 4)).num_frame_stages == 1


def test_stages_that_small_frames_do_not_go_through_are_not_counted():
    assert staged(spatial(), nn.MaxPool3d((1, 9, 9))).num_frame_stages == 1


@pytest.mark.parametrize("inference", [False, True])
def test_counting_changes_nothing(inference):
    recognizer = two_spatial_stages().train()
    recognizer.module.blocks[1].eval()
    calls = []
    recognizer.module.blocks[0].register_forward_hook(lambda *call: calls.append(call))
    before, modes = copy.deepcopy(recognizer.state_dict()), [module.training for module in recognizer.modules()]
    generator_state = torch.get_rng_state()
    with torch.inference_mode(inference):
        assert recognizer.num_frame_stages == 2
    assert torch.equal(torch.get_rng_state(), generator_state)
    assert not calls
    assert [module.training for module in recognizer.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in recognizer.state_dict().items())
    assert all(parameter.grad is None for parameter in recognizer.parameters())


def test_an_unknown_list_of_stages_names_the_near_ones():
    recognizer = Recognizer(Staged(spatial(), temporal()), clip_spec=SPEC, head="blocks.2.proj", stages="bloks")
    with pytest.raises(ConfigError, match=r"no inner module 'bloks'.*'blocks'"):
        recognizer.frame_features(clips())


@pytest.mark.parametrize("training", [True, False])
def test_two_parts_are_the_whole_way(training):
    recognizer = two_spatial_stages().train(training)
    features = recognizer.frame_features(clips())
    assert features.shape == (3, 4, 4, 2, 2)
    assert torch.equal(recognizer.classify_features(features), recognizer(clips()))


def test_a_module_of_several_pathways_has_no_such_stages_but_the_same_two_parts():
    class TwoPathways(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow, self.fast, self.proj = nn.Conv3d(3, 4, 1), nn.Conv3d(3, 4, 3), nn.Linear(8, 5)

        def forward(self, paths):
            slow, fast = self.slow(paths[0]).mean((2, 3, 4)), self.fast(paths[1]).mean((2, 3, 4))
            return self.proj(torch.cat([slow, fast], dim=1))

    recognizer = Recognizer(TwoPathways(), clip_spec=SPEC, head="proj", pathways=slow_fast_pathways(alpha=2))
    assert recognizer.num_frame_stages == 0
    assert torch.equal(recognizer.frame_features(clips()), recognizer.normalize(clips()))
    assert torch.equal(recognizer.classify_features(recognizer.frame_features(clips())), recognizer(clips()))
    frozen = Freeze()(clips(), [0] * 3)
    assert torch.equal(recognizer.frozen_logits(clips(), torch.full((3,), 2)), recognizer(frozen))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("training", [True, False])
def test_frozen_logits_are_those_of_the_frozen_clips(layout, training):
    """In training mode, too: each channel's mean and variance over a repeated frame are the frame's own."""
    recognizer = two_spatial_stages().train(training)
    given, frames = clips().contiguous(memory_format=layout), torch.tensor([3, 0, 2])
    repeated = torch.stack([clip[:, [frame] * 4] for clip, frame in zip(given, frames, strict=True)])
    seen = []
    recognizer.module.blocks[1].register_forward_hook(lambda *call: seen.append(call[2].shape[2]))
    with freeze_running_stats(recognizer):
        torch.testing.assert_close(recognizer.frozen_logits(given, frames), recognizer(repeated))
    assert seen == [1, 4]


def test_gradients_of_frozen_logits_are_those_of_the_frozen_clips():
    recognizer, frames = two_spatial_stages().train(), torch.tensor([3, 0, 2])
    repeated = torch.stack([clip[:, [frame] * 4] for clip, frame in zip(clips(), frames, strict=True)])
    gradients = []
    for logits in (recognizer.frozen_logits(clips(), frames), recognizer(repeated)):
        # The convolutions' shifts are left out: BatchNorm takes them back, and their gradients are rounding.
        weights = [value for value in recognizer.parameters() if value.dim() > 1]
        gradients.append(torch.autograd.grad(logits.square().sum(), weights))
    for some, others in zip(*gradients, strict=True):
        torch.testing.assert_close(some, others, rtol=1e-4, atol=1e-5)


def test_taps_see_the_one_frame():
    recognizer = two_spatial_stages().eval()
    with recognizer.taps("blocks.1", "blocks.2") as features, torch.no_grad():
        recognizer.frozen_logits(clips(), torch.zeros(3, dtype=torch.int64))
    assert features["blocks.1"].shape == (3, 4, 1, 2, 2)
    assert features["blocks.2"].shape == (3, 4, 4, 2, 2)
