"""Composition of objectives: a weighted sum of their losses of the recognizer, with each one's auxiliary networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..errors import ConfigError
from ..models.recognizer import Recognizer
from ..needs import union
from ..registries import OBJECTIVE
from .objective import Objective, Phase, Step

if TYPE_CHECKING:
    from ..context import Context

#: Between the names of terms.
JOINED_BY = " + "


def objective_names(value: str) -> list[str]:
    """The names of the terms in ``OBJECTIVE.NAME``."""
    return [name.strip() for name in value.split(JOINED_BY.strip())]


def build_objective(cfg: CfgNode, recognizer: Recognizer) -> Objective:
    """Build the objective of ``OBJECTIVE.NAME``: one, or the sum of several.

    Raises:
        ConfigError: terms that cannot be combined, or not one weight for each.
    """
    names = objective_names(cfg.OBJECTIVE.NAME)
    if len(names) == 1 and not cfg.OBJECTIVE.WEIGHTS:
        return OBJECTIVE.get(names[0])(cfg, recognizer)
    return SumOfObjectives(cfg, recognizer, names)


class SumOfObjectives(Objective):
    """The weighted sum of several objectives' losses of the recognizer (``OBJECTIVE.WEIGHTS``, 1 each by default)::

        loss = sum_i weight_i * loss_i

    The classification loss is in it once: with the weight of CrossEntropy where that is a term, else of the first term
    (:attr:`.Objective.classifies`). So ``CrossEntropy + X`` is X, for an X that adds something to the classification
    loss. All terms see the same outputs, of one forward. Phases that do not train the recognizer (students, critics)
    keep their own losses, optimizers and order, and come before the recognizer's.

    Logged: ``loss``, and what each term logs, under ``<term>/<name>``.

    Raises:
        ConfigError: an objective twice; weights that are not one for each; two terms that weigh the classification loss
            themselves; two phases of one term, or other optimizers or learning rates, for the recognizer.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer)
        if len(set(names)) < len(names):
            raise ConfigError(f"OBJECTIVE.NAME = {cfg.OBJECTIVE.NAME!r} names an objective twice.")
        weights = list(cfg.OBJECTIVE.WEIGHTS) or [1.0] * len(names)
        if len(weights) != len(names):
            raise ConfigError(
                f"OBJECTIVE.WEIGHTS = {weights} must have one weight for each of the {len(names)} terms of "
                f"OBJECTIVE.NAME = {cfg.OBJECTIVE.NAME!r}."
            )
        self.terms = nn.ModuleDict({name: OBJECTIVE.get(name)(cfg, recognizer) for name in names})
        self.weights = dict(zip(names, weights, strict=True))
        self.needs = union(term.needs for term in self._objectives.values())
        self.description = "; ".join(
            f"{name}: {term.description}" for name, term in self._objectives.items() if term.description
        )
        self._choose_classifier()

    @property
    def _objectives(self) -> Mapping[str, Objective]:
        return dict(self.terms.items())  # type: ignore[arg-type]

    def _choose_classifier(self) -> None:
        weighing = [name for name, term in self._objectives.items() if term.weighs_classification]
        if len(weighing) > 1:
            raise ConfigError(
                f"OBJECTIVE.NAME = {self.cfg.OBJECTIVE.NAME!r}: {weighing[0]} and {weighing[1]} both say how much the "
                "classification loss counts, and there is only one. Take one of them."
            )
        plain = [name for name in self.terms if name == type(self).PLAIN]
        if weighing and plain:
            raise ConfigError(
                f"OBJECTIVE.NAME = {self.cfg.OBJECTIVE.NAME!r}: {weighing[0]} has the classification loss in it, in "
                f"its own way. Leave {plain[0]} out."
            )
        chosen = (weighing or plain or list(self.terms))[0]
        for name, term in self._objectives.items():
            term.classifies = name == chosen

    #: The objective that is the classification loss and nothing else.
    PLAIN = "CrossEntropy"

    def prepare(self, context: Context) -> None:
        """Prepare each term."""
        for term in self._objectives.values():
            term.prepare(context)

    def phases(self) -> Sequence[Phase]:
        """The phases of the terms that train other networks, then one for the recognizer."""
        own = {id(parameter) for parameter in self.base_recognizer.parameters()}
        others: list[Phase] = []
        joint: dict[str, Phase] = {}
        for name, term in self._objectives.items():
            for phase in term.phases():
                trained = {id(parameter) for module in phase.modules.values() for parameter in module.parameters()}
                if not trained & own:
                    others.append(_renamed(phase, f"{name}.{phase.name}"))
                elif name in joint:
                    raise ConfigError(
                        f"{name} trains the recognizer in two phases ({joint[name].name}, {phase.name}), which cannot "
                        "be combined with other terms: take it alone."
                    )
                else:
                    joint[name] = phase
        return [*others, self._joint_phase(joint)]

    def _joint_phase(self, phases: Mapping[str, Phase]) -> Phase:
        if not phases:
            raise ConfigError(
                f"None of the terms of OBJECTIVE.NAME = {self.cfg.OBJECTIVE.NAME!r} trains the recognizer."
            )
        (first, phase), *rest = phases.items()
        modules, factors = dict(phase.modules), dict(phase.lr_factors)
        names = {id(module): name for name, module in modules.items()}
        rates = _lr_factors(phase)
        for name, other in rest:
            theirs = _lr_factors(other)
            if any(rates[own] != theirs[own] for own in rates.keys() & theirs.keys()):
                raise ConfigError(
                    f"{name} trains weights at another learning rate than a term of OBJECTIVE.NAME before it: they "
                    "cannot be combined."
                )
            rates |= theirs
            if dict(other.solver) != dict(phase.solver):
                raise ConfigError(
                    f"{first} and {name} train the recognizer with different optimizers or schedules: they cannot be "
                    "combined."
                )
            for key, module in other.modules.items():
                if id(module) in names:
                    continue
                modules[f"{name}/{key}"] = module
                if key in other.lr_factors:
                    factors[f"{name}/{key}"] = other.lr_factors[key]
        return Phase(
            name="recognizer",
            modules=modules,
            loss=partial(self._loss, phases),
            solver=phase.solver,
            lr_factors=factors,
        )

    def _loss(self, phases: Mapping[str, Phase], step: Step) -> dict[str, Tensor]:
        logged: dict[str, Tensor] = {}
        losses = []
        for name, phase in phases.items():
            terms = phase.loss(step)
            losses.append(self.weights[name] * terms["loss"])
            logged |= {f"{name}/{key}": value for key, value in terms.items()}
        return {"loss": sum(losses[1:], losses[0]), **logged}


def _lr_factors(phase: Phase) -> dict[int, float]:
    """The factor of each parameter's learning rate, by id."""
    factors: dict[int, float] = {}
    for name, module in phase.modules.items():
        for parameter in module.parameters():
            factors.setdefault(id(parameter), phase.lr_factors.get(name, 1.0))
    return factors


def _renamed(phase: Phase, name: str) -> Phase:
    return Phase(name=name, modules=phase.modules, loss=phase.loss, solver=phase.solver, lr_factors=phase.lr_factors)
