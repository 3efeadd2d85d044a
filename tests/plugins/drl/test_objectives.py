"""Dynamic representation learning: its losses and gradients against hand-derived ones, its attacks, its steps."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import pvbias.plugins.classic_models
import pvbias.plugins.pytorchvideo_zoo  # noqa: F401
from pvbias.config import load_cfg
from pvbias.distributed import all_gather_objects, get_rank, get_world_size
from pvbias.engine import CrossEntropy, Hook, Step, launch
from pvbias.engine.checkpoint import resume, save_checkpoint
from pvbias.errors import ConfigError
from pvbias.evaluation.divergence import divergence
from pvbias.plugins.drl import DRLAdversarial, DRLDistill, DRLFreeze, DRLShuffle, add_config
from pvbias.plugins.drl.attacks import fgsm, pgd
from pvbias.registries import STUDENT

from ...engine.toys import CLASSES, FakeLoader, make_cfg_with_student, make_trainer, tiny_recognizer, weights
from ..models import recognizer_of

ALL = [DRLAdversarial, DRLDistill, DRLFreeze, DRLShuffle]
WITH_STUDENT = ALL[:2]


class TinyStudent(nn.Module):
    """A linear classifier of each frame's 8 x 8 x 3 pixels, with dropout and BatchNorm if asked for."""

    def __init__(self, num_classes, *, norm=False, dropout=0.0):
        super().__init__()
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, clips):
        frames = self.norm(clips.transpose(1, 2).flatten(0, 1))
        logits = self.proj(self.dropout(frames.flatten(1))).unflatten(0, (len(clips), -1))
        return logits.log_softmax(2).logsumexp(1) - math.log(clips.shape[2])


@pytest.fixture(autouse=True, scope="module")
def students():
    STUDENT.register(lambda cfg, num_classes: TinyStudent(num_classes), name="tiny")
    STUDENT.register(lambda cfg, num_classes: TinyStudent(num_classes, norm=True, dropout=0.5), name="tiny_norm")
    yield
    for name in ("tiny", "tiny_norm"):
        STUDENT._obj_map.pop(name)
        STUDENT._origins.pop(name)


def drl_cfg(output_dir, *overrides):
    return make_cfg_with_student(output_dir, add_config, "tiny", *overrides)


def make_step(recognizer, seed=0, epoch=0.0):
    torch.manual_seed(seed)
    names = [f"{n}.mp4" for n in range(4)]
    labels = torch.tensor([0, 1, 2, 0])
    return Step(clips=torch.rand(4, 3, 4, 8, 8), labels=labels, recognizer=recognizer, epoch=epoch, names=names)


def phase(objective, name):
    return {phase.name: phase for phase in objective.phases()}[name]


# ---------------------------------------------------------------- eq. 3


def test_divergence_by_hand():
    p, q = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])
    # 1/2 ln 2 + 0 + 1/4 ln(1/2) = 1/4 ln 2; the other way round it is 1/4 ln(1/2) + 1/2 ln 2, too.
    assert divergence(p.log(), q.log()).tolist() == pytest.approx([math.log(2) / 4])
    sure = torch.tensor([[1.0 - 1e-7, 1e-7]])
    even = torch.tensor([[0.5, 0.5]])
    assert float(divergence(sure.log(), even.log())) == pytest.approx(math.log(2), abs=1e-5)
    assert float(divergence(even.log(), sure.log())) == pytest.approx(-math.log(2) - 0.5 * math.log(1e-7), abs=1e-4)
    assert float(divergence(p.log(), p.log())) == 0.0


