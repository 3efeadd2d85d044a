"""ReBias: its losses, who learns from what, and the widths of its kernels."""

import math

import numpy as np
import pytest
import torch

from pvbias.config import complete, load_cfg
from pvbias.context import Context
from pvbias.engine import Step
from pvbias.errors import ConfigError
from pvbias.models import build_recognizer
from pvbias.plugins.debias_baselines import ReBias
from pvbias.plugins.debias_baselines.hsic import gaussian_kernel, hsic, squared_distances
from pvbias.registries import STUDENT
from pvbias.runtime import choose_settings

from ...engine.toys import CLASSES, tiny_recognizer
from .given import Given, debias_cfg, given_step, waves


@pytest.fixture(autouse=True)
def registered():
    restore = STUDENT.snapshot()
    yield
    restore()


def test_the_losses_of_both_phases(tmp_path):
    """Of given features; cross-entropies of uniform predictions are ln 3."""
    cfg = debias_cfg(tmp_path, "REBIAS.WEIGHT", 3.0, "REBIAS.STUDENT_WEIGHT", 0.5)
    of_f, of_g, uniform = waves(4, 6, rate=1.0), waves(4, 5, rate=0.7), torch.full((4, 3), 1 / 3).log()
    STUDENT.register(lambda cfg, num_classes: Given(uniform, of_g), name="given")
    cfg.STUDENT.NAME = "given"
    recognizer = tiny_recognizer()
    objective = ReBias(cfg, recognizer)
    objective.squared_widths = torch.tensor([2.0, 0.5])
    dependence = hsic(gaussian_kernel(of_f, torch.tensor(2.0)), gaussian_kernel(of_g, torch.tensor(0.5))).item()
    step = given_step(recognizer, uniform, of_f, torch.tensor([0, 1, 2, 0]))
    student, main = (phase.loss(step) for phase in objective.phases())
    assert student["hsic"].item() == main["hsic"].item() == pytest.approx(dependence, rel=1e-4)
    assert student["loss"].item() == pytest.approx(0.5 * math.log(3) - dependence)
    assert main["loss"].item() == pytest.approx(math.log(3) + 3 * dependence)


def step_of(recognizer, objective):
    torch.manual_seed(1)
    clips, labels = torch.rand(8, 3, 4, 8, 8), torch.arange(8) % CLASSES
    return Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, features=objective.needs.features)


def test_the_student_follows_and_the_recognizer_evades(tmp_path):
    """Each phase leaves gradients in its own network; along them, HSIC goes up in one and down in the other."""
    recognizer = tiny_recognizer()
    objective = ReBias(debias_cfg(tmp_path), recognizer)
    step = step_of(recognizer, objective)
    with torch.no_grad():
        features = (recognizer.embed(step.clips), objective.biased_outputs(step).features["embedding"])
    objective.squared_widths = torch.stack([squared_distances(each).median() for each in features])
    student, main = objective.phases()
    for phase, own, other, sign in (
        (student, objective.student, recognizer, 1),
        (main, recognizer, objective.student, -1),
    ):
        losses = phase.loss(step_of(recognizer, objective))
        before = losses["hsic"].item()
        (-sign * losses["hsic"]).backward()  # what phases say of HSIC, without the classification
        assert all(parameter.grad is None for parameter in other.parameters())
        with torch.no_grad():
            for parameter in own.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        after = phase.loss(step_of(recognizer, objective))["hsic"].item()
        assert sign * (after - before) > 0
        recognizer.zero_grad()
        objective.zero_grad()


def test_widths_are_medians_over_a_part_of_an_epoch(tmp_path):
    """Of the 4 mini-batches of 4 videos the first 2; in training mode, without a trace in the networks."""
    debias_cfg(tmp_path)
    keys = {
        **{
            "MODEL.MODEL_NAME": "r3d_small",
            "DATA.NUM_FRAMES": 4,
            "DATA.TRAIN_CROP_SIZE": 16,
            "DATA.TEST_CROP_SIZE": 16,
        },
        **{"DATA.TEST_SHORT_SIDE": 16, "DECOUPLED.SIZE": 16, "DECOUPLED.BRUSH_SIZE": 8, "DECOUPLED.TRAIN_VIDEOS": 16},
        **{"TRAIN.DATASET": "brush_mnist", "TRAIN.BATCH_SIZE": 4, "DATA_LOADER.NUM_WORKERS": 0, "NUM_GPUS": 0},
        **{"STUDENT.NAME": "noisy", "REBIAS.WIDTHS_FROM": 0.5, "OUTPUT_DIR": tmp_path, "DECOUPLED.FRAMES": 16},
    }
    cfg = complete(load_cfg(None, [str(part) for pair in keys.items() for part in pair]), num_classes=10)
    torch.manual_seed(0)
    recognizer = build_recognizer(cfg)
    objective, settings = ReBias(cfg, recognizer), choose_settings(cfg, recognizer, training=True)
    seen = []
    recognizer.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    before = {
        name: value.clone() for name, value in [*recognizer.state_dict().items(), *objective.state_dict().items()]
    }
    objective.prepare(Context(cfg, settings))
    assert len(seen) == 2
    squares = []
    for features in (recognizer.average_positions(each).double().numpy() for each in seen):
        squares += [((features[i] - features[j]) ** 2).sum() for i in range(4) for j in range(i)]
    assert objective.squared_widths[0].item() == pytest.approx(np.sort(squares)[5], rel=1e-4)  # the lower of two
    assert objective.squared_widths[1] > 0
    after = {**recognizer.state_dict(), **objective.state_dict()}
    assert all(torch.equal(before[name], after[name]) for name in before if name != "squared_widths")
    # In the checkpoint, so that a run that is resumed goes on with them.
    assert "squared_widths" in objective.state_dict()


def test_mini_batches_that_are_too_small(tmp_path):
    with pytest.raises(ConfigError, match=r"TRAIN\.BATCH_SIZE = 2: HSIC takes mini-batches of 4"):
        ReBias(debias_cfg(tmp_path, "TRAIN.BATCH_SIZE", 2), tiny_recognizer())
