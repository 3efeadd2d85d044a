"""Few-shot classification: N-way K-shot episodes of frozen features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from pvbias.errors import DataError

#: Episodes of Baseline's SGD that take their steps side by side.
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode.

    Attributes:
        support: indices of the videos with labels, int64 ``(N, K)``, a row a class.
        query: of those to classify, int64 ``(N, Q)``.
        seed: of what a classifier draws.
    """

    support: np.ndarray
    query: np.ndarray
    seed: int


def episodes(
    labels: np.ndarray, *, ways: int, shots: int, queries: int, count: int, seed: int, names: Sequence[str] = ()
) -> Iterator[Episode]:
    """Draw episodes: N classes, and of each K videos with a label and Q to classify, all without replacement.

    They depend on the list (names and labels) and the seed, and not on features: any number of models are given the
    same ones, so that their differences are paired.

    Args:
        labels: of the videos, int64 ``(n,)``, -1: none, such a video is never drawn.
        ways, shots, queries: N, K, Q.
        count: episodes.
        seed: draws others.
        names: of the videos.

    Raises:
        DataError: there are not N classes of K + Q videos.
    """
    members = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])}
    large = [label for label, found in members.items() if len(found) >= shots + queries]
    if len(large) < ways:
        raise DataError(
            f"{len(large)} of {len(members)} classes have {shots} + {queries} videos, and an episode has {ways}: ask "
            "for fewer ways, shots or queries."
        )
    digest = hashlib.sha256(repr((list(names), labels.tolist(), ways, shots, queries)).encode()).digest()
    for number in range(count):
        generator = np.random.default_rng([seed, number, *digest])
        chosen = generator.choice(len(large), size=ways, replace=False)
        drawn = np.stack(
            [generator.choice(members[large[place]], size=shots + queries, replace=False) for place in chosen]
        )
        yield Episode(support=drawn[:, :shots], query=drawn[:, shots:], seed=int(generator.integers(2**62)))


def episode_accuracies(
    features: np.ndarray, drawn: Sequence[Episode], *, classifier: str, normalize: bool | None = None
) -> np.ndarray:
    """The accuracy of each episode, float64 ``(E,)``, in [0, 1].

    Args:
        features: float32 ``(n, D)``.
        drawn: E episodes of one shape.
        classifier: a name in :data:`CLASSIFIERS`.
        normalize: whether features are divided by their length first; None: as the classifier's paper does.
    """
    classify, usual = CLASSIFIERS[classifier]
    if usual if normalize is None else normalize:
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    found = np.empty(len(drawn))
    for start in range(0, len(drawn), _AT_ONCE):
        part = drawn[start : start + _AT_ONCE]
        for number, (episode, scores) in enumerate(zip(part, classify(features, part), strict=True)):
            truth = np.repeat(np.arange(len(episode.query)), episode.query.shape[1])
            # Where classes tie, the share that guessing among them would get.
            best = scores == scores.max(axis=1, keepdims=True)
            found[start + number] = (best[np.arange(len(truth)), truth] / best.sum(axis=1)).mean()
    return found


