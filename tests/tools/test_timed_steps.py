import pytest
import torch

from pvbias.engine import CrossEntropy
from pvbias.errors import ConfigError
from pvbias.tools.timed_steps import PlainNetwork, PlainStep, StudentStep, TrainerStep, take_turns

SMALL = ["MODEL.MODEL_NAME", "r3d_small", "DATA.TRAIN_CROP_SIZE", "16", "DATA.NUM_FRAMES", "4", "TRAIN.BATCH_SIZE", "2"]
SMALL += ["NUM_GPUS", "0", "PRECISION", "fp32"]


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last_3d"])
def test_a_plain_loop_computes_what_the_trainer_does(memory_format):
    step = TrainerStep(SMALL)
    plain = PlainStep(step, memory_format)
    assert step() > 0
    assert float(plain.step().detach()) == pytest.approx(step.trainer.last.metrics["loss"], rel=1e-5)
    layout = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}[memory_format]
    wide = [p for p in plain.module.parameters() if p.dim() == 5 and min(p.shape[:2]) > 1]
    assert wide
    assert all(parameter.is_contiguous(memory_format=layout) for parameter in wide)


def test_a_plain_network_gives_the_recognizers_logits():
    trainer = TrainerStep(SMALL).trainer
    plain = PlainNetwork(trainer.cfg, trainer.recognizer.eval(), trainer.settings, "contiguous")
    plain.module.eval()
    clips = torch.randint(256, (2, 3, 4, 16, 16), dtype=torch.uint8)
    with torch.no_grad(), plain.autocast():
        torch.testing.assert_close(plain.logits(plain.clips(clips)), trainer.recognizer(clips), rtol=1e-5, atol=1e-6)


def test_frozen_weights_stay_frozen():
    plain = PlainStep(TrainerStep([*SMALL, "MODEL.FREEZE", "['backbone']"]), "contiguous")
    before = {name: value.detach().clone() for name, value in plain.module.named_parameters()}
    plain()
    changed = {name for name, value in plain.module.named_parameters() if not torch.equal(before[name], value)}
    assert changed
    assert all(value.requires_grad == (name in changed) for name, value in plain.module.named_parameters())


def test_what_the_plain_loop_does_not_do_is_refused():
    with pytest.raises(ConfigError, match=r"TRAIN\.ACCUMULATE_STEPS = 2"):
        PlainStep(TrainerStep([*SMALL, "TRAIN.ACCUMULATE_STEPS", "2"]), "contiguous")


def test_transforms_are_part_of_a_step(monkeypatch):
    seen = []
    monkeypatch.setattr(CrossEntropy, "classification", spied(CrossEntropy.classification, seen))
    TrainerStep([*SMALL, "TRAIN.TRANSFORMS", "['mixup']"])()
    assert seen == [(2, 400)]  # mixed labels are class probabilities


@pytest.mark.parametrize(("objective", "moves"), [("RUBi", True), ("LearnedMixin", False)])
def test_a_student_is_trained_alone_where_steps_train_it(objective, moves):
    student = StudentStep(TrainerStep([*SMALL, "OBJECTIVE.NAME", objective, "STUDENT.NAME", "resnet18"]))
    before = [parameter.detach().clone() for parameter in student.student.parameters()]
    assert student() > 0
    same = [torch.equal(old, new) for old, new in zip(before, student.student.parameters(), strict=True)]
    assert all(same) != moves


def spied(classification, seen):
    def spy(self, step):
        seen.append(tuple(step.labels.shape))
        return classification(self, step)

    return spy


def test_steps_take_turns():
    calls = []
    steps = {name: lambda name=name: calls.append(name) or float(len(calls)) for name in "ab"}
    assert take_turns(steps, 2) == {"a": [1, 3], "b": [2, 4]}
    assert calls == ["a", "b", "a", "b"]
