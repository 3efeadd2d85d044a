"""ReBias as an example plugin: HSIC by its definition, who learns from what, and as a term beside others."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from pvbias.engine import Step
from pvbias.engine.seeding import seed_everything
from pvbias.errors import ConfigError
from pvbias.registries import OBJECTIVE, STUDENT
from pvbias.run import run

from ..engine.toys import CLASSES, tiny_recognizer
from .example_plugins import configured, importable


class MeanColour(torch.nn.Module):
    """A student that sees the mean colour of frames."""

    def __init__(self, cfg, num_classes):
        super().__init__()
        self.linear = torch.nn.Linear(3, num_classes)

    def forward(self, clips):
        return self.linear(clips.mean((2, 3, 4))).log_softmax(1)


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        STUDENT.register(MeanColour, name="mean_colour")
        yield


def kernels(x, y):
    """Gaussian kernels with the median of squared distances, diagonals zeroed."""
    for features in (x, y):
        distances = ((features[:, None] - features[None]) ** 2).sum(2)
        rest = np.sort(distances[~np.eye(len(features), dtype=bool)])
        kernel = np.exp(-distances / rest[(len(rest) - 1) // 2])
        np.fill_diagonal(kernel, 0)
        yield kernel


def test_hsic_by_its_definition():
    """The mean over all quadruples of different clips of U_ij (V_ij + V_kl - 2 V_ik): what the formula sums up."""
    from example_plugins.rebias import hsic

    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    u, v = kernels(x, y)
    terms = [u[i, j] * (v[i, j] + v[k, m] - 2 * v[i, k]) for i, j, k, m in itertools.permutations(range(6), 4)]
    found = hsic(torch.tensor(x), torch.tensor(y))
    assert found.item() == pytest.approx(np.mean(terms), abs=1e-6)
    # ... and as numpy has it.
    one, m = np.ones(6), 6
    formula = np.trace(u @ v) + one @ u @ one * (one @ v @ one) / ((m - 1) * (m - 2)) - 2 / (m - 2) * one @ u @ v @ one
    assert found.item() == pytest.approx(formula / (m * (m - 3)), abs=1e-6)


def test_hsic_of_independent_features_is_zero_on_average():
    from example_plugins.rebias import hsic

    torch.manual_seed(0)
    independent = torch.stack([hsic(torch.randn(8, 2), torch.randn(8, 3)) for _ in range(2000)])
    error = independent.std().item() / math.sqrt(2000)
    assert abs(independent.mean().item()) < 3 * error
    assert (independent < 0).any()
    x = torch.randn(8, 2)
    assert hsic(x, 3 * x).item() > 20 * error
    torch.testing.assert_close(hsic(x, 100 * x), hsic(x, x))  # whatever the scale
    with pytest.raises(ConfigError, match="4 clips or more"):
        hsic(x[:3], x[:3])


def step_of(recognizer, objective):
    torch.manual_seed(1)
    clips, labels = torch.rand(8, 3, 4, 8, 8), torch.arange(8) % CLASSES
    return Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, features=objective.needs.features)


def gradients(module):
    found = [parameter.grad for parameter in module.parameters()]
    return None if all(each is None for each in found) else torch.cat([each.flatten() for each in found])


def test_the_student_follows_and_the_recognizer_evades(tmp_path):
    """Each phase leaves gradients in its own network; along them, HSIC goes up in one and down in the other."""
    cfg = configured(tmp_path, "rebias", "STUDENT.NAME", "mean_colour", "REBIAS.STUDENT_WEIGHT", 0.0)
    recognizer = tiny_recognizer()
    objective = OBJECTIVE.get("ReBias")(cfg, recognizer)
    student, main = objective.phases()
    for phase, own, other, sign in (
        (student, objective.student, recognizer, 1),
        (main, recognizer, objective.student, -1),
    ):
        step = step_of(recognizer, objective)
        losses = phase.loss(step)
        before = losses["hsic"].item()
        expected = -before if phase is student else losses["classification"].item() + before
        assert losses["loss"].item() == pytest.approx(expected)
        (-sign * losses["hsic"]).backward()  # what phases say of HSIC, without the classification
        assert gradients(other) is None
        with torch.no_grad():
            for parameter in own.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        after = phase.loss(step_of(recognizer, objective))["hsic"].item()
        assert sign * (after - before) > 0
        recognizer.zero_grad()
        objective.zero_grad()


def logged(folder, name, *overrides):
    off = ("TEST.ENABLE", False, "BIAS.ENABLE", False, "STUDENT.NAME", "mean_colour")
    cfg = configured(folder, "rebias", "OBJECTIVE.NAME", name, *off, *overrides)
    seed_everything(cfg.RNG_SEED)  # as who launches a run does, for the model's weights
    run(cfg)
    with open(f"{cfg.OUTPUT_DIR}/train_log.jsonl", encoding="utf-8") as lines:
        return [line for line in map(json.loads, lines) if line["kind"] == "train"]


def test_beside_other_terms(tmp_path):
    """CrossEntropy + ReBias is ReBias; with weight 0 the recognizer learns what cross-entropy teaches it."""
    alone = logged(tmp_path / "alone", "ReBias")[-1]
    joint = logged(tmp_path / "joint", "CrossEntropy + ReBias")[-1]
    assert alone["student/hsic"] == joint["ReBias.student/hsic"]
    assert alone["recognizer/loss"] == joint["recognizer/loss"]
    plain = logged(tmp_path / "plain", "CrossEntropy")[-1]
    without = logged(tmp_path / "without", "CrossEntropy + ReBias", "REBIAS.WEIGHT", 0.0)[-1]
    assert without["recognizer/CrossEntropy/loss"] == plain["loss"]
    three = logged(tmp_path / "three", "CrossEntropy + ReBias + DRLFreeze")[-1]
    assert math.isfinite(three["recognizer/DRLFreeze/dynamic_score"])


def test_mini_batches_that_are_too_small(tmp_path):
    with pytest.raises(ConfigError, match=r"raise TRAIN\.BATCH_SIZE"):
        logged(tmp_path, "ReBias", "TRAIN.BATCH_SIZE", 2)
