"""Probes: classifiers of frozen features, linear (L-BFGS, SGD), of nearest neighbours, attentive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pvbias.features.logistic import PENALTIES, fit_penalized, held_out_part

from .attention import AttentivePooler

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedProbe:
    """A probe that has been fitted.

    Attributes:
        scores: class scores ``(n, K)`` of features; the softmax of them are probabilities (of several labels the
            sigmoid).
        description: how it was fitted, for the results.
    """

    scores: Callable[[np.ndarray], np.ndarray]
    description: str


class Probe(Protocol):
    """A way to fit a classifier to features."""

    def fit(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, groups: np.ndarray | None = None
    ) -> FittedProbe:
        """Fit a classifier.

        Args:
            features: float32 ``(n, D)``; of an attentive probe ``(n, tokens, D)``.
            labels: int64 ``(n,)`` in [0, K), or bool ``(n, K)``.
            num_classes: K.
            seed: of all that is drawn.
            groups: of the samples, int64 ``(n,)``: where some are held out, a group is as a whole.
        """


@dataclass(frozen=True, kw_only=True)
class LogisticProbe:
    """Logistic regression on standardised features by L-BFGS, with the L2 penalty chosen on a fifth of the videos
    (:func:`pvbias.features.logistic.fit_penalized`), as linear probes of CLIP (Radford et al. 2021, section A.3) are
    fitted, whose 96 penalties are nine here.

    Attributes:
        penalties: inverse strengths C to choose from; one alone is taken as it is. The smallest or the largest chosen
            is said in the description, and warned of.
    """

    penalties: tuple[float, ...] = PENALTIES

    def fit(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, groups: np.ndarray | None = None
    ) -> FittedProbe:
        """See :class:`Probe`."""
        found, c = fit_penalized(features, labels, num_classes, penalties=self.penalties, seed=seed, groups=groups)
        count, words = len(self.penalties), f"L-BFGS, C = {c:g}"
        if count > 1 and held_out_part(labels, seed, groups).any():
            words += f", chosen of {count} on a held-out fifth"
            if c in (min(self.penalties), max(self.penalties)):
                words += ", AT THE EDGE of them: beyond it there may be a better one (--set penalties=...)"
        elif count > 1:
            words += f", the least of {count}: there are no videos to hold out"
        words += "" if found.converged else ", NOT CONVERGED"
        if "EDGE" in words or not found.converged:
            logger.warning("%d videos of %d classes: %s", len(labels), num_classes, words)
        return FittedProbe(found.scores, words)


@dataclass(frozen=True, kw_only=True)
class SgdProbe:
    """Linear probe by SGD: the DRL supplement's schedule for layers that start from random weights (Table 1, UCF-101,
    HMDB-51 and Diving-48 without fine-tuning), on features as they are.

    The supplement says nothing of momentum: 0.9, as in ``projects/drl``. Its clips are augmented, and these are not.

    Attributes:
        epochs: passes over the videos.
        lr: initial learning rate, divided by ten every ``lr_step`` epochs.
        lr_step: epochs.
        weight_decay: of weights and biases.
        batch_size: videos.
        momentum: in [0, 1).
    """

    epochs: int = 100
    lr: float = 0.1
    lr_step: int = 30
    weight_decay: float = 1e-3
    batch_size: int = 64
    momentum: float = 0.9

    def fit(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, groups: np.ndarray | None = None
    ) -> FittedProbe:
        """See :class:`Probe`."""
        generator = torch.Generator().manual_seed(seed)
        layer = _seeded(lambda: nn.Linear(features.shape[1], num_classes), generator)
        optimizer = torch.optim.SGD(
            layer.parameters(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.lr_step, gamma=0.1)
        for _ in range(self.epochs):
            _train_epoch(layer, optimizer, features, labels, self.batch_size, generator)
            schedule.step()
        words = f"SGD, {self.epochs} epochs from {self.lr:g}, a tenth every {self.lr_step}, decay {self.weight_decay:g}"
        return FittedProbe(lambda tested: _scores(layer, tested), words)


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours:
    """Weighted k-nearest neighbours by cosine similarity, as DINO is judged (Caron et al. 2021, section 4.1; Wu et al.
    2018): each of the k nearest training videos votes for its class with the weight exp(similarity / temperature).

    Attributes:
        neighbours: k.
        temperature: DINO's.
    """

    neighbours: int = 20
    temperature: float = 0.07

    def fit(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, groups: np.ndarray | None = None
    ) -> FittedProbe:
        """See :class:`Probe`."""
        known = nn.functional.normalize(torch.from_numpy(features), dim=1)
        targets = labels if labels.ndim == 2 else labels[:, None] == np.arange(num_classes)
        votes_for = torch.from_numpy(targets).double()
        count = min(self.neighbours, len(known))

        def scores(tested: np.ndarray) -> np.ndarray:
            shares = []
            for block in nn.functional.normalize(torch.from_numpy(tested), dim=1).split(1024):
                similarity, nearest = (block @ known.T).topk(count, dim=1)
                weights = (similarity.double() / self.temperature).softmax(1)
                shares.append((weights[:, :, None] * votes_for[nearest]).sum(1))
            found = torch.cat(shares)
            # Of several labels the sigmoid, not the softmax, gives the shares back.
            return (found.logit() if labels.ndim == 2 else found.log()).numpy()

        return FittedProbe(scores, f"{count} nearest neighbours by cosine, temperature {self.temperature:g}")


@dataclass(frozen=True, kw_only=True)
class AttentiveProbe:
    """Attentive probe: one cross-attention block with one learnt query, and a linear layer, as V-JEPA is judged (Bardes
    et al. 2024, section 4): AdamW, the learning rate falls as a cosine to 0.

    Attributes:
        heads: of the attention; D is divided among them.
        epochs: passes over the videos.
        lr: initial learning rate.
        weight_decay: of AdamW.
        batch_size: videos.
    """

    heads: int = 16
    epochs: int = 20
    lr: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 64

    def fit(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int, groups: np.ndarray | None = None
    ) -> FittedProbe:
        """See :class:`Probe`."""
        generator = torch.Generator().manual_seed(seed)
        dims = features.shape[-1]
        heads = max(number for number in range(1, self.heads + 1) if dims % number == 0)
        network = _seeded(lambda: nn.Sequential(AttentivePooler(dims, heads), nn.Linear(dims, num_classes)), generator)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        for _ in range(self.epochs):
            _train_epoch(network, optimizer, features, labels, self.batch_size, generator)
            schedule.step()
        words = f"one cross-attention block of {heads} heads, AdamW, {self.epochs} epochs from {self.lr:g}"
        return FittedProbe(lambda tested: _scores(network, tested), words)


#: By the name under which configurations have them.
PROBES: dict[str, type] = {
    "lbfgs": LogisticProbe,
    "sgd": SgdProbe,
    "knn": NearestNeighbours,
    "attentive": AttentiveProbe,
}


def _seeded(build: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """A network whose weights are drawn by a generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return build()


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    features: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    inputs = torch.from_numpy(features)
    targets = torch.from_numpy(labels.astype(np.float32) if labels.ndim == 2 else labels)
    loss_of: nn.Module = nn.BCEWithLogitsLoss() if labels.ndim == 2 else nn.CrossEntropyLoss()
    for chosen in torch.randperm(len(inputs), generator=generator).split(batch_size):
        optimizer.zero_grad()
        loss_of(network(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()


def _scores(network: nn.Module, features: np.ndarray) -> np.ndarray:
    parts: list[Tensor] = []
    with torch.no_grad():
        parts.extend(network(block) for block in torch.from_numpy(features).split(1024))
    return torch.cat(parts).double().numpy()
