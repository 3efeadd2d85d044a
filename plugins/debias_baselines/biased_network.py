"""Base of the objectives with a biased network: a spatial student that is trained beside the recognizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.engine import Objective, Phase, Step, classification
from pvbias.engine.seeding import draws_apart
from pvbias.models import EMBEDDING, Outputs, Recognizer, build_student
from pvbias.models.batch_norm import freeze_running_stats


class WithBiasedNetwork(Objective):
    """An objective with a biased network g, the spatial student of ``STUDENT``.

    Attributes:
        student: g.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.student = build_student(cfg, recognizer.num_classes)

    def biased_phase(self) -> Phase:
        """The phase that trains the biased network with cross-entropy, by ``STUDENT.SOLVER``."""
        modules = {"student": self.student}
        return Phase(name="student", modules=modules, loss=self._student_loss, solver=self.cfg.STUDENT.SOLVER)

    def _student_loss(self, step: Step) -> dict[str, Tensor]:
        with draws_apart(step.clips.device):
            return classification(self.student(step.clips), step.labels)

    @torch.no_grad()
    def biased_outputs(self, step: Step, features: Sequence[str] = (EMBEDDING,)) -> Outputs:
        """The biased network's outputs on the clips, without graph and without leaving a trace in it: of a given
        function."""
        with draws_apart(step.clips.device), freeze_running_stats(self.student):
            outputs: Outputs = self.student.outputs(step.clips, features)  # type: ignore[operator]
        return outputs
