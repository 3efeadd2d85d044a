import json
import math
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from pvbias.engine import CrossEntropy, Hook, Objective, Phase
from pvbias.errors import TrainingError
from pvbias.runtime import Settings

from .toys import FakeLoader, TeacherAndStudent, make_cfg, make_trainer, tiny_recognizer, weights


def train(tmp_path, *overrides, recognizer=None, objective=CrossEntropy, loader=None, hooks=()):
    recognizer = recognizer or tiny_recognizer()
    trainer = make_trainer(make_cfg(tmp_path, *overrides), recognizer, objective, loader or FakeLoader())
    trainer.hooks = list(hooks)
    trainer.train()
    return trainer


def test_steps_are_those_of_plain_torch(tmp_path):
    trainer = train(tmp_path, "SOLVER.CLIP_GRAD_L2NORM", 0.5)
    reference = tiny_recognizer()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.001)
    for epoch in range(2):
        for number, batch in enumerate(FakeLoader().epoch(epoch)):
            where = (epoch + number / 3) / 2
            optimizer.param_groups[0]["lr"] = 0.1 * (1 + math.cos(math.pi * where)) / 2
            optimizer.zero_grad()
            nn.functional.cross_entropy(reference(batch.clips.float() / 255), batch.labels).backward()
            nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
            optimizer.step()
    torch.testing.assert_close(weights(trainer.recognizer), weights(reference), rtol=1e-5, atol=1e-6)
    assert (trainer.epoch, trainer.iteration) == (2, 6)


class Count(Hook):
    def __init__(self):
        self.calls = []

    def before_train(self, trainer):
        self.calls.append("before")

    def after_step(self, trainer):
        self.calls.append(trainer.iteration)

    def after_epoch(self, trainer):
        self.calls.append(f"epoch {trainer.epoch}")

    def after_train(self, trainer):
        self.calls.append("after")


def test_hooks_and_a_fraction_of_an_epoch(tmp_path):
    count, loader = Count(), FakeLoader(4)
    train(tmp_path, "SOLVER.MAX_EPOCH", 1.5, loader=loader, hooks=[count])
    assert count.calls == ["before", 1, 2, 3, 4, "epoch 1", 5, 6, "epoch 2", "after"]
    assert loader.epochs == [0, 1]


@pytest.mark.parametrize("objective", [CrossEntropy, TeacherAndStudent])
def test_accumulation_takes_the_steps_of_large_batches(tmp_path, objective):
    class Halves(FakeLoader):
        """The same clips, in mini-batches of half the size."""

        def __len__(self):
            return 2 * self.length

        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch):
                for part in (slice(0, 2), slice(2, 4)):
                    yield type(batch)(
                        clips=batch.clips[part], labels=batch.labels[part], names=batch.names[part], bad=[]
                    )

    torch.manual_seed(0)
    large = train(tmp_path, objective=seeded(objective))
    small = train(tmp_path, "TRAIN.ACCUMULATE_STEPS", 2, objective=seeded(objective), loader=Halves())
    assert large.iteration == small.iteration == 6
    torch.testing.assert_close(weights(small.recognizer), weights(large.recognizer), rtol=1e-5, atol=1e-6)
    for name, value in large.last.metrics.items():
        assert small.last.metrics[name] == pytest.approx(value, rel=1e-4), name


def seeded(objective):
    def build(cfg, recognizer):
        torch.manual_seed(3)
        return objective(cfg, recognizer)

    return build


def test_left_over_mini_batches_make_a_smaller_window(tmp_path):
    trainer = train(tmp_path, "TRAIN.ACCUMULATE_STEPS", 2, loader=FakeLoader(3))
    assert trainer.iteration == 4  # two steps in each of two epochs


def test_phases_run_in_order_and_share_the_logits(tmp_path):
    trainer = train(tmp_path, objective=seeded(TeacherAndStudent), loader=FakeLoader(2))
    objective = trainer.objective
    # one forward for both phases of each step
    assert objective.shared[::2] == objective.shared[1::2]
    # the recognizer's phase sees the student as its own phase has just left it
    assert torch.equal(objective.seen[-1], objective.student.weight)
    assert set(trainer.last.metrics) == {
        "student/loss",
        "student/grad_norm",
        "recognizer/loss",
        "recognizer/distance",
        "recognizer/grad_norm",
    }


