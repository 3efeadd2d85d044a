"""Domain-adversarial training with an unlabelled second stream: DANN, CDAN."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from pvbias.engine import Objective, Phase, Step, reverse_gradient
from pvbias.models import EMBEDDING, Recognizer, embedding_width
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE

from .reversal import reversal_strength

#: The streams, in the order of their domains' numbers.
_STREAMS = ("train", "target")


class _DomainAdversarial(Objective):
    """Cross-entropy on the labelled stream; a classifier D of domains that the features h are trained to defeat::

        loss = L_cls(f(x), y) + mean_x w(x) BCE(D(R(h(x))), 0) + mean_t w(t) BCE(D(R(h(t))), 1)

    with x clips of the training split, t clips of ``DATA.STREAMS.target``, weights w, and R the reversal of the
    gradient by lambda_p. D is a multilayer perceptron with two hidden layers of ``DOMAIN_ADAPTATION.HIDDEN``. The mean
    over a mini-batch is that over all processes.
    """

    needs = Needs(features=(EMBEDDING,), streams=_STREAMS)

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        hidden = cfg.DOMAIN_ADAPTATION.HIDDEN
        layers = [nn.Linear(self._inputs(), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.domain_classifier = nn.Sequential(*layers, nn.Linear(hidden, 1))

    @abc.abstractmethod
    def _inputs(self) -> int:
        """How many numbers the domain classifier sees; called before it is made."""

    @abc.abstractmethod
    def _seen(self, step: Step) -> Tensor:
        """What the domain classifier sees of the clips of a stream, float32 ``(N, inputs)``."""

    def _weights(self, step: Step) -> Tensor | None:
        """How much each clip counts, ``(N,)``; None: 1."""
        return None

    def phases(self) -> Sequence[Phase]:
        """The one phase: through the reversal, minimising is a minimum for D and a maximum for the features."""
        modules = {"recognizer": self.base_recognizer, "domain_classifier": self.domain_classifier}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        share = step.epoch / self.cfg.SOLVER.MAX_EPOCH
        reversal = reversal_strength(share, self.cfg.DOMAIN_ADAPTATION.GAMMA)
        terms = self.classification(step)
        losses, accuracies = [], []
        for number, stream in enumerate(_STREAMS):
            clips = step.streams[stream]
            seen = reverse_gradient(self._seen(clips), reversal)
            # In half precision, what differs between domains that are much alike would be lost.
            with torch.autocast(seen.device.type, enabled=False):
                logits = self.domain_classifier(seen).squeeze(1)
            target = torch.full_like(logits, number)
            losses.append(F.binary_cross_entropy_with_logits(logits, target, weight=self._weights(clips)))
            accuracies.append(((logits > 0) == bool(number)).float().mean())
        domain = losses[0] + losses[1]
        return {
            "loss": terms["loss"] + domain,
            "classification": terms["loss"],
            "domain": domain,
            "domain_accuracy": torch.stack(accuracies).mean(),
            "reversal": domain.new_tensor(reversal),
            "top1": terms["top1"],
        }


@OBJECTIVE.register()
class DANN(_DomainAdversarial):
    """DANN (Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17, 2016, eq. 18; first in Ganin and
    Lempitsky, ICML 2015): the classifier of domains sees the embedding e::

        loss = L_cls(f(x), y) + BCE(D(R(e(x))), 0) + BCE(D(R(e(t))), 1)           (means over clips)

    with the gradient of e reversed and multiplied by ``lambda_p = 2 / (1 + exp(-DOMAIN_ADAPTATION.GAMMA p)) - 1`` for
    the share p of the training that is over (sec. 5.2.2). x are clips of the training split, t clips of
    ``DATA.STREAMS.target``, whose labels are never read; D is a multilayer perceptron with two hidden layers of
    ``DOMAIN_ADAPTATION.HIDDEN``. Logged: ``classification``, ``domain`` (nats, of both domains), ``domain_accuracy``
    (the mean of both domains'; 0.5 is chance), ``reversal`` (lambda_p) and ``top1``.

    BatchNorm in training mode normalises the clips of each domain with their own statistics; the running ones follow
    both, source first: ``r <- (1 - m)^2 r + (1 - m) m r_source + m r_target`` with momentum m.
    """

    def _inputs(self) -> int:
        return embedding_width(self.base_recognizer)

    def _seen(self, step: Step) -> Tensor:
        return step.outputs.features[EMBEDDING].float()


@OBJECTIVE.register()
class CDAN(_DomainAdversarial):
    """CDAN (M. Long et al., *Conditional Adversarial Domain Adaptation*, NeurIPS 2018): the classifier of domains sees
    the embedding e together with the class probabilities p::

        loss = L_cls(f(x), y) + mean_x w(x) BCE(D(R(T(e, p)(x))), 0) + mean_t w(t) BCE(D(R(T(e, p)(t))), 1)

        T = e (x) p,  all D K products, where there are at most CDAN.LARGEST_PRODUCT of them          (eq. 4)
        T = (A e) * (B p) / sqrt(d)  else, with fixed random A (d, D) and B (d, K), normal numbers    (eq. 6)
        w = 1 + exp(-entropy of p)  with CDAN.ENTROPY (CDAN+E, eq. 9), else 1

    with the gradient of e reversed as in :class:`DANN`. p is a given here, as in the authors' code: neither T nor w has
    a gradient by it. They also divide w by its mean, the paper does not; with this the figures of a mini-batch would
    depend on its other clips. What is logged, and BatchNorm: as :class:`DANN`.
    """

    random_embedding: Tensor
    random_classes: Tensor

    def _inputs(self) -> int:
        keys, width = self.cfg.CDAN, embedding_width(self.base_recognizer)
        classes = self.base_recognizer.num_classes
        self.randomised = width * classes > keys.LARGEST_PRODUCT
        if not self.randomised:
            return width * classes
        self.register_buffer("random_embedding", torch.randn(width, keys.RANDOM_FEATURES))
        self.register_buffer("random_classes", torch.randn(classes, keys.RANDOM_FEATURES))
        return int(keys.RANDOM_FEATURES)

    @staticmethod
    def _probabilities(step: Step) -> Tensor:
        return step.logits.detach().float().softmax(1)

    def _seen(self, step: Step) -> Tensor:
        embedding, classes = step.outputs.features[EMBEDDING].float(), self._probabilities(step)
        if not self.randomised:
            return (classes[:, :, None] * embedding[:, None]).flatten(1)
        with torch.autocast(embedding.device.type, enabled=False):
            mixed = (embedding @ self.random_embedding) * (classes @ self.random_classes)
        return mixed / math.sqrt(self.random_embedding.shape[1])

    def _weights(self, step: Step) -> Tensor | None:
        if not self.cfg.CDAN.ENTROPY:
            return None
        return 1 + torch.exp(-torch.special.entr(self._probabilities(step)).sum(1))
