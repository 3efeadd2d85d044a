"""Values read a step late, as on a GPU: the CPU is taken for a device that the host does not wait for."""

import math

import pytest
import torch

from pvbias.engine import CrossEntropy, Hook, Objective, Phase, finite, hooks, solver
from pvbias.engine.checkpoint import newest_checkpoint
from pvbias.engine.hooks import Checkpoints
from pvbias.engine.metric_log import MetricLog
from pvbias.errors import TrainingError
from pvbias.interruption import Interrupted, request_stop

from .toys import FakeLoader, TeacherAndStudent, make_cfg, make_trainer, tiny_recognizer, weights

METHODS = {"sgd": 0.1, "adam": 0.01, "adamw": 0.01}


@pytest.fixture
def late(monkeypatch):
    for module in (finite, solver):
        monkeypatch.setattr(module, "is_asynchronous", lambda device: True)


class Weights(Hook):
    """All weights and the optimizers' numbers after each step."""

    def __init__(self):
        self.after = []

    def after_step(self, trainer):
        state = [tensor for each in trainer.phases for one in each.optimizer.state.values() for tensor in one.values()]
        self.after.append([weights(trainer.recognizer).clone(), *(tensor.clone() for tensor in state)])


class BreaksAt(CrossEntropy):
    """Cross-entropy whose loss or gradient is not finite at one step."""

    def __init__(self, cfg, recognizer, *, step, kind):
        super().__init__(cfg, recognizer)
        self.left, self.kind = step, kind

    def phases(self):
        (phase,) = super().phases()

        def loss(step):
            terms, self.left = phase.loss(step), self.left - 1
            if self.left == 0 and self.kind == "gradient":
                terms["loss"] = terms["loss"] + (step.logits * 0).sqrt().sum()  # finite, with an infinite slope at 0
            elif self.left == 0:
                terms["loss"] = terms["loss"] * math.inf
            return terms

        return [Phase(name="recognizer", modules=phase.modules, loss=loss, solver=phase.solver)]


def trainer_of(tmp_path, objective, *overrides, hooks=(), loader=None, **options):
    recognizer = tiny_recognizer()
    torch.manual_seed(3)
    trainer = make_trainer(
        make_cfg(tmp_path, *overrides),
        recognizer,
        lambda cfg, recognizer: objective(cfg, recognizer, **options),
        loader or FakeLoader(),
    )
    trainer.hooks = list(hooks)
    return trainer