def test_gradients_that_leak_into_a_later_phase_are_cleared(tmp_path):
    class Leaky(TeacherAndStudent):
        def _student(self, step):
            return {"loss": nn.functional.mse_loss(self._predict(step), self.base_recognizer(step.clips))}

    clean = train(tmp_path, objective=seeded(TeacherAndStudent), loader=FakeLoader(2))
    leaky = train(tmp_path, objective=seeded(Leaky), loader=FakeLoader(2))
    torch.testing.assert_close(weights(leaky.recognizer), weights(clean.recognizer), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path, bad):
    recognizer = tiny_recognizer()
    before = weights(recognizer).clone()

    class Broken(CrossEntropy):
        def phases(self):
            (phase,) = super().phases()

            def loss(step):
                losses = phase.loss(step)
                return {**losses, "loss": losses["loss"] * bad, "penalty": losses["loss"] * bad}

            return [Phase(name="recognizer", modules=phase.modules, loss=loss, solver=phase.solver)]

    count = Count()
    with pytest.raises(
        TrainingError, match=r"loss = (nan|inf), penalty = (nan|inf) at epoch 1, iteration 1 of 6"
    ) as caught:
        train(tmp_path, recognizer=recognizer, objective=Broken, hooks=[count])
    assert "video_0_0_0.mp4, video_0_0_1.mp4, video_0_0_2.mp4, video_0_0_3.mp4" in str(caught.value)
    assert caught.value.exit_code == 5
    assert torch.equal(weights(recognizer), before)
    assert count.calls == ["before", "after"]


def test_a_gradient_that_is_not_finite_stops_before_the_step(tmp_path):
    recognizer = tiny_recognizer()

    class Root(Objective):
        def phases(self):
            modules = {"recognizer": self.base_recognizer}
            return [Phase(name="root", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

        def _loss(self, step):
            return {"loss": (step.logits * 0).sqrt().sum()}  # finite, with an infinite slope at 0

    before = weights(recognizer).clone()
    with pytest.raises(TrainingError, match="grad_norm = nan"):
        train(tmp_path, recognizer=recognizer, objective=Root)
    assert torch.equal(weights(recognizer), before)


def test_frozen_batch_norm(tmp_path):
    recognizer = tiny_recognizer(norm=True)
    frozen = {name: value.clone() for name, value in recognizer.module.norm.state_dict().items()}
    conv = recognizer.module.conv.weight.detach().clone()
    train(tmp_path, "BN.FREEZE", True, recognizer=recognizer)
    for name, value in recognizer.module.norm.state_dict().items():
        assert torch.equal(value, frozen[name]), name
    assert not torch.equal(recognizer.module.conv.weight, conv)

    train(tmp_path, recognizer=(moving := tiny_recognizer(norm=True)))
    assert not torch.equal(moving.module.norm.running_mean, frozen["running_mean"])


def test_bf16_autocast_reaches_the_forward_and_not_the_weights(tmp_path):
    seen = []
    recognizer = tiny_recognizer()
    recognizer.module.proj.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    train(tmp_path, "PRECISION", "bf16", recognizer=recognizer)
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in recognizer.parameters()} == {torch.float32}


def test_backward_passes_are_in_the_precision_too(tmp_path, monkeypatch):
    """Where TF32 is switched on and off; there is none on a CPU."""
    inside, seen = [], []

    @contextmanager
    def tf32(settings):
        inside.append(settings.precision)
        yield
        inside.pop()

    monkeypatch.setattr(Settings, "tf32", tf32)
    recognizer = tiny_recognizer()
    recognizer.module.proj.weight.register_hook(lambda gradient: seen.append(list(inside)))
    train(tmp_path, recognizer=recognizer)
    assert seen
    assert all(precisions == ["fp32"] for precisions in seen)


def test_json_is_readable(tmp_path):
    from pvbias.engine.metric_log import MetricLog

    log = MetricLog()
    train(tmp_path, "LOG_PERIOD", 2, objective=seeded(TeacherAndStudent), hooks=[log])
    lines = [json.loads(line) for line in (tmp_path / "train_log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["start"] + ["train"] * 4
    assert [line["iteration"] for line in lines[1:]] == [2, 3, 4, 6]
    assert lines[-1]["epoch"] == 2.0
    assert {
        "recognizer/loss",
        "student/loss",
        "recognizer/lr",
        "data_seconds",
        "compute_seconds",
        "eta_seconds",
    } <= set(lines[-1])
    assert lines[0]["settings"]["precision"] == "fp32"
