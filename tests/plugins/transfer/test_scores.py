"""Scores, compared with scikit-learn's and by hand."""

import numpy as np
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from pvbias.plugins.transfer.scores import evaluate_scores, mean_average_precision


def figures(scores, labels, **options):
    found = evaluate_scores(scores, labels, **{"samples": 200, "seed": 0} | options)
    return {figure.name: figure for figure in found}


def test_accuracies_are_scikit_learns():
    generator = np.random.default_rng(0)
    labels = generator.choice(7, size=80, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0.0])
    scores = generator.normal(size=(80, 7)) + 2 * np.eye(7)[labels]
    found = figures(scores, labels)
    predicted = scores.argmax(1)
    assert found["top1"].value == 100 * (predicted == labels).mean()
    top5 = np.argsort(-scores, axis=1)[:, :5] == labels[:, None]
    assert found["top5"].value == 100 * top5.any(axis=1).mean()
    # balanced accuracy is over the classes that occur, as ours
    assert np.isclose(found["mean_class_accuracy"].value, 100 * balanced_accuracy_score(labels, predicted))
    low, high = found["mean_class_accuracy"].interval
    assert low < found["mean_class_accuracy"].value < high


def test_fits_of_several_seeds_count_in_the_mean():
    labels = np.array([0, 1])
    right, wrong = np.eye(2), 1 - np.eye(2)
    assert figures(np.stack([right, wrong, right, right]), labels)["top1"].value == 75
    np.testing.assert_allclose(figures(np.stack([right, wrong]), labels)["top1"].values, [0.5, 0.5])


def test_average_precision_is_scikit_learns_in_every_resample():
    generator = np.random.default_rng(1)
    labels = generator.random((40, 3)) < 0.3
    labels[:, 2] = False  # a class without a video
    scores = np.round(generator.normal(size=(40, 3)) + labels, 1)  # with ties
    draws = mean_average_precision(scores[None], labels, samples=3, seed=5)
    drawn = np.random.default_rng(5).integers(40, size=(3, 40))
    for found, weights in zip(draws, [np.ones(40), *(np.bincount(row, minlength=40) for row in drawn)], strict=True):
        expected = [average_precision_score(labels[:, k], scores[:, k], sample_weight=weights) for k in range(2)]
        np.testing.assert_allclose(found, np.mean(expected))
    assert figures(scores, labels)["map"].value == 100 * draws[0]