def episode_interval(accuracies: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over episodes (Student's t): how far other episodes of the same videos would move it.

    It says nothing about other videos: all episodes draw from the same ones.

    Args:
        accuracies: ``(E,)``.
    """
    if len(accuracies) < 2:
        return None
    half = float(stats.t.ppf(0.975, len(accuracies) - 1) * stats.sem(accuracies))
    return float(accuracies.mean()) - half, float(accuracies.mean()) + half


def _centroids(features: np.ndarray, drawn: Sequence[Episode]) -> Iterator[np.ndarray]:
    """Nearest centroid (Snell et al. 2017, with no training): the squared distance to the mean of each class's support,
    negated."""
    for episode in drawn:
        means = features[episode.support].mean(axis=1, dtype=np.float64)
        queries = features[episode.query.ravel()].astype(np.float64)
        yield -((queries[:, None] - means) ** 2).sum(axis=2)


def _logistic(features: np.ndarray, drawn: Sequence[Episode]) -> Iterator[np.ndarray]:
    """Logistic regression on the support, scikit-learn's with C = 1 (Tian et al. 2020).

    Weights that minimise a loss with an L2 penalty are a combination of the support's features: the regression is done
    in coordinates of an orthonormal basis of these, NK instead of D, to the same result.
    """
    for episode in drawn:
        ways, shots = episode.support.shape
        support = features[episode.support.ravel()].astype(np.float64)
        basis, coordinates = np.linalg.qr(support.T)
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit(coordinates.T, np.repeat(np.arange(ways), shots))
        scores = fitted.decision_function(features[episode.query.ravel()].astype(np.float64) @ basis)
        yield scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)


def _baseline(features: np.ndarray, drawn: Sequence[Episode]) -> Iterator[np.ndarray]:
    """Chen et al. (2019), Baseline: a linear layer, trained on the support by SGD.

    As their code does it (``methods/baselinefinetune.py``): 100 epochs of mini-batches of 4, learning rate 0.01,
    momentum 0.9, dampening 0.9, weight decay 0.001, from torch's initial weights. All the time the weights are the
    initial ones times a factor and a combination of the support's features: what is stepped are these factors, of all
    episodes side by side.
    """
    epochs, batch, lr, momentum, dampening, decay = 100, 4, 0.01, 0.9, 0.9, 0.001
    ways, shots = drawn[0].support.shape
    count, dims = ways * shots, features.shape[1]
    support = torch.from_numpy(features[np.stack([episode.support.ravel() for episode in drawn])]).double()
    query = torch.from_numpy(features[np.stack([episode.query.ravel() for episode in drawn])]).double()
    targets = torch.nn.functional.one_hot(torch.arange(ways).repeat_interleave(shots)).double()
    weights, biases, orders = [], [], []
    for episode in drawn:
        generator = torch.Generator().manual_seed(episode.seed)
        first = torch.rand(ways, dims + 1, generator=generator, dtype=torch.float64) * 2 - 1
        weights.append(first[:, :dims] / dims**0.5)
        biases.append(first[:, dims] / dims**0.5)
        orders.append(torch.stack([torch.randperm(count, generator=generator) for _ in range(epochs)]))
    initial, bias, order = torch.stack(weights), torch.stack(biases), torch.stack(orders)
    # Everything that the steps need: products of support and support, and of initial weights and support.
    gram, first_scores = support @ support.mT, support @ initial.mT
    factor = torch.ones(len(drawn), 1, 1, dtype=torch.float64)
    combined = torch.zeros(len(drawn), count, ways, dtype=torch.float64)
    moments = [torch.zeros_like(each) for each in (factor, combined, bias)]
    episode_of = torch.arange(len(drawn))[:, None]
    step = 0
    for epoch in range(epochs):
        for chosen in order[:, epoch].split(batch, dim=1):
            rows = gram[episode_of, chosen] @ combined + factor * first_scores[episode_of, chosen] + bias[:, None]
            wrong = (rows.softmax(2) - targets[chosen]) / chosen.shape[1]
            of_combined = decay * combined
            of_combined[episode_of, chosen] += wrong
            gradients = [decay * factor, of_combined, wrong.sum(1) + decay * bias]
            for moment, gradient in zip(moments, gradients, strict=True):
                # torch's first step has no dampening.
                moment.mul_(momentum).add_(gradient, alpha=1 - dampening if step else 1.0)
            for value, moment in zip((factor, combined, bias), moments, strict=True):
                value.sub_(moment, alpha=lr)
            step += 1
    scores = query @ support.mT @ combined + factor * (query @ initial.mT) + bias[:, None]
    yield from scores.numpy()


#: By name: what gives the scores ``(NQ, N)`` of each episode's queries, and whether features are normalised.
CLASSIFIERS: dict[str, tuple[Callable[[np.ndarray, Sequence[Episode]], Iterator[np.ndarray]], bool]] = {
    "baseline": (_baseline, False),
    "logistic": (_logistic, True),
    "centroid": (_centroids, False),
}
