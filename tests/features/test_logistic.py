"""Logistic regression, compared with scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from pvbias.features.logistic import fit_logistic, fit_penalized, held_out_part


@pytest.fixture(scope="module")
def videos():
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 4], size=200)  # none is of class 3
    features = generator.normal(size=(5, 30))[labels] / 2 + generator.normal(size=(200, 30))
    features[:, 0] = 7  # says nothing
    return (features * np.linspace(0.1, 50, 30)).astype(np.float32), labels


def test_it_is_scikit_learns(videos):
    features, labels = videos
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for c in (1e-3, 1.0):
        ours = fit_logistic(features, labels, 5, c, tolerance=1e-8)
        theirs = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(scaled, labels)
        np.testing.assert_allclose(ours.weight[:, theirs.classes_].T, theirs.coef_, atol=1e-4)
        scores = ours.scores(features)[:, theirs.classes_]
        np.testing.assert_allclose(scores - scores.mean(1, keepdims=True), theirs.decision_function(scaled), atol=1e-3)
        assert (ours.scores(features)[:, 3] == -np.inf).all()


def test_of_several_labels_it_is_scikit_learns_for_each_class(videos):
    features, labels = videos
    several = np.stack([labels > 0, labels == 2, features[:, 3] > 0], axis=1)
    ours = fit_logistic(features, several, 3, 0.1, tolerance=1e-8)
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    for number in range(3):
        theirs = LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000).fit(scaled, several[:, number])
        np.testing.assert_allclose(ours.scores(features)[:, number], theirs.decision_function(scaled), atol=1e-4)


def test_the_penalty_is_the_one_that_scikit_learn_is_best_with(videos):
    features, labels = videos
    penalties = [1e-4, 1e-2, 1.0, 100.0]
    held_out = held_out_part(labels, seed=3)
    scaled = StandardScaler().fit_transform(features)

    def right(c):
        fitted = LogisticRegression(C=c, max_iter=10_000, tol=1e-6).fit(scaled[~held_out], labels[~held_out])
        loss = log_loss(labels[held_out], fitted.predict_proba(scaled[held_out]))
        return fitted.score(scaled[held_out], labels[held_out]), -loss

    found, c = fit_penalized(features, labels, 5, penalties=penalties, seed=3)
    assert c == max(penalties, key=right)
    expected = fit_logistic(features, labels, 5, c).scores(features)
    assert (found.scores(features).argmax(1) == expected.argmax(1)).all()


def test_few_videos_do_not_end_the_search_before_anything_is_learnt():
    """Of 30 videos, all strong penalties have the accuracy of the most frequent class: no reason to stop."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [12, 9, 9])
    features = (np.eye(3, 6)[labels] + generator.normal(size=(30, 6)) / 5).astype(np.float32)
    found, c = fit_penalized(features, labels, 3, penalties=[10.0**power for power in range(-8, 3)], seed=0)
    assert c > 1e-3
    assert (found.scores(features).argmax(1) == labels).all()


def test_a_fifth_of_each_class_or_whole_groups_are_held_out():
    labels = np.repeat([0, 1, 2], [1, 2, 20])
    held_out = held_out_part(labels, seed=0)
    assert [int(held_out[labels == label].sum()) for label in range(3)] == [0, 1, 4]
    groups = np.arange(23) // 2
    chosen = held_out_part(labels, seed=0, groups=groups)
    assert {bool(chosen[groups == group].all()) for group in groups[chosen]} == {True}
    assert 0 < chosen.sum() < 10
    assert not (held_out_part(labels, seed=1) == held_out).all()