def test_gradients_of_the_divergence():
    """d KL(p || q) / d logits of p = p (ln(p / q) - KL); d / d logits of q = q - p."""
    torch.manual_seed(0)
    a, b = (torch.randn(2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    score = divergence(a.log_softmax(1), b.log_softmax(1))
    score.sum().backward()
    p, q = a.detach().softmax(1), b.detach().softmax(1)
    assert torch.allclose(a.grad, p * ((p / q).log() - score.detach()[:, None]))
    assert torch.allclose(b.grad, q - p)


# ---------------------------------------------------------------- the recognizer's losses


def head_gradient(recognizer, loss):
    recognizer.zero_grad()
    loss.backward()
    return recognizer.head.bias.grad


def log_p_and_one_hot(recognizer, step):
    with torch.no_grad():
        return recognizer(step.clips).log_softmax(1), nn.functional.one_hot(step.labels, CLASSES).float()


def dynamic_gradient(log_p, one_hot, static, weight):
    """Of eq. 11 and 12 with respect to the head's bias: the mean over clips of that with respect to the logits."""
    p = log_p.exp()
    score = (p * (log_p - static)).sum(1, keepdim=True)
    return ((p - one_hot) - weight * p * (log_p - static - score)).mean(0)


def test_eq_11(tmp_path):
    recognizer = tiny_recognizer()
    objective = DRLDistill(drl_cfg(tmp_path, "DRL.LAMBDA", 0.7), recognizer)
    step = make_step(recognizer)
    with torch.no_grad():
        static = objective.student(step.clips)
    log_p, one_hot = log_p_and_one_hot(recognizer, step)
    values = phase(objective, "recognizer").loss(step)
    classification = -(one_hot * log_p).sum(1).mean()
    score = (log_p.exp() * (log_p - static)).sum(1).mean()
    assert values["loss"].item() == pytest.approx(float(classification - 0.7 * score))
    assert values["dynamic_score"].item() == pytest.approx(float(score))
    gradient = head_gradient(recognizer, values["loss"])
    assert torch.allclose(gradient, dynamic_gradient(log_p, one_hot, static, 0.7), atol=1e-6)


@pytest.mark.parametrize(("objective", "change"), [(DRLFreeze, "freeze"), (DRLShuffle, "shuffle")])
def test_eq_12(objective, change, tmp_path):
    recognizer = tiny_recognizer()
    seen = []
    recognizer.module.conv.register_forward_pre_hook(lambda _, inputs: seen.append(as_clips(recognizer, inputs[0])))
    step = make_step(recognizer)
    (only,) = objective(drl_cfg(tmp_path, "DRL.LAMBDA", 0.7, "DRL.FREEZE_FRAME", "middle"), recognizer).phases()
    values = only.loss(step)
    changed = next(clips for clips in seen if not torch.allclose(clips, step.clips, atol=1e-6))
    if change == "freeze":
        assert torch.allclose(changed, step.clips[:, :, 2:3].expand_as(changed), atol=1e-6)
    else:
        assert torch.allclose(changed.sort(2).values, step.clips.sort(2).values, atol=1e-6)
        assert all(not torch.allclose(a, b, atol=1e-6) for a, b in zip(changed, step.clips, strict=True))
    log_p, one_hot = log_p_and_one_hot(recognizer, step)
    with torch.no_grad():
        static = recognizer(changed).log_softmax(1)
    gradient = head_gradient(recognizer, values["loss"])
    assert torch.allclose(gradient, dynamic_gradient(log_p, one_hot, static, 0.7), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "frames", "size"),
    [
        ("x3d_xs", 4, 32),
        ("slow_r50", 4, 32),
        ("slowfast_r50", 8, 32),
        ("mvit_base_16x4", 4, 32),
        ("inception_i3d", 8, 32),
    ],
)
@pytest.mark.parametrize("objective", [DRLFreeze, DRLShuffle])
def test_still_clips_have_no_score(objective, model, frames, size, tmp_path):
    """In training mode: with dropout, stochastic depth, and BatchNorm's statistics of the mini-batch."""
    recognizer = recognizer_of(model, num_frames=frames, crop_size=size).train()
    (only,) = objective(drl_cfg(tmp_path), recognizer).phases()
    clips = torch.rand(2, 3, 1, size, size).expand(-1, -1, frames, -1, -1).contiguous()
    step = Step(clips=clips, labels=torch.tensor([0, 1]), recognizer=recognizer, epoch=0.0, names=["a", "b"])
    with torch.no_grad():
        values = only.loss(step)
    assert values["dynamic_score"].item() == pytest.approx(0, abs=1e-6)
    assert values["agreement"].item() == 100


def test_gradients_are_those_of_two_lines(tmp_path):
    """A network of the zoo in training mode, without dropout."""
    recognizer = recognizer_of("x3d_xs", num_frames=4, crop_size=32).train()
    recognizer.module.blocks[5].dropout.p = 0.0
    (only,) = DRLFreeze(drl_cfg(tmp_path, "DRL.LAMBDA", 0.7, "DRL.FREEZE_FRAME", "middle"), recognizer).phases()
    clips, labels = torch.rand(4, 3, 4, 32, 32), torch.tensor([0, 1, 2, 0])
    step = Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, names=list("abcd"))
    found = torch.autograd.grad(only.loss(step)["loss"], list(recognizer.parameters()))
    log_p, log_q = (recognizer(x).log_softmax(1) for x in (clips, clips[:, :, 2:3].expand_as(clips)))
    loss = nn.functional.nll_loss(log_p, labels) - 0.7 * (log_p.exp() * (log_p - log_q.detach())).sum(1).mean()
    expected = torch.autograd.grad(loss, list(recognizer.parameters()))
    longest = max(gradient.norm() for gradient in expected)
    assert all((a - b).norm() <= 1e-5 * longest for a, b in zip(found, expected, strict=True))


