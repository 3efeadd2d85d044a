"""Logistic regression by L-BFGS, with its L2 penalty chosen on held-out videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

#: Largest entry of the gradient of the mean loss at which a fit is done: while penalties are tried, and in the end.
_ROUGH, _FINE = 1e-4, 1e-5

_MAX_ITERATIONS = 1000

#: Inverse strengths C of the penalty to choose from.
PENALTIES = tuple(10.0**power for power in range(-6, 3))

#: Penalties that are tried after the best one so far, without a better one, before the search is over.
_PATIENCE = 3


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Class scores ``((x - mean) / scale) W + b``.

    Attributes:
        weight: float64 ``(D, K)``.
        bias: float64 ``(K,)``; -infinity for a class without a training video.
        mean, scale: of the features, ``(D,)``.
        converged: the fit ended at the optimum, and not for want of iterations.
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    converged: bool

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Class scores float64 ``(n, K)`` of features ``(n, D)``."""
        return standardized(features, self.mean, self.scale).astype(np.float64) @ self.weight + self.bias


def standardized(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Features less their mean, by their standard deviation: ``(n, D)``, float32."""
    return ((features - mean) / scale).astype(np.float32)


def mean_and_scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of features ``(n, D)``, float64 ``(D,)`` each; a feature that is constant has 1."""
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    return mean, np.where(scale > 0, scale, 1.0)


def fit_logistic(
    features: np.ndarray, labels: np.ndarray, num_classes: int, c: float, *, tolerance: float = _FINE
) -> LinearClassifier:
    """Fit a logistic regression to standardised features: scikit-learn's LogisticRegression(C=c), faster.

    Minimises ``c * sum_i loss(x_i W + b, y_i) + 1/2 |W|^2``, b without a penalty, where the loss is the cross-entropy
    of the softmax over the classes that occur, or, of several labels, the sum over classes of the binary cross-entropy
    (one-versus-rest). Of two classes the softmax has two columns of weights, so it is scikit-learn's, which has one,
    for twice this c.

    Args:
        features: float32 ``(n, D)``, not standardised.
        labels: int64 ``(n,)`` in [0, K), or bool ``(n, K)``.
        num_classes: K.
        c: inverse strength of the L2 penalty, > 0.
        tolerance: largest entry of the gradient of the mean loss at the end.
    """
    mean, scale = mean_and_scale(features)
    problem = _Problem(standardized(features, mean, scale), labels, num_classes)
    return problem.classifier(*problem.solve(c, None, tolerance, torch.float64), mean, scale)


def fit_penalized(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    penalties: Sequence[float],
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[LinearClassifier, float]:
    """Fit a logistic regression, with the L2 penalty that is best on a fifth of the videos, held out.

    Penalties are tried from strong to weak, each from where the one before ended, until three in a row are no better;
    the best is that of the highest top-1 accuracy, of equals that of the smallest loss (of several labels of the
    smallest loss alone). Few videos have few accuracies: among the strongest penalties, which all say the most
    frequent class, the loss tells where to go.
    The classifier is then fitted to all videos.

    Args:
        features, labels, num_classes: as for :func:`fit_logistic`.
        penalties: values of c; one alone is taken without a search.
        seed: of the held-out part (:func:`held_out_part`).
        groups: of the videos, int64 ``(n,)``, of which each is held out as a whole, or not at all.

    Returns:
        The classifier, and its c.
    """
    start: tuple[Tensor, Tensor] | None = None
    chosen: tuple[float, tuple[Tensor, Tensor] | None] = min(penalties), None
    mean, scale = mean_and_scale(features)
    inputs = standardized(features, mean, scale)
    held_out = held_out_part(labels, seed, groups)
    if len(penalties) > 1 and held_out.any():
        problem = _Problem(inputs[~held_out], labels[~held_out], num_classes)
        tested = _Problem(inputs[held_out], labels[held_out], num_classes, problem.classes)
        least, waited = (np.inf, np.inf), 0
        for c in sorted(penalties):
            weight, bias, _ = problem.solve(c, start, _ROUGH, torch.float32)
            start = weight, bias
            loss = tested.errors(*start)
            least, chosen, waited = (loss, (c, start), 0) if loss < least else (least, chosen, waited + 1)
            if waited == _PATIENCE:
                break
    c, start = chosen
    of_all = _Problem(inputs, labels, num_classes)
    if start is not None and start[1].shape != of_all.classes.shape:  # a class of held-out videos alone
        start = None
    return of_all.classifier(*of_all.solve(c, start, _FINE, torch.float64), mean, scale), c


def held_out_part(labels: np.ndarray, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Which videos are held out, bool ``(n,)``: a fifth of each class, and one at least where it has two or more; of
    groups, or of videos with several labels, a fifth of them all."""
    generator = np.random.default_rng(seed)
    units = np.arange(len(labels)) if groups is None else groups
    strata = labels if groups is None and labels.ndim == 1 else np.zeros(len(labels), np.int64)
    chosen = []
    for stratum in np.unique(strata):
        members = generator.permutation(np.unique(units[strata == stratum]))
        chosen.append(members[: max(round(len(members) / 5), 1) if len(members) > 1 else 0])
    return np.isin(units, np.concatenate(chosen))


class _Problem:
    """The loss of a linear classifier on some videos.

    L-BFGS sees weights ``V`` with ``W = L^-T V``, where ``L L^T`` is the Hessian at the start as far as it is alike for
    all classes: the covariance of the features times the mean of p (1 - p), and the penalty. Features of networks are
    so correlated that without it many times more steps are needed.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, classes: np.ndarray | None = None
    ) -> None:
        self.features = torch.from_numpy(features)
        self.num_classes, self.several = num_classes, labels.ndim == 2
        targets = labels if self.several else labels[:, None] == np.arange(num_classes)
        self.classes = np.flatnonzero(targets.any(axis=0)) if classes is None else classes
        self.targets = torch.from_numpy(targets[:, self.classes])
        self._covariance: Tensor | None = None

    def solve(
        self, c: float, start: tuple[Tensor, Tensor] | None, tolerance: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, bool]:
        """Weights ``(D, k)`` and biases ``(k,)`` of the k classes that occur, and whether the gradient is small."""
        count, dims = self.features.shape
        if self._covariance is None:
            self._covariance = self.features.T @ self.features / count
        inputs, targets = self.features.to(dtype), self.targets.to(dtype)
        weight, bias = start or (torch.zeros(dims, targets.shape[1]), torch.zeros(targets.shape[1]))
        weight, bias = weight.to(dtype), bias.to(dtype)
        penalty = 1 / (c * count)
        chances = self._probabilities(inputs @ weight + bias)
        curvature = (chances * (1 - chances)).mean().clamp(min=1e-6)
        hessian = self._covariance.to(dtype) * curvature + penalty * torch.eye(dims, dtype=dtype)
        factor = torch.linalg.cholesky(hessian)
        steepest = float("inf")

        def unpack(values: np.ndarray) -> tuple[Tensor, Tensor]:
            packed = torch.from_numpy(values).to(dtype).view(dims + 1, -1)
            return torch.linalg.solve_triangular(factor.T, packed[:-1], upper=True), packed[-1]

        def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal steepest
            weight, bias = unpack(values)
            scores = inputs @ weight + bias
            loss = self._losses(scores, targets).mean() + 0.5 * penalty * weight.double().pow(2).sum()
            wrong = (self._probabilities(scores) - targets) / count
            of_weight, of_bias = inputs.T @ wrong + penalty * weight, wrong.sum(0)
            steepest = float(torch.maximum(of_weight.abs().max(), of_bias.abs().max()))
            moved = torch.linalg.solve_triangular(factor, of_weight, upper=False)
            return float(loss), torch.cat([moved, of_bias[None]]).double().numpy().ravel()

        def stop_where_flat(intermediate_result: Any) -> None:
            if steepest < tolerance:
                raise StopIteration

        begin = torch.cat([factor.T @ weight, bias[None]]).double().numpy().ravel()
        options = {"maxiter": _MAX_ITERATIONS, "gtol": 0.0, "ftol": 0.0}
        found = minimize(
            loss_and_gradient, begin, jac=True, method="L-BFGS-B", callback=stop_where_flat, options=options
        )
        loss_and_gradient(found.x)  # which need not be what was evaluated last
        return *unpack(found.x), steepest < tolerance

    def errors(self, weight: Tensor, bias: Tensor) -> tuple[float, float]:
        """The share of videos that are classified wrongly (0 of several labels), and the mean loss."""
        scores = self.features.to(weight.dtype) @ weight + bias
        loss = float(self._losses(scores, self.targets.to(scores.dtype)).mean())
        right = self.targets.gather(1, scores.argmax(1, keepdim=True))
        return 0.0 if self.several else 1 - float(right.double().mean()), loss

    def classifier(
        self, weight: Tensor, bias: Tensor, converged: bool, mean: np.ndarray, scale: np.ndarray
    ) -> LinearClassifier:
        """The classifier of all K classes."""
        weights, biases = np.zeros((len(weight), self.num_classes)), np.full(self.num_classes, -np.inf)
        weights[:, self.classes], biases[self.classes] = weight.double().numpy(), bias.double().numpy()
        return LinearClassifier(weights, biases, mean, scale, converged)

    def _probabilities(self, scores: Tensor) -> Tensor:
        return scores.sigmoid() if self.several else scores.softmax(1)

    def _losses(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The loss of each video, float64 ``(n,)``."""
        if self.several:
            losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
            return losses.sum(1).double()
        return -(scores.log_softmax(1) * targets).sum(1).double()
