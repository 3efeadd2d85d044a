"""Probes, compared with scikit-learn's, and with what they must find."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from pvbias.features import logistic
from pvbias.plugins.transfer.probes import PROBES, LogisticProbe, NearestNeighbours


@pytest.fixture(scope="module")
def videos():
    generator = np.random.default_rng(0)
    labels = generator.integers(4, size=240)
    features = generator.normal(size=(4, 16))[labels] + generator.normal(size=(240, 16))
    return features.astype(np.float32), labels


def test_neighbours_are_scikit_learns(videos):
    features, labels = videos
    ours = NearestNeighbours(neighbours=7).fit(features[:160], labels[:160], 5, seed=0).scores(features[160:])
    theirs = KNeighborsClassifier(7, metric="cosine", weights=lambda distances: np.exp((1 - distances) / 0.07))
    expected = theirs.fit(features[:160], labels[:160]).predict_proba(features[160:])
    np.testing.assert_allclose(np.exp(ours)[:, :4], expected, atol=1e-5)
    assert (ours[:, 4] == -np.inf).all()


@pytest.mark.parametrize("name", list(PROBES))
def test_a_probe_finds_the_class_and_is_one_of_its_seed(videos, name):
    features, labels = videos
    inputs = features[:, None].repeat(2, axis=1) if name == "attentive" else features
    settings = {"attentive": {"epochs": 10, "lr": 0.003}, "sgd": {"epochs": 20}}.get(name, {})
    probe = PROBES[name](**settings)
    scores = [probe.fit(inputs[:160], labels[:160], 4, seed=seed).scores(inputs[160:]) for seed in (0, 0, 1)]
    assert (scores[0].argmax(1) == labels[160:]).mean() > 0.85
    np.testing.assert_array_equal(scores[0], scores[1])
    if name in ("sgd", "attentive"):
        assert (scores[0] != scores[2]).any()


@pytest.mark.parametrize("name", list(PROBES))
def test_a_probe_of_several_labels(videos, name):
    features, labels = videos
    several = np.stack([labels == 0, labels < 2], axis=1)
    inputs = features[:, None] if name == "attentive" else features
    settings = {"attentive": {"epochs": 10, "lr": 0.003}, "sgd": {"epochs": 20}}.get(name, {})
    scores = PROBES[name](**settings).fit(inputs[:160], several[:160], 2, seed=0).scores(inputs[160:])
    assert ((scores > 0) == several[160:]).mean() > 0.8


def test_what_went_otherwise_than_usual_is_said(videos, monkeypatch, caplog):
    features, labels = videos
    assert LogisticProbe(penalties=(0.1,)).fit(features, labels, 4, seed=0).description == "L-BFGS, C = 0.1"
    one_group = LogisticProbe().fit(features, labels, 4, seed=0, groups=np.zeros(len(labels), np.int64))
    assert one_group.description == "L-BFGS, C = 1e-06, the least of 9: there are no videos to hold out"
    inner = LogisticProbe().fit(features, labels, 4, seed=0)
    assert inner.description.endswith("chosen of 9 on a held-out fifth")
    assert not caplog.messages
    chosen = float(inner.description.split()[3].rstrip(","))
    edge = LogisticProbe(penalties=(chosen / 100, chosen / 10)).fit(features, labels, 4, seed=0)
    assert "AT THE EDGE of them" in edge.description
    assert "AT THE EDGE of them" in caplog.text
    monkeypatch.setattr(logistic, "_MAX_ITERATIONS", 2)
    ended = LogisticProbe(penalties=(100.0,)).fit(features, labels, 4, seed=0)
    assert ended.description == "L-BFGS, C = 100, NOT CONVERGED"