def as_clips(recognizer, normalised):
    """What the recognizer was given, from what its module got."""
    return normalised.detach() * recognizer.std + recognizer.mean


def test_eq_7(tmp_path):
    recognizer = tiny_recognizer()
    objective = DRLAdversarial(drl_cfg(tmp_path, "DRL.BETA", 0.25), recognizer)
    step = make_step(recognizer)
    log_p, one_hot = log_p_and_one_hot(recognizer, step)
    attacked = fgsm(objective.student, step.clips, log_p, epsilon=8 / 255)
    with torch.no_grad():
        log_p_attacked = recognizer(attacked).log_softmax(1)
    values = phase(objective, "recognizer").loss(step)
    clean, other = (-(one_hot * predicted).sum(1).mean() for predicted in (log_p, log_p_attacked))
    assert values["loss"].item() == pytest.approx(float(0.75 * clean + 0.25 * other))
    expected = (0.75 * (log_p.exp() - one_hot) + 0.25 * (log_p_attacked.exp() - one_hot)).mean(0)
    assert torch.allclose(head_gradient(recognizer, values["loss"]), expected, atol=1e-6)


@pytest.mark.parametrize("objective", WITH_STUDENT)
def test_the_students_loss(objective, tmp_path):
    """Eq. 6 and 10, whose gradient in the logits of a student of one frame is alpha (q - p) + (1 - alpha) (q - y)."""
    recognizer = tiny_recognizer()
    made = objective(drl_cfg(tmp_path, "DRL.ALPHA", 0.3), recognizer)
    step = make_step(recognizer)
    step.clips = step.clips[:, :, :1]
    log_p, one_hot = log_p_and_one_hot(recognizer, step)
    values = phase(made, "student").loss(step)
    q = made.student(step.clips).exp().detach()
    values["loss"].backward()
    expected = (0.3 * (q - log_p.exp()) + 0.7 * (q - one_hot)).mean(0)
    assert torch.allclose(made.student.proj.bias.grad, expected, atol=1e-6)
    assert all(parameter.grad is None for parameter in recognizer.parameters())


@pytest.mark.parametrize("objective", WITH_STUDENT)
def test_the_recognizers_phase_leaves_nothing_in_the_student(objective, tmp_path):
    recognizer = tiny_recognizer(norm=True)
    made = objective(drl_cfg(tmp_path, "STUDENT.NAME", "tiny_norm"), recognizer).train()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    phase(made, "recognizer").loss(make_step(recognizer.train()))["loss"].backward()
    assert all(parameter.grad is None for parameter in made.parameters())
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    assert all(parameter.grad is not None for parameter in recognizer.parameters())