@pytest.mark.parametrize("method", METHODS)
def test_steps_and_log_are_those_of_values_read_at_once(tmp_path, monkeypatch, method):
    given = ("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", METHODS[method], "SOLVER.CLIP_GRAD_L2NORM", 0.5)
    logs, runs = [MetricLog(), MetricLog()], []
    for number, log in enumerate(logs):
        for module in (finite, solver):
            monkeypatch.setattr(module, "is_asynchronous", lambda device, number=number: bool(number))
        runs.append(trainer_of(tmp_path / str(number), TeacherAndStudent, *given, hooks=[log]))
        runs[-1].train()
    torch.testing.assert_close(weights(runs[1].recognizer), weights(runs[0].recognizer), rtol=1e-5, atol=1e-6)
    assert list(logs[1].latest) == list(logs[0].latest)
    assert logs[1].latest == pytest.approx(logs[0].latest, rel=1e-4)
    assert runs[1].phases[0].optimizer.param_groups[0]["fused"]
    assert not runs[0].phases[0].optimizer.param_groups[0]["fused"]


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_on_a_gpu_steps_wait_for_nothing_and_stop_there(tmp_path, method, kind):
    """torch says where a step would wait; the third one is not finite."""

    class Strict(Weights):
        def before_train(self, trainer):
            trainer._step, step = lambda window: self._strictly(step, window), trainer._step

        def _strictly(self, step, window):
            torch.cuda.set_sync_debug_mode("error" if self.after else "default")  # the first one sets up libraries
            try:
                return step(window)
            finally:
                torch.cuda.set_sync_debug_mode("default")

    given = ("NUM_GPUS", 1, "SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", METHODS[method])
    seen = Strict()
    trainer = trainer_of(tmp_path, BreaksAt, *given, hooks=[seen], step=3, kind=kind)
    assert trainer.settings.device.type == "cuda"
    with pytest.raises(TrainingError, match="iteration 3 of 6, before it changed any weight"):
        trainer.train()
    assert torch.equal(weights(trainer.recognizer), seen.after[1][0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["loss", "gradient"])
@pytest.mark.parametrize("step", [1, 2, 3, 6])  # the first one, inside the first epoch, its last, that of the training
def test_the_error_names_the_step_and_no_weight_has_changed(tmp_path, late, method, kind, step):
    given = ("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", METHODS[method])
    seen = Weights()
    trainer = trainer_of(tmp_path, BreaksAt, *given, hooks=[seen], step=step, kind=kind)
    before = weights(trainer.recognizer).clone()
    with pytest.raises(TrainingError) as caught:
        trainer.train()
    epoch, number = divmod(step - 1, 3)
    value = "loss = inf" if kind == "loss" else "grad_norm = nan"
    place = f"at epoch {epoch + 1}, iteration {step} of 6, before it changed any weight."
    assert f"Training stops: {value} {place}" in str(caught.value)
    assert f"videos: video_{epoch}_{number}_0.mp4, video_{epoch}_{number}_1.mp4" in str(caught.value)
    kept = seen.after[step - 2] if step > 1 else [before]
    assert torch.equal(weights(trainer.recognizer), kept[0])
    assert not any(bool(each.isnan().any()) for states in seen.after for each in states)


def test_with_loss_scaling_the_step_after_it_changes_nothing_either(tmp_path, late):
    """The scaler judges by the gradients of each step alone."""
    seen = Weights()
    trainer = trainer_of(tmp_path, BreaksAt, hooks=[seen], step=2, kind="loss")
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    with pytest.raises(TrainingError, match=r"loss = inf at epoch 1, iteration 2 of 6"):
        trainer.train()
    assert trainer.objective.left < 0  # one more was queued
    assert torch.equal(weights(trainer.recognizer), seen.after[0][0])


def test_a_phase_before_it_has_changed_its_own_weights_and_the_next_step_changes_none(tmp_path, late):
    class Broken(TeacherAndStudent):
        def _recognizer_loss(self, step):
            terms = super()._recognizer_loss(step)
            return terms | {"loss": terms["loss"] * math.nan} if len(self.seen) == 2 else terms

    trainer = trainer_of(tmp_path, Broken)
    before = weights(trainer.recognizer).clone()
    with pytest.raises(TrainingError, match=r"recognizer/loss = nan .* before the phase 'recognizer' changed"):
        trainer.train()
    students = trainer.objective.seen  # in each recognizer's phase, with the student's step before it
    assert len(students) == 3
    assert not torch.equal(students[1], students[0])
    assert torch.equal(students[2], students[1])
    assert not torch.equal(weights(trainer.recognizer), before)


def test_no_checkpoint_is_written_of_it(tmp_path, late):
    """One is due after every step: those of the steps before are there."""
    given = ("TRAIN.CHECKPOINT_MINUTES", 1e-9)
    trainer = trainer_of(tmp_path, BreaksAt, *given, hooks=[MetricLog(), Checkpoints()], step=2, kind="loss")
    with pytest.raises(TrainingError, match="iteration 2 of 6"):
        trainer.train()
    assert newest_checkpoint(str(tmp_path)).name == "checkpoint_epoch_00000_step_00001.pyth"


def asked(monkeypatch):
    """What becomes of questions to other processes, made up: all wish the same."""
    events = []

    def agree(wish, device):
        events.append(f"ask {wish}")
        return lambda: events.append("read") or wish

    monkeypatch.setattr(hooks, "agree", agree)
    monkeypatch.setattr(hooks, "get_world_size", lambda: 2)
    monkeypatch.setattr(hooks, "is_asynchronous", lambda device: True)
    return events


def test_a_checkpoint_that_is_overdue_is_written_once(tmp_path, late, monkeypatch):
    events = asked(monkeypatch)
    given = ("SOLVER.MAX_EPOCH", 1.0, "TRAIN.CHECKPOINT_MINUTES", 1e-9)
    trainer_of(tmp_path, CrossEntropy, *given, hooks=[Checkpoints()], loader=FakeLoader(4)).train()
    # After steps 1 to 4, and the epoch: what was asked while one was on its way is not read.
    assert events == ["ask 1", "ask 1", "read", "ask 1", "ask 1", "read", "ask 1", "read"]


def test_other_processes_are_asked_a_step_ahead_whether_to_stop(tmp_path, late, monkeypatch):
    """One of two has been told to stop in the second step: both have the next one queued when they know of it."""
    events = asked(monkeypatch)

    class Told(Hook):
        def after_step(self, trainer):
            events.append(f"step {trainer.iteration}")
            if trainer.iteration == 2:
                request_stop()

    trainer = trainer_of(tmp_path, CrossEntropy, hooks=[Told(), Checkpoints()], loader=FakeLoader(5))
    with pytest.raises(Interrupted):
        trainer.train()
    assert events == ["step 1", "ask 0", "step 2", "ask 2", "read", "step 3", "ask 2", "read"]
    assert newest_checkpoint(str(tmp_path)).name == "checkpoint_epoch_00000_step_00003.pyth"


def test_a_first_step_that_loss_scaling_skips_leaves_nothing_behind(tmp_path, late):
    """In half precision gradients overflow until the scale has come down: torch's fused SGD would begin with whatever
    was in memory."""

    class Overflowing(Objective):
        def phases(self):
            modules = {"recognizer": self.base_recognizer}
            return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

        def _loss(self, step):
            return {"loss": step.logits.sum() * 1e3}

    seen = Weights()
    trainer = trainer_of(tmp_path, Overflowing, "SOLVER.MAX_EPOCH", 1.0, hooks=[seen])
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    before = weights(trainer.recognizer).clone()
    trainer.train()
    assert torch.equal(seen.after[0][0], before)
    momenta = seen.after[0][1:]
    assert momenta
    assert all(torch.equal(each, torch.zeros_like(each)) for each in momenta)
    assert trainer.scaler.get_scale() < 1e38


@pytest.mark.parametrize("method", METHODS)
def test_checkpoints_pass_between_devices(tmp_path, monkeypatch, method):
    """From one that is read at once to one that is not, and back: each goes on with its own kernels, to the same
    weights."""
    given = ("SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", METHODS[method])
    ends = []
    for order in ((False, False), (False, True), (True, False)):
        state = None
        for is_late in order:
            for module in (finite, solver):
                monkeypatch.setattr(module, "is_asynchronous", lambda device, is_late=is_late: is_late)
            trainer = trainer_of(tmp_path, CrossEntropy, *given, "SOLVER.MAX_EPOCH", 1.0)
            (running,) = trainer.phases
            if state is not None:
                trainer.recognizer.load_state_dict(state[0])
                running.optimizer.load_state_dict(state[1])
            trainer.train()
            assert bool(running.optimizer.param_groups[0]["fused"]) == is_late
            state = (trainer.recognizer.state_dict(), running.optimizer.state_dict())
        ends.append(weights(trainer.recognizer))
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-5, atol=1e-6)
