"""RUBi and Learned-Mixin: by hand, beside the numbers of ReBias' code, and their gradients."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pvbias.plugins.debias_baselines import LearnedMixin, RUBi
from pvbias.plugins.debias_baselines.ensembles import mask_logits, scaled_entropy
from pvbias.registries import STUDENT

from ...engine.toys import tiny_recognizer
from .given import Given, debias_cfg, given_step, waves

LABELS = torch.tensor([0, 1, 2, 0])


@pytest.fixture(autouse=True)
def registered():
    restore = STUDENT.snapshot()
    yield
    restore()


def made(objective, cfg, recognizer, logits, embedding):
    """The objective with a student that gives these log-probabilities and this embedding."""
    STUDENT.register(lambda cfg, num_classes: Given(logits, embedding), name="given")
    cfg.STUDENT.NAME = "given"
    return objective(cfg, recognizer)


def set_layer(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def test_rubi_by_hand(tmp_path):
    """f = (2, 0), c = (0, 0): masked (1, 0), so ln(1 + 1/e) for class 0, and ln 2 for the classifier."""
    recognizer = tiny_recognizer()
    objective = made(RUBi, debias_cfg(tmp_path, "RUBI.WEIGHT", 0.5), recognizer, torch.zeros(1, 3), torch.ones(1, 2))
    objective.classifier = nn.Linear(2, 2)
    set_layer(objective.classifier, torch.zeros(2, 2), torch.zeros(2))
    step = given_step(recognizer, torch.tensor([[2.0, 0.0]]), torch.zeros(1, 6), torch.tensor([0]))
    values = objective.phases()[1].loss(step)
    assert values["classification"].item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert values["bias_classification"].item() == pytest.approx(math.log(2))
    assert values["loss"].item() == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2) / 2)


def test_rubi_beside_the_code_of_rebias(tmp_path):
    """clovaai/rebias at 79d1d1d, criterions/comparison_methods.py, RUBi, on the same tensors: 2.3929051356."""
    recognizer, cfg = tiny_recognizer(), debias_cfg(tmp_path)
    objective = made(RUBi, cfg, recognizer, torch.zeros(4, 3), waves(4, 5, rate=0.7))
    set_layer(objective.classifier, waves(3, 5, rate=1.3), waves(3, rate=2.0))
    step = given_step(recognizer, 2 * waves(4, 3, rate=1.0), torch.zeros(4, 6), LABELS)
    assert objective.phases()[1].loss(step)["loss"].item() == pytest.approx(2.3929051356, rel=1e-6)


def test_learned_mixin_by_hand(tmp_path):
    """p = (1/2, 1/2), b = (3/4, 1/4), a = ln(e - 1), so that its softplus is 1: the ensemble is b."""
    recognizer, cfg = tiny_recognizer(), debias_cfg(tmp_path, "LEARNED_MIXIN.ENTROPY_WEIGHT", 0.1)
    log_b = torch.tensor([[0.75, 0.25]]).log()
    objective = made(LearnedMixin, cfg, recognizer, log_b, torch.ones(1, 2))
    set_layer(objective.factor, torch.zeros(1, 6), torch.tensor([math.log(math.e - 1)]))
    step = given_step(recognizer, torch.tensor([[5.0, 5.0]]), torch.zeros(1, 6), torch.tensor([1]))
    values = objective.phases()[0].loss(step)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert values["classification"].item() == pytest.approx(math.log(4))
    assert values["bias_entropy"].item() == pytest.approx(entropy)
    assert values["loss"].item() == pytest.approx(math.log(4) + 0.1 * entropy)


@pytest.mark.parametrize(("weight", "released"), [(0.36, 2.3741906522), (0.0, 2.0447848383)])
def test_learned_mixin_beside_the_code_of_rebias(weight, released, tmp_path):
    """As above, LearnedMixin. It takes logits of the biased network in the place of log b, which is the same."""
    recognizer, cfg = tiny_recognizer(), debias_cfg(tmp_path, "LEARNED_MIXIN.ENTROPY_WEIGHT", weight)
    log_b = (3 * waves(4, 3, rate=0.3)).log_softmax(1)
    objective = made(LearnedMixin, cfg, recognizer, log_b, torch.ones(4, 2))
    objective.factor = nn.Linear(5, 1)
    set_layer(objective.factor, waves(1, 5, rate=1.3), waves(1, rate=2.0))
    step = given_step(recognizer, 2 * waves(4, 3, rate=1.0), waves(4, 5, rate=0.7), LABELS)
    assert objective.phases()[0].loss(step)["loss"].item() == pytest.approx(released, rel=1e-6)


def test_gradients_against_finite_differences():
    f, g = (waves(4, 3, rate=rate).requires_grad_() for rate in (1.0, 0.7))
    a = waves(4, 1, rate=1.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, g: F.cross_entropy(mask_logits(f, g), LABELS), (f, g))
    log_b = g.detach().log_softmax(1)
    assert torch.autograd.gradcheck(lambda f, a: F.cross_entropy(f + F.softplus(a) * log_b, LABELS), (f, a))
    assert torch.autograd.gradcheck(lambda a: scaled_entropy(log_b, F.softplus(a)), (a,))


@pytest.mark.parametrize("objective", [RUBi, LearnedMixin])
def test_the_recognizers_phase_leaves_nothing_in_the_biased_network(objective, tmp_path):
    """Its statistics and its weights are those of its own training."""
    recognizer = tiny_recognizer()
    trained = objective(debias_cfg(tmp_path, "STUDENT.NAME", "noisy"), recognizer).train()
    before = {name: value.clone() for name, value in trained.student.state_dict().items()}
    step = given_step(recognizer, waves(4, 3, rate=1.0).requires_grad_(), waves(4, 6, rate=0.7), LABELS)
    trained.phases()[-1].loss(step)["loss"].backward()
    assert all(parameter.grad is None for parameter in trained.student.parameters())
    assert all(torch.equal(before[name], value) for name, value in trained.student.state_dict().items())
    own = {**dict(trained.named_parameters())}
    others = [name for name, parameter in own.items() if not name.startswith("student.") and parameter.grad is not None]
    assert len(others) == 2