# ---------------------------------------------------------------- attacks


def test_fgsm_moves_every_value_by_epsilon_or_to_the_border():
    torch.manual_seed(0)
    student, clips = TinyStudent(CLASSES), torch.rand(4, 3, 4, 8, 8)
    target = torch.randn(4, CLASSES).log_softmax(1)
    attacked = fgsm(student, clips, target, epsilon=0.25)
    moved = (attacked - clips).abs()
    at_border = (attacked == 0) | (attacked == 1)
    assert at_border.any()
    assert not at_border.all()
    assert torch.allclose(moved[~at_border], torch.tensor(0.25))
    assert (moved[at_border] <= 0.25 + 1e-6).all()
    assert (divergence(target, student(attacked)) > divergence(target, student(clips))).all()
    assert not attacked.requires_grad
    assert all(parameter.grad is None for parameter in student.parameters())


def test_fgsm_goes_the_way_of_the_gradient():
    """A student of a frame's red pixels: its first class gains from red, so a target of the first class takes it."""

    def student(clips):
        return torch.stack([clips[:, 0].mean((1, 2, 3)), torch.zeros(len(clips))], 1).log_softmax(1)

    clips = torch.full((2, 3, 2, 4, 4), 0.5)
    target = torch.tensor([[0.99, 0.01], [0.01, 0.99]]).log()
    attacked = fgsm(student, clips, target, epsilon=0.1)
    assert torch.allclose(attacked[0, 0], torch.tensor(0.4))
    assert torch.allclose(attacked[1, 0], torch.tensor(0.6))
    assert torch.equal(attacked[:, 1:], clips[:, 1:])  # green and blue have no gradient


def test_pgd_stays_in_the_ball_and_does_more_harm():
    torch.manual_seed(0)
    curved = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 64, 16), nn.Tanh(), nn.Linear(16, CLASSES), nn.LogSoftmax(1))
    clips, target = torch.rand(8, 3, 4, 8, 8), torch.randn(8, CLASSES).log_softmax(1)
    attacked = pgd(curved, clips, target, epsilon=0.1, step_size=0.03, steps=10)
    assert ((attacked - clips).abs() <= 0.1 + 1e-6).all()
    assert 0 <= attacked.min() <= attacked.max() <= 1
    once = fgsm(curved, clips, target, epsilon=0.1)
    assert divergence(target, curved(attacked)).mean() > divergence(target, curved(once)).mean()
    one_step = pgd(curved, clips, target, epsilon=0.1, step_size=0.1, steps=1)
    assert torch.allclose(one_step, once)


def test_pgd_is_chosen_by_its_key(tmp_path):
    recognizer = tiny_recognizer()
    step = make_step(recognizer)
    losses = {}
    for attack in ("fgsm", "pgd"):
        torch.manual_seed(3)
        made = DRLAdversarial(drl_cfg(tmp_path, "DRL.ATTACK", attack, "DRL.PGD_STEP_SIZE", 1.0), recognizer)
        losses[attack] = float(phase(made, "recognizer").loss(step)["attacked_classification"])
    assert losses["fgsm"] != losses["pgd"]


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize(
    ("objective", "off"),
    [
        (DRLAdversarial, ("DRL.BETA", 0.0)),
        (DRLDistill, ("DRL.LAMBDA", 0.0)),
        (DRLFreeze, ("DRL.LAMBDA", 0.0)),
        (DRLShuffle, ("DRL.LAMBDA", 0.0)),
    ],
)
def test_with_a_weight_of_zero_it_is_cross_entropy_bit_for_bit(objective, off, tmp_path):
    """With dropout in both networks, BatchNorm, label smoothing: random numbers and statistics are the same, too."""
    states = []
    for chosen in (CrossEntropy, objective):
        recognizer = tiny_recognizer(norm=True, dropout=0.5)
        cfg = drl_cfg(tmp_path, "STUDENT.NAME", "tiny_norm", "OBJECTIVE.LABEL_SMOOTHING", 0.1, *off)
        make_trainer(cfg, recognizer, chosen, FakeLoader(3)).train()
        states.append(recognizer.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("objective", [DRLAdversarial, DRLFreeze, DRLShuffle])
def test_batch_norm_remembers_the_clean_clips_alone(objective, tmp_path):
    statistics = []
    for chosen in (CrossEntropy, objective):
        recognizer = tiny_recognizer(norm=True)
        make_trainer(drl_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1.0), recognizer, chosen, FakeLoader(1)).train()
        norm = recognizer.module.norm
        assert norm.track_running_stats
        statistics.append((norm.running_mean, norm.running_var, norm.num_batches_tracked))
    assert all(torch.equal(a, b) for a, b in zip(*statistics, strict=True))


