"""Several objectives as one: the classification loss once, outputs shared, phases kept."""

import pytest
import torch
from torch import nn

from pvbias.config import load_cfg
from pvbias.engine import CrossEntropy, Objective, Phase, Step, build_objective
from pvbias.errors import ConfigError
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE

from .toys import FakeLoader, TeacherAndStudent, make_cfg, make_trainer, tiny_recognizer, weights


class Entropy(Objective):
    """The classification loss minus the mean entropy, with a scale of its own to learn."""

    needs = Needs(features=("embedding",))

    def __init__(self, cfg, recognizer):
        super().__init__(cfg, recognizer)
        self.scale = nn.Linear(1, 1, bias=False)

    def phases(self):
        modules = {"recognizer": self.base_recognizer, "scale": self.scale}
        return [
            Phase(
                name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER, lr_factors={"scale": 3.0}
            )
        ]

    def _loss(self, step):
        terms = self.classification(step)
        entropy = torch.distributions.Categorical(logits=step.logits).entropy().mean()
        size = step.outputs.features["embedding"].square().mean() * self.scale.weight.square().mean()
        return {"loss": terms["loss"] - entropy + size, "entropy": entropy}


class Weighing(CrossEntropy):
    weighs_classification = True


class TwoPhases(TeacherAndStudent):
    def phases(self):
        first, second = super().phases()
        return [second, Phase(name="again", modules=second.modules, loss=second.loss, solver=second.solver), first]


@pytest.fixture(autouse=True)
def registered():
    restore = OBJECTIVE.snapshot()
    for objective in (Entropy, Weighing, TwoPhases, TeacherAndStudent):
        OBJECTIVE.register(objective)
    yield
    restore()


def make(tmp_path, name, weights=(), **cfg):
    made = make_cfg(tmp_path, "OBJECTIVE.NAME", name, "OBJECTIVE.WEIGHTS", list(weights))
    recognizer = tiny_recognizer()
    torch.manual_seed(5)
    return build_objective(made, recognizer), recognizer


def step_of(recognizer, objective):
    torch.manual_seed(1)
    return Step(
        clips=torch.rand(4, 3, 4, 8, 8),
        labels=torch.tensor([0, 1, 2, 0]),
        recognizer=recognizer,
        epoch=0.0,
        features=objective.needs.features,
    )


def test_the_weighted_sum_with_the_classification_loss_once(tmp_path):
    objective, recognizer = make(tmp_path, "CrossEntropy + Entropy", [2.0, 0.5])
    (phase,) = objective.phases()
    values = phase.loss(step_of(recognizer, objective))
    classes, entropy = values["CrossEntropy/loss"], values["Entropy/entropy"]
    size = values["Entropy/loss"] + entropy
    assert torch.allclose(values["loss"], 2 * classes + 0.5 * (size - entropy))
    assert objective.needs.features == ("embedding",)
    assert phase.lr_factors == {"Entropy/scale": 3.0}


@pytest.mark.parametrize("name", ["CrossEntropy + Entropy", "Entropy + CrossEntropy"])
def test_cross_entropy_and_a_term_is_that_term(tmp_path, name):
    trained = []
    for each in (name, "Entropy"):
        cfg = make_cfg(tmp_path / each.replace(" ", ""), "OBJECTIVE.NAME", each)
        recognizer = tiny_recognizer()

        def build(cfg, recognizer):
            torch.manual_seed(5)
            return build_objective(cfg, recognizer)

        make_trainer(cfg, recognizer, build, FakeLoader()).train()
        trained.append(weights(recognizer))
    assert torch.allclose(*trained, atol=1e-6)


def test_other_networks_keep_their_phases(tmp_path):
    objective, recognizer = make(tmp_path, "TeacherAndStudent + Entropy")
    student, joint = objective.phases()
    assert student.name == "TeacherAndStudent.student"
    assert set(student.modules) == {"student"}
    assert set(joint.modules) == {"recognizer", "Entropy/scale"}
    forwards = []
    recognizer.module.register_forward_hook(lambda *_: forwards.append(1))
    step = step_of(recognizer, objective)
    for phase in (student, joint):
        phase.loss(step)
    assert len(forwards) == 1
    assert set(objective.state_dict()) == {
        "terms.TeacherAndStudent.student.weight",
        "terms.TeacherAndStudent.student.bias",
        "terms.Entropy.scale.weight",
    }


def test_one_name_is_that_objective_itself(tmp_path):
    assert type(make(tmp_path, "CrossEntropy")[0]) is CrossEntropy


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("CrossEntropy + CrossEntropy", [], "names an objective twice"),
        ("CrossEntropy + Entropy", [1.0], "one weight for each of the 2 terms"),
        ("Weighing + CrossEntropy", [], "Leave CrossEntropy out"),
        ("TwoPhases + Entropy", [], r"two phases \(recognizer, again\)"),
    ],
)
def test_what_cannot_be_combined_says_why(tmp_path, name, weights, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, name, weights)[0].phases()


def test_other_optimizers_of_the_recognizer(tmp_path):
    objective, _ = make(tmp_path, "CrossEntropy + Entropy")
    objective.terms["Entropy"].cfg = make_cfg(tmp_path, "SOLVER.BASE_LR", 0.7)
    with pytest.raises(ConfigError, match="CrossEntropy and Entropy train the recognizer with different optimizers"):
        objective.phases()


def test_another_learning_rate_of_the_same_weights(tmp_path):
    class SlowHead(CrossEntropy):
        def phases(self):
            (phase,) = super().phases()
            modules = {"head": self.base_recognizer.head, **phase.modules}
            return [Phase(name="slow", modules=modules, loss=phase.loss, solver=phase.solver, lr_factors={"head": 0.1})]

    OBJECTIVE.register(SlowHead)
    assert make(tmp_path, "SlowHead")[0].phases()
    with pytest.raises(ConfigError, match="SlowHead trains weights at another learning rate"):
        make(tmp_path, "Entropy + SlowHead")[0].phases()


def test_names_in_a_configuration(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("OBJECTIVE: {NAME: [CrossEntropy, Entropy], WEIGHTS: [1, 0.5]}")
    assert load_cfg(file).OBJECTIVE.NAME == "CrossEntropy + Entropy"
    assert load_cfg(overrides=["OBJECTIVE.NAME", "[CrossEntropy,Entropy]"]).OBJECTIVE.NAME == "CrossEntropy + Entropy"
    assert load_cfg(overrides=["OBJECTIVE.NAME", "Entropy"]).OBJECTIVE.NAME == "Entropy"
    with pytest.raises(ConfigError, match=r"command line: OBJECTIVE\.NAME: No OBJECTIVE is called 'Entropi'"):
        load_cfg(overrides=["OBJECTIVE.NAME", "CrossEntropy + Entropi"])


def test_a_feature_that_nobody_declared(tmp_path):
    objective, recognizer = make(tmp_path, "Entropy")
    step = step_of(recognizer, objective)
    with pytest.raises(ConfigError, match=r"'conv' was not asked for.*'embedding'.*features=\('conv',\)"):
        _ = step.outputs.features["conv"]
