"""Ensembles with a biased network in training: RUBi and Learned-Mixin. The recognizer alone is what is tested."""

from __future__ import annotations

from collections.abc import Sequence

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.context import Context
from pvbias.engine import Phase, Step, classification
from pvbias.models import EMBEDDING, Recognizer, embedding_width, evaluation_mode
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE
from pvbias.run.students import fit_student

from .biased_network import WithBiasedNetwork


@OBJECTIVE.register()
class RUBi(WithBiasedNetwork):
    """The recognizer's logits are masked by the biased network's: little is learnt of what that knows already.

    R. Cadene et al., *RUBi: Reducing Unimodal Biases for Visual Question Answering*, NeurIPS 2019,
    https://arxiv.org/abs/1906.10169, with single frames in the place of the question. Two phases::

        student      L_cls(g(x), y)                                                in g's weights, by STUDENT.SOLVER
        recognizer   L_cls(f(x) * sigmoid(c(e_g(x))), y) + RUBI.WEIGHT L_cls(c(e_g(x)), y)    in those of f and c

    with f and c logits, e_g the embedding of the biased network just updated, and c a linear layer. Both losses of the
    second phase train c; through e_g, as in the paper, no gradient runs.

    The paper's own code has a further linear layer between c and its loss. In ReBias' reimplementation
    (clovaai/rebias, ``comparison_methods.py``), which is the one that was compared on Kinetics, there is none; but its
    optimizer never gets c (``trainer.py`` looks for it in the ``__dict__`` of a module, where no layer is), and the
    mask stays that of random weights. Here c learns.

    Logged: ``classification`` (of the masked logits), ``bias_classification``, ``bias_top1``, and ``top1`` of the
    recognizer alone.
    """

    needs = Needs()
    weighs_classification = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.classifier = nn.Linear(embedding_width(self.student), recognizer.num_classes)

    def phases(self) -> Sequence[Phase]:
        """The biased network's, then that of the recognizer and the classifier c."""
        modules = {"recognizer": self.base_recognizer, "classifier": self.classifier}
        main = Phase(name="recognizer", modules=modules, loss=self._recognizer_loss, solver=self.cfg.SOLVER)
        return [self.biased_phase(), main]

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        biased = self.classifier(self.biased_outputs(step).features[EMBEDDING]).float()
        masked = self.classification(step, mask_logits(step.logits.float(), biased))
        bias = classification(biased, step.labels)
        return {
            "loss": masked["loss"] + self.cfg.RUBI.WEIGHT * bias["loss"],
            "classification": masked["loss"],
            "bias_classification": bias["loss"],
            "bias_top1": bias["top1"],
            "top1": classification(step.logits.detach(), step.labels)["top1"],
        }


@OBJECTIVE.register()
class LearnedMixin(WithBiasedNetwork):
    """The recognizer learns what a biased network leaves to explain: together they are a product of experts.

    C. Clark, M. Yatskar, L. Zettlemoyer, *Don't Take the Easy Way Out: Ensemble Based Methods for Avoiding Known
    Dataset Biases*, EMNLP 2019, https://arxiv.org/abs/1909.03683, sec. 3.2. One phase, in the weights of f and a::

        L_cls(log p + softplus(a(e_f(x))) log b, y) + LEARNED_MIXIN.ENTROPY_WEIGHT H(softmax(softplus(a(e_f(x))) log b))

    with p the recognizer's probabilities, b the biased network's, e_f the recognizer's embedding, a one linear layer
    and H the entropy in nats (the paper's Learned-Mixin +H; with weight 0 Learned-Mixin).

    The biased network is trained first, with cross-entropy on the training videos by ``STUDENT.SOLVER``, and is then
    constant, in evaluation mode (kept in ``OUTPUT_DIR/fitted``).

    In ReBias' reimplementation (clovaai/rebias, ``comparison_methods.py``) the value is the same on the same tensors,
    but its optimizer never gets a, and gradients do run into b, whose optimizer is not stepped then.

    Logged: ``classification`` (of the ensemble), ``factor`` (the mean of softplus(a)), ``bias_entropy``, ``bias_top1``,
    and ``top1`` of the recognizer alone.
    """

    needs = Needs(features=(EMBEDDING,), splits=("train",))
    weighs_classification = True

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.factor = nn.Linear(embedding_width(recognizer), 1)

    def prepare(self, context: Context) -> None:
        """Train the biased network, or find it trained."""
        fit_student(context, self.student, self.base_recognizer, name="learned_mixin")
        self.student.requires_grad_(False)

    def phases(self) -> Sequence[Phase]:
        """The one of the recognizer and the layer a."""
        modules = {"recognizer": self.base_recognizer, "factor": self.factor}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        with evaluation_mode(self.student):
            log_b = self.biased_outputs(step, ()).logits
        factor = F.softplus(self.factor(step.outputs.features[EMBEDDING]).float())
        ensemble = self.classification(step, step.logits.float() + factor * log_b)
        entropy = scaled_entropy(log_b, factor)
        return {
            "loss": ensemble["loss"] + self.cfg.LEARNED_MIXIN.ENTROPY_WEIGHT * entropy,
            "classification": ensemble["loss"],
            "factor": factor.mean(),
            "bias_entropy": entropy,
            "bias_top1": classification(log_b, step.labels)["top1"],
            "top1": classification(step.logits.detach(), step.labels)["top1"],
        }


def mask_logits(logits: Tensor, biased: Tensor) -> Tensor:
    """``logits * sigmoid(biased)``, each ``(N, K)``."""
    return logits * biased.sigmoid()


def scaled_entropy(log_b: Tensor, factor: Tensor) -> Tensor:
    """The mean entropy (nats) of ``softmax(factor * log_b)``; ``log_b`` ``(N, K)``, ``factor`` ``(N, 1)``."""
    log_scaled = (factor * log_b).log_softmax(1)
    return -(log_scaled.exp() * log_scaled).sum(1).mean()