@pytest.mark.parametrize("objective", ALL)
def test_training_changes_what_it_should(objective, tmp_path):
    recognizer = tiny_recognizer(norm=True)
    trainer = make_trainer(drl_cfg(tmp_path), recognizer, objective, FakeLoader(2))
    before = weights(recognizer)
    trained = {name: value.clone() for name, value in trainer.objective.named_parameters()}
    trainer.train()
    assert not torch.equal(before, weights(recognizer))
    assert bool(trained) == (objective in WITH_STUDENT)
    assert not any(torch.equal(trained[name], value) for name, value in trainer.objective.named_parameters())
    names = set(trainer.last.metrics)
    if objective is DRLAdversarial:
        assert {"student/distillation", "student/top1", "student/agreement", "recognizer/attacked_top1"} <= names
    elif objective is DRLDistill:
        assert {"student/agreement", "recognizer/dynamic_score", "recognizer/classification"} <= names
    else:
        assert {"loss", "dynamic_score", "classification", "agreement", "top1"} <= names


def test_the_student_has_its_own_rate(tmp_path):
    cfg = drl_cfg(tmp_path, "SOLVER.BASE_LR", 0.01, "STUDENT.SOLVER.BASE_LR", 0.2)
    trainer = make_trainer(cfg, tiny_recognizer(), DRLDistill, FakeLoader(2))
    trainer.train()
    assert trainer.learning_rates["student/lr"] == pytest.approx(20 * trainer.learning_rates["recognizer/lr"])


def test_lambda_rises(tmp_path):
    recognizer = tiny_recognizer()
    made = DRLFreeze(drl_cfg(tmp_path, "DRL.LAMBDA", 0.8, "DRL.WARMUP_EPOCHS", 4.0), recognizer)
    for epoch, weight in ((1.0, 0.2), (4.0, 0.8), (9.0, 0.8)):
        values = phase(made, "recognizer").loss(make_step(recognizer, epoch=epoch))
        found = (values["classification"] - values["loss"]) / values["dynamic_score"]
        assert float(found) == pytest.approx(weight, rel=1e-3)
    assert "dynamic_score" not in phase(made, "recognizer").loss(make_step(recognizer, epoch=0.0))


def test_orders_and_frames_change_from_step_to_step_and_not_with_the_batch(tmp_path):
    recognizer = tiny_recognizer()
    made = DRLShuffle(drl_cfg(tmp_path), recognizer)
    here, again, later = (make_step(recognizer, epoch=epoch) for epoch in (0.5, 0.5, 0.75))
    first, same, other = (float(phase(made, "recognizer").loss(step)["dynamic_score"]) for step in (here, again, later))
    assert first == same != other
    half = make_step(recognizer, epoch=0.5)
    half.clips, half.labels, half.names = half.clips[2:], half.labels[2:], half.names[2:]
    rest = make_step(recognizer, epoch=0.5)
    rest.clips, rest.labels, rest.names = rest.clips[:2], rest.labels[:2], rest.names[:2]
    parts = [float(phase(made, "recognizer").loss(step)["dynamic_score"]) for step in (half, rest)]
    assert sum(parts) / 2 == pytest.approx(first, rel=1e-5)


