"""Rev2Net: its equations by hand, its decoders, its training steps."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from pvbias.distributed import get_rank, get_world_size
from pvbias.engine import CrossEntropy, Step, launch
from pvbias.engine.checkpoint import resume, save_checkpoint
from pvbias.engine.solver import build_optimizer
from pvbias.errors import ConfigError
from pvbias.models import Recognizer
from pvbias.plugins.rev2net import (
    Decoded,
    FlowDecoder,
    FrameDecoder,
    Rev2Net,
    add_config,
    frobenius,
    gaussian_divergence,
    low_level_discrepancy,
)
from pvbias.registries import DECODER

from ...engine.toys import CLASSES, SPEC, FakeLoader, make_cfg, make_trainer, weights


class Encoder(nn.Module):
    """Clips of 4 frames of 8 x 8 pixels -> ``low`` (16, 2, 2, 2) -> logits."""

    def __init__(self, dropout):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2)), nn.BatchNorm3d(8), nn.ReLU())
        self.low = nn.Sequential(nn.Conv3d(8, 16, 3, 2, 1), nn.BatchNorm3d(16), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(16, CLASSES)

    def forward(self, clip):
        return self.proj(self.dropout(self.low(self.stem(clip)).mean((2, 3, 4))))


def make_recognizer(*, dropout=0.0, spec=SPEC):
    torch.manual_seed(0)
    return Recognizer(Encoder(dropout), clip_spec=spec, head="proj")


def rev2net_cfg(output_dir, *overrides):
    cfg = make_cfg(output_dir)
    add_config(cfg)
    basic = ["REV2NET.CHANNELS", [4, 4], "REV2NET.LATENT", 3]
    cfg.merge_from_list([*basic, *overrides])
    return cfg


def make_step(recognizer, epoch=0.0, clips=4, which=slice(None)):
    torch.manual_seed(1)
    return Step(
        clips=torch.rand(clips, 3, 4, 8, 8)[which],
        labels=(torch.arange(clips) % CLASSES)[which],
        recognizer=recognizer,
        epoch=epoch,
        names=[f"{n}.mp4" for n in range(clips)][which],
        tracks={"flow": torch.randn(clips, 2, 4, 8, 8)[which]},
        features=("low", "embedding"),
    )


def losses(objective, step):
    (only,) = objective.phases()
    return only.loss(step)


class FlowLoader(FakeLoader):
    """With optical flow."""

    def epoch(self, *position):
        for batch in super().epoch(*position):
            yield dataclasses.replace(batch, tracks={"flow": batch.clips[:, :2].float() / 50})


@pytest.fixture
def watching():
    """The registry of decoders, for a while."""
    restore = DECODER.snapshot()
    yield DECODER
    restore()


# ---------------------------------------------------------------- eq. 1 to 3


def test_frobenius_by_hand():
    difference = torch.zeros(2, 1, 2, 1, 2)
    difference[0, 0, 0, 0] = torch.tensor([3.0, 4.0])  # 5
    difference[1] = 1.0  # 2
    assert frobenius(difference).item() == pytest.approx(3.5)
    assert frobenius(difference, rms=True).item() == pytest.approx((math.sqrt(25 / 4) + 1) / 2)


def test_the_norms_gradient_has_length_one_for_each_clip_and_is_zero_at_zero():
    difference = torch.randn(3, 2, 4, 5, 5)
    difference[2] = 0
    difference.requires_grad_()
    (3 * frobenius(difference)).backward()
    lengths = difference.grad.flatten(1).norm(dim=1)
    assert lengths.tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)


def test_eq_1_by_hand():
    """Two layers, their norms 5 and 2."""
    zeros = torch.zeros(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 2, 2)
    others = torch.tensor([3.0, 4.0]).view(1, 1, 1, 1, 2), torch.ones(1, 1, 1, 2, 2)
    flow, frames = (Decoded(torch.zeros(1), hidden) for hidden in (zeros, others))
    assert low_level_discrepancy(flow, frames).item() == pytest.approx(7.0)
    assert low_level_discrepancy(frames, frames).item() == 0.0


def test_eq_2_by_hand():
    """KL(N(0, 1) || N(1, 1)) = 1/2; KL(N(0, 1) || N(0, 4)) = ln 2 - 3/8; dimensions add up, clips are averaged."""
    zero, one, four = torch.zeros(2, 2), torch.ones(2, 2), torch.full((2, 2), math.log(4.0))
    assert gaussian_divergence(zero, zero, one, zero).item() == pytest.approx(2 * 0.5)
    assert gaussian_divergence(zero, zero, zero, four).item() == pytest.approx(2 * (math.log(2) - 3 / 8), abs=1e-6)
    half = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert gaussian_divergence(zero, zero, half, zero).item() == pytest.approx(0.5)
    assert gaussian_divergence(one, four, one, four).item() == 0.0


def test_eq_2_against_torch():
    torch.manual_seed(0)
    means, scales = torch.randn(2, 5, 7), torch.rand(2, 5, 7) + 0.1
    first, second = (torch.distributions.Normal(m, s) for m, s in zip(means, scales, strict=True))
    expected = torch.distributions.kl_divergence(first, second).sum(1).mean()
    logs = 2 * scales.log()
    found = gaussian_divergence(means[0], logs[0], means[1], logs[1])
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_eq_2_samples_have_the_standard_deviation_of_their_gaussian_and_are_each_tasks_own(tmp_path, watching):
    """N(3, 4) for the flow and N(-1, 4) for the frames, spread over the map that a decoder sees."""
    seen = {}

    def build(task):
        def made(cfg, feature_shape, clip_shape):
            decoder = (FlowDecoder if task == "flow" else FrameDecoder)(
                feature_shape[0], factor=(2, 4), channels=4 if task == "flow" else (4, 4)
            )
            decoder.register_forward_pre_hook(lambda _, args: seen.update({task: args[0].detach()}))
            return decoder

        return made

    for task in ("flow", "frames"):
        watching.register(build(task), name=f"watched_{task}")
    recognizer = make_recognizer()
    keys = ["REV2NET.FLOW_DECODER_NAME", "watched_flow", "REV2NET.FRAME_DECODER_NAME", "watched_frames"]
    objective = Rev2Net(rev2net_cfg(tmp_path, *keys), recognizer)
    raw = 5 * math.atanh(math.log(4.0) / 5)  # the logarithm of a variance is bounded by 5
    for task, mean in (("flow", 3.0), ("frames", -1.0)):
        gaussian = objective.gaussians[task]
        for layer, value in ((gaussian.mean, mean), (gaussian.log_variance, raw), (gaussian.spread, 0.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, value)
        spread = gaussian.spread.weight.data.view(16, -1, 3)
        spread[:3] = torch.eye(3)[:, None]  # each of three channels is one of the latents
    losses(objective, make_step(recognizer, clips=400))
    latents = {task: features[:, 16:19].mean((2, 3, 4)) for task, features in seen.items()}  # behind the 16 tapped
    for task, mean in (("flow", 3.0), ("frames", -1.0)):
        assert latents[task].mean().item() == pytest.approx(mean, abs=0.25)
        assert latents[task].std().item() == pytest.approx(2.0, abs=0.2)  # 0.04 is its own, of 1200 values
    both = torch.stack([latents["flow"].flatten(), latents["frames"].flatten()])
    assert abs(torch.corrcoef(both)[0, 1].item()) < 0.15


def test_eq_3_is_the_sum_of_its_terms(tmp_path):
    recognizer = make_recognizer()
    keys = ["REV2NET.ALPHA", 0.5, "REV2NET.BETA", 0.25, "REV2NET.LAMBDA_FLOW", 3.0, "REV2NET.LAMBDA_FRAMES", 2.0]
    values = losses(Rev2Net(rev2net_cfg(tmp_path, *keys), recognizer), make_step(recognizer))
    expected = values["classification"] + 0.5 * values["high_level"] + 0.25 * values["low_level"]
    expected = expected + 3 * values["flow"] + 2 * values["frames"]
    assert values["loss"].item() == pytest.approx(expected.item())


def test_decoders_learn_at_a_rate_of_their_own(tmp_path):
    recognizer = make_recognizer()
    objective = Rev2Net(rev2net_cfg(tmp_path, "REV2NET.LR_FACTOR", 2.5), recognizer)
    (phase,) = objective.phases()
    optimizer = build_optimizer(phase.solver, phase.modules, phase.lr_factors)
    found = {id(parameter): group["lr_factor"] for group in optimizer.param_groups for parameter in group["params"]}
    theirs = {id(parameter) for parameter in recognizer.parameters()}
    assert {found[each] for each in theirs} == {1.0}
    assert {factor for each, factor in found.items() if each not in theirs} == {2.5}


def test_what_is_compared_with_what(tmp_path):
    """Decoders whose last layers are silent predict no motion, and 1/2 everywhere."""
    recognizer = make_recognizer()
    objective = Rev2Net(rev2net_cfg(tmp_path), recognizer)
    for last in (
        objective.decoders["flow"].last,
        objective.decoders["frames"].last,
        objective.decoders["frames"].background,
    ):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    step = make_step(recognizer)
    target = step.tracks["flow"].zero_()
    target[:, 0], target[:, 1] = 3.0, -4.0
    values = losses(objective, step)
    assert values["zero_flow_epe"].item() == pytest.approx(5.0)
    assert values["flow_epe"].item() == pytest.approx(5.0)
    assert values["flow"].item() == pytest.approx(5 * math.sqrt(4 * 8 * 8))
    expected = [math.sqrt(((clip - 0.5) ** 2).sum()) for clip in step.clips.double()]
    assert values["frames"].item() == pytest.approx(sum(expected) / 4, rel=1e-4)


def test_the_target_is_the_reversed_clip(tmp_path):
    """A frame decoder that knows the answer has no loss, whatever it sees."""
    recognizer = make_recognizer()
    objective = Rev2Net(rev2net_cfg(tmp_path, "REV2NET.FLOW_DECODER", False), recognizer)
    step = make_step(recognizer)
    backwards = torch.stack([step.clips[:, :, time] for time in (3, 2, 1, 0)], dim=2)
    objective.decoders["frames"].forward = lambda features: Decoded(backwards, ())
    assert losses(objective, step)["frames"].item() == 0.0


# ---------------------------------------------------------------- decoders


@pytest.mark.parametrize("space", [2, 4, 8, 16])
@pytest.mark.parametrize("time", [1, 2, 4])
def test_decoders_reach_the_clips_size_and_share_a_shape(time, space):
    features = torch.randn(1, 6, 2, 3, 2)
    flow = FlowDecoder(6, factor=(time, space), channels=5)(features)
    frames = FrameDecoder(6, factor=(time, space), channels=(5, 4))(features)
    assert flow.prediction.shape == (1, 2, 2 * time, 3 * space, 2 * space)
    assert frames.prediction.shape == (1, 3, 2 * time, 3 * space, 2 * space)
    assert [hidden.shape for hidden in flow.hidden] == [hidden.shape for hidden in frames.hidden]
    assert 0 <= frames.prediction.min() <= frames.prediction.max() <= 1


def test_the_papers_layers():
    def convolutions(decoder, kind):
        return sum(isinstance(layer, kind) for layer in decoder.modules())

    flow = FlowDecoder(6, factor=(2, 4), channels=5)
    frames = FrameDecoder(6, factor=(2, 4), channels=(5, 5))
    assert [convolutions(flow, kind) for kind in (nn.ConvTranspose3d, nn.Conv3d)] == [2, 0]
    assert [convolutions(frames, kind) for kind in (nn.ConvTranspose3d, nn.Conv3d)] == [3, 1]


@pytest.mark.parametrize("time", [1, 2, 4])
def test_hidden_features_of_the_same_moment_are_compared(time):
    """With the same kernels, mirrored in time, both decoders have the same hidden features."""
    flow = FlowDecoder(6, factor=(time, 4), channels=5)
    frames = FrameDecoder(6, factor=(time, 4), channels=(5, 5))
    frames.first.weight.data = flow.first.weight.data.flip(2)
    frames.first.bias.data = flow.first.bias.data
    features = torch.randn(2, 6, 4, 2, 2)
    assert low_level_discrepancy(flow(features), frames(features)).item() < 1e-4


def test_without_its_flip_the_frame_decoder_reads_the_map_in_order():
    """With the same kernels, not mirrored, both decoders have the same hidden features."""
    flow = FlowDecoder(6, factor=(2, 4), channels=5)
    frames = FrameDecoder(6, factor=(2, 4), channels=(5, 5), flip=False)
    frames.first.load_state_dict(flow.first.state_dict())
    features = torch.randn(2, 6, 4, 2, 2)
    torch.testing.assert_close(frames(features).hidden[0], flow(features).hidden[0])


def test_where_the_mask_is_shut_the_background_stands_still():
    frames = FrameDecoder(6, factor=(2, 4), channels=(5, 5))
    with torch.no_grad():
        frames.last.bias[3] = -100.0
        shown = frames(torch.randn(2, 6, 4, 2, 2)).prediction
    assert torch.equal(shown, shown[:, :, :1].expand_as(shown))
    assert shown.std() > 0


# ---------------------------------------------------------------- parts and ablations


ABLATIONS = {
    "full": ([], {"flow", "frames"}, {"low_level", "high_level"}),
    "without frame decoder": (["REV2NET.FRAME_DECODER", False], {"flow"}, set()),
    "without flow decoder": (["REV2NET.FLOW_DECODER", False], {"frames"}, set()),
    "without penalty": (["REV2NET.LOW_LEVEL", False, "REV2NET.HIGH_LEVEL", False], {"flow", "frames"}, set()),
    "low only": (["REV2NET.HIGH_LEVEL", False], {"flow", "frames"}, {"low_level"}),
    "high only": (["REV2NET.LOW_LEVEL", False], {"flow", "frames"}, {"high_level"}),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations(name, tmp_path):
    keys, tasks, penalties = ABLATIONS[name]
    recognizer = make_recognizer().train()
    objective = Rev2Net(rev2net_cfg(tmp_path, *keys), recognizer).train()
    step = make_step(recognizer)
    assert ("flow" in objective.needs.tracks) == ("flow" in tasks)
    if "flow" not in objective.needs.tracks:
        step.tracks.clear()
    values = losses(objective, step)
    logged = {"loss", "classification", "top1"} | tasks | penalties
    assert set(values) == logged | ({"flow_epe", "zero_flow_epe"} if "flow" in tasks else set())
    values["loss"].backward()
    assert set(objective.decoders) == tasks
    assert bool(objective.gaussians) == ("high_level" in penalties)
    trained = [*objective.parameters(), *recognizer.parameters()]
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained)
    made = objective.decode(step.clips)
    assert (made.flow is not None, made.frames is not None) == ("flow" in tasks, "frames" in tasks)


@pytest.mark.parametrize("term", ["flow", "frames", "low_level", "high_level"])
def test_where_gradients_go(term, tmp_path):
    recognizer = make_recognizer().train()
    objective = Rev2Net(rev2net_cfg(tmp_path), recognizer).train()
    losses(objective, make_step(recognizer))[term].backward()

    def reached(module):
        return any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())

    assert reached(recognizer.module.low)
    assert not reached(recognizer.module.proj)
    other = {"flow": "frames", "frames": "flow"}.get(term)
    for task in ("flow", "frames"):
        assert reached(objective.decoders[task]) == (term != "high_level" and task != other)
        assert reached(objective.gaussians[task].mean) == (task != other)
        assert reached(objective.gaussians[task].log_variance) == (task != other)


def test_with_weights_of_zero_it_is_cross_entropy_bit_for_bit(tmp_path):
    """With dropout and BatchNorm: random numbers and statistics are the same, too."""
    states = []
    zeros = [(f"REV2NET.{key}", 0.0) for key in ("ALPHA", "BETA", "LAMBDA_FLOW", "LAMBDA_FRAMES")]
    for chosen in (CrossEntropy, Rev2Net):
        recognizer = make_recognizer(dropout=0.5)
        cfg = rev2net_cfg(tmp_path, *(item for pair in zeros for item in pair))
        make_trainer(cfg, recognizer, chosen, FlowLoader(3)).train()
        states.append(recognizer.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_decoders_that_are_cut_off_train_no_recognizer(tmp_path):
    """It is trained with cross-entropy bit for bit; decoders and Gaussians learn."""
    states = []
    for chosen in (CrossEntropy, Rev2Net):
        recognizer = make_recognizer(dropout=0.5)
        trainer = make_trainer(rev2net_cfg(tmp_path, "REV2NET.DETACHED", True), recognizer, chosen, FlowLoader(3))
        before = weights(trainer.objective) if chosen is Rev2Net else None
        trainer.train()
        states.append(recognizer.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (weights(trainer.objective) != before).float().mean() > 0.9


def test_decoders_that_are_cut_off_have_no_part_in_a_norm_that_is_clipped(tmp_path):
    """The recognizer's steps would be shorter by what the decoders' gradients are."""
    cfg = rev2net_cfg(tmp_path, "REV2NET.DETACHED", True, "SOLVER.CLIP_GRAD_L2NORM", 0.5)
    with pytest.raises(ConfigError, match=r"REV2NET\.DETACHED = True does not go with SOLVER\.CLIP_GRAD_L2NORM"):
        Rev2Net(cfg, make_recognizer())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["FLOW_DECODER", False, "REV2NET.FLOW_TARGET", "zero"], "FLOW_TARGET = 'zero' must be one of"),
        (["FRAME_DECODER", False, "REV2NET.FLIP", False], "FLIP = False is for the frame decoder"),
    ],
)
def test_controls_take_the_decoder_that_they_change(keys, said, tmp_path):
    keys[0] = f"REV2NET.{keys[0]}"
    with pytest.raises(ConfigError, match=rf"REV2NET\.{said}"):
        Rev2Net(rev2net_cfg(tmp_path, *keys), make_recognizer())


@pytest.mark.parametrize("kind", ["zero", "shuffled", "delayed"])
def test_the_flow_decoder_learns_a_controls_target(kind, tmp_path):
    """A decoder that says what the control asks for has no loss, and the log measures against it, too."""
    objective = Rev2Net(rev2net_cfg(tmp_path, "REV2NET.FLOW_TARGET", kind), recognizer := make_recognizer())
    step = make_step(recognizer)
    flow = step.tracks["flow"]
    asked = {
        "zero": torch.zeros(4, 2, 4, 8, 8),
        "shuffled": flow[[3, 0, 1, 2]],
        "delayed": flow[:, :, [2, 3, 0, 1]],
    }[kind]
    hidden = objective.decoders["flow"].forward
    objective.decoders["flow"].forward = lambda features: Decoded(asked, hidden(features).hidden)
    found = losses(objective, step)
    assert found["flow"] == found["flow_epe"] == 0
    torch.testing.assert_close(found["zero_flow_epe"], asked.norm(dim=1).mean())
    assert f"the optical flow to predict is {kind}" in objective.description


def test_another_clips_flow_takes_another_clip(tmp_path):
    objective = Rev2Net(rev2net_cfg(tmp_path, "REV2NET.FLOW_TARGET", "shuffled"), recognizer := make_recognizer())
    with pytest.raises(ConfigError, match=r"'shuffled' takes mini-batches of 2 clips or more"):
        losses(objective, make_step(recognizer, which=slice(1)))


def test_samples_change_from_step_to_step_and_not_with_the_batch(tmp_path):
    recognizer = make_recognizer().eval()
    objective = Rev2Net(rev2net_cfg(tmp_path), recognizer).eval()

    def flow_loss(epoch, which=slice(None)):
        return losses(objective, make_step(recognizer, epoch, which=which))["flow"].item()

    assert flow_loss(0.5) == flow_loss(0.5) != flow_loss(0.75)
    assert (flow_loss(0.5, slice(2)) + flow_loss(0.5, slice(2, 4))) / 2 == pytest.approx(flow_loss(0.5), rel=1e-5)


def test_decode_leaves_everything_as_it_was(tmp_path):
    recognizer = make_recognizer(dropout=0.5).train()
    objective = Rev2Net(rev2net_cfg(tmp_path), recognizer).train()
    recognizer.module.stem.eval()
    both = nn.ModuleList([recognizer, objective])
    before = {name: value.clone() for name, value in both.state_dict().items()}
    modes = [module.training for module in both.modules()]
    clips = torch.randint(0, 256, (2, 3, 4, 8, 8), dtype=torch.uint8)
    first, again = objective.decode(clips), objective.decode(clips.float() / 255)
    torch.testing.assert_close(first, again)
    assert first.flow.shape == (2, 2, 4, 8, 8)
    assert first.frames.shape == (2, 3, 4, 8, 8)
    assert [module.training for module in both.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in both.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ALPHA", -0.1),
        ("LAMBDA_FLOW", -1.0),
        ("NORM", "l2"),
        ("CHANNELS", [8]),
        ("CHANNELS", [8, 0]),
        ("LATENT", 0),
    ],
)
def test_values_that_make_no_sense(key, value, tmp_path):
    with pytest.raises(ConfigError, match=rf"REV2NET\.{key} = .* must"):
        Rev2Net(rev2net_cfg(tmp_path, f"REV2NET.{key}", value), make_recognizer())


def test_nothing_to_decode(tmp_path):
    cfg = rev2net_cfg(tmp_path, "REV2NET.FLOW_DECODER", False, "REV2NET.FRAME_DECODER", False)
    with pytest.raises(ConfigError, match=r"OBJECTIVE\.NAME CrossEntropy"):
        Rev2Net(cfg, make_recognizer())


# ---------------------------------------------------------------- trainings


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    def trainer(folder):
        cfg = rev2net_cfg(folder, "SOLVER.MAX_EPOCH", 3.0, "SOLVER.LR_POLICY", "cosine")
        recognizer = make_recognizer(dropout=0.5)
        torch.manual_seed(5)
        return make_trainer(cfg, recognizer, Rev2Net, FlowLoader(2))

    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "parts")
    first.max_epochs = 1  # stopped after one of three epochs
    first.train()
    save_checkpoint(first)
    second = trainer(tmp_path / "parts")
    assert resume(second) is not None
    second.train()
    for a, b in ((whole.recognizer, second.recognizer), (whole.objective, second.objective)):
        assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())
    saved = torch.load(sorted((tmp_path / "parts").rglob("*.pyth"))[-1], weights_only=True)
    parts = {name.split(".")[0] for name in saved["objective_state"]}
    assert parts == {"decoders", "gaussians"}
    assert set(saved["model_state"]) == set(Encoder(0.0).state_dict())


def test_the_trained_network_alone_gives_the_same_logits(tmp_path):
    recognizer = make_recognizer(dropout=0.5)
    trainer = make_trainer(rev2net_cfg(tmp_path), recognizer, Rev2Net, FlowLoader(2))
    trainer.train()
    bare = Encoder(0.5)
    bare.load_state_dict(recognizer.module.state_dict(), strict=True)
    clips = torch.rand(2, 3, 4, 8, 8)
    alone = Recognizer(bare, clip_spec=SPEC, head="proj").eval()
    torch.testing.assert_close(alone(clips), recognizer.eval()(clips), rtol=0, atol=1e-6)


def train_once(cfg):
    recognizer = make_recognizer()
    loader = FlowLoader(2, rank=get_rank(), world_size=get_world_size())
    trainer = make_trainer(cfg, recognizer, Rev2Net, loader)
    trainer.train()
    path = Path(cfg.OUTPUT_DIR) / f"weights_{get_rank()}.pt"
    torch.save(weights(nn.ModuleList([recognizer, trainer.objective])), path)


def test_two_processes_train_the_same_decoders(tmp_path):
    cfg = rev2net_cfg(tmp_path)
    cfg.NUM_GPUS = 2
    launch(train_once, cfg)
    first, second = (torch.load(tmp_path / f"weights_{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)


def moving_scenes(generator, count=8, size=16):
    """Bright squares of half the width on dark noise; everything goes 2 pixels a frame to the right, to the left or
    down."""
    labels = torch.randint(0, 3, (count,), generator=generator)
    motions = torch.tensor([[2, 0], [-2, 0], [0, 2]])[labels]
    scenes = torch.rand(count, 3, size, size, generator=generator) * 0.2
    scenes[:, :, : size // 2, : size // 2] = 0.9
    starts = torch.randint(0, size, (count, 2), generator=generator)
    clips = torch.stack(
        [
            torch.stack([scene.roll((int(y + v * t), int(x + u * t)), (1, 2)) for t in range(4)], dim=1)
            for scene, (x, y), (u, v) in zip(scenes, starts, motions, strict=True)
        ]
    )
    return clips, motions.float()[:, :, None, None, None].expand(-1, -1, 4, size, size), labels


def test_the_decoders_learn(tmp_path):
    spec = SPEC.replace(crop_size=16, test_crop_size=16, short_side=16)
    recognizer = make_recognizer(spec=spec).train()
    keys = ["REV2NET.CHANNELS", [16, 16], "REV2NET.LAMBDA_FLOW", 0.15]
    objective = Rev2Net(rev2net_cfg(tmp_path, *keys), recognizer).train()
    (phase,) = objective.phases()
    optimizer = torch.optim.Adam([*objective.parameters(), *recognizer.parameters()], 0.02)
    generator = torch.Generator().manual_seed(0)
    for number in range(140):
        clips, flow, labels = moving_scenes(generator)
        names = [str(index) for index in range(len(clips))]
        step = Step(
            clips=clips,
            labels=labels,
            recognizer=recognizer,
            epoch=number / 10,
            names=names,
            tracks={"flow": flow},
            features=objective.needs.features,
        )
        optimizer.zero_grad()
        phase.loss(step)["loss"].backward()
        optimizer.step()
    clips, flow, _ = moving_scenes(generator)
    made = objective.decode(clips)
    assert (made.flow - flow).norm(dim=1).mean() < 0.5 * flow.norm(dim=1).mean()
    constant = clips.mean()
    assert (made.frames - clips.flip(2)).square().mean() < 0.4 * (clips - constant).square().mean()