def train_all(cfg):
    """Train with each objective; process 0 writes the weights."""
    if "tiny" not in STUDENT:
        STUDENT.register(lambda cfg, num_classes: TinyStudent(num_classes), name="tiny")
    results = {}
    for objective in ALL:
        recognizer = tiny_recognizer()
        loader = FakeLoader(3, rank=get_rank(), world_size=get_world_size())
        trainer = make_trainer(cfg, recognizer, objective, loader)
        trainer.train()
        results[objective.__name__] = weights(nn.ModuleList([recognizer, trainer.objective]))
    if get_rank() == 0:
        torch.save(results, Path(cfg.OUTPUT_DIR) / f"weights_{get_world_size()}.pt")


def scores_of_still_clips(cfg):
    """Three steps in each process, each of two mini-batches, of a network with dropout; all have seen no motion."""

    class Still(FakeLoader):
        def epoch(self, *position):
            for batch in super().epoch(*position):
                yield dataclasses.replace(batch, clips=batch.clips[:, :, :1].expand_as(batch.clips).contiguous())

    loader = Still(6, rank=get_rank(), world_size=get_world_size())
    trainer = make_trainer(cfg, tiny_recognizer(norm=True, dropout=0.5), DRLFreeze, loader)
    scores = []
    trainer.hooks = [Scores(scores)]
    trainer.train()
    everywhere = all_gather_objects(scores)
    assert everywhere == [[pytest.approx(0, abs=1e-6)] * 3] * 2


class Scores(Hook):
    def __init__(self, scores):
        self.scores = scores

    def after_step(self, trainer):
        self.scores.append(trainer.last.metrics["dynamic_score"])


def test_still_clips_have_no_score_in_two_processes_with_accumulation(tmp_path):
    keys = ["NUM_GPUS", 2, "TRAIN.ACCUMULATE_STEPS", 2, "SOLVER.MAX_EPOCH", 1.0]
    launch(scores_of_still_clips, drl_cfg(tmp_path, *keys))


def test_two_processes_take_the_steps_of_one(tmp_path):
    cfg = drl_cfg(tmp_path, "SOLVER.BASE_LR", 0.01)
    launch(train_all, cfg)
    cfg.NUM_GPUS = 2
    launch(train_all, cfg)
    one, two = (torch.load(tmp_path / f"weights_{count}.pt") for count in (1, 2))
    assert set(one) == {objective.__name__ for objective in ALL}
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=0, atol=2e-6, msg=name)


@pytest.mark.parametrize("objective", ALL)
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(objective, tmp_path):
    def trainer(folder, epochs):
        cfg = drl_cfg(folder, "STUDENT.NAME", "tiny_norm", "SOLVER.MAX_EPOCH", epochs, "SOLVER.LR_POLICY", "cosine")
        recognizer = tiny_recognizer(norm=True, dropout=0.5)
        torch.manual_seed(5)
        return make_trainer(cfg, recognizer, objective, FakeLoader(2))

    whole = trainer(tmp_path / "whole", 3.0)
    whole.train()
    first = trainer(tmp_path / "parts", 3.0)
    first.max_epochs = 1  # stopped after one of three epochs
    first.train()
    save_checkpoint(first)
    second = trainer(tmp_path / "parts", 3.0)
    assert resume(second) is not None
    assert second.epoch == 1
    second.train()
    for a, b in ((whole.recognizer, second.recognizer), (whole.objective, second.objective)):
        assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DRL.ALPHA", 1.5),
        ("DRL.BETA", -0.1),
        ("DRL.EPSILON", -1.0),
        ("DRL.ATTACK", "fgms"),
        ("DRL.PGD_STEPS", 0),
        ("DRL.LAMBDA", -0.5),
        ("DRL.WARMUP_EPOCHS", -1.0),
        ("DRL.FREEZE_FRAME", "last"),
    ],
)
def test_values_that_make_no_sense(key, value):
    with pytest.raises(ConfigError, match=rf"{key} = {value!r} must"):
        load_cfg(overrides=["PLUGINS", "[pvbias.plugins.drl]", key, str(value)])
