"""Episodes and their classifiers, compared with torch's and scikit-learn's on the same numbers."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from pvbias.errors import DataError
from pvbias.plugins.transfer.few_shot import episode_accuracies, episode_interval, episodes

WAYS, SHOTS, QUERIES, DIMS = 5, 3, 6, 40


@pytest.fixture(scope="module")
def videos():
    generator = np.random.default_rng(0)
    labels = generator.choice([-1, 0, 1, 2, 3, 4, 5, 6], size=160)
    features = generator.normal(size=(8, DIMS))[labels] / 3 + generator.normal(size=(160, DIMS))
    return features.astype(np.float32), labels


def draw(labels, count, seed=0, **options):
    asked = {"ways": WAYS, "shots": SHOTS, "queries": QUERIES} | options
    return list(episodes(labels, count=count, seed=seed, **asked))


def test_an_episode_has_classes_and_videos_once(videos):
    labels = videos[1]
    for episode in draw(labels, 20):
        chosen = np.concatenate([episode.support, episode.query], axis=1)
        assert chosen.shape == (WAYS, SHOTS + QUERIES)
        assert len(np.unique(chosen)) == chosen.size
        assert (labels[chosen] == labels[chosen][:, :1]).all()
        assert len(np.unique(labels[chosen[:, 0]])) == WAYS
        assert labels[chosen].min() >= 0


def test_episodes_depend_on_the_list_and_the_seed(videos):
    labels = videos[1]
    same, other, of_others = draw(labels, 3), draw(labels, 3, seed=1), draw(labels, 3, names=["a"] * 160)
    assert [each.query.tolist() for each in same] == [each.query.tolist() for each in draw(labels, 5)[:3]]
    assert same[0].query.tolist() not in ([each.query.tolist() for each in other], of_others[0].query.tolist())


def test_too_few_videos_are_refused(videos):
    with pytest.raises(DataError, match="0 of 7 classes have 100"):
        draw(videos[1], 1, shots=100)


@pytest.mark.parametrize("name", ["baseline", "logistic", "centroid"])
def test_a_classifier_is_its_reference(videos, name):
    features, labels = videos
    drawn = draw(labels, 3)
    reference = {"baseline": chen, "logistic": logistic, "centroid": centroid}[name]
    truth = np.repeat(np.arange(WAYS), QUERIES)
    expected = [(reference(features, episode) == truth).mean() for episode in drawn]
    np.testing.assert_allclose(episode_accuracies(features, drawn, classifier=name), expected)


def chen(features, episode):
    """Baseline as in methods/baselinefinetune.py, with torch's own layer and optimizer."""
    generator = torch.Generator().manual_seed(episode.seed)
    layer = torch.nn.Linear(DIMS, WAYS).double()
    first = (torch.rand(WAYS, DIMS + 1, generator=generator, dtype=torch.float64) * 2 - 1) / DIMS**0.5
    with torch.no_grad():
        layer.weight.copy_(first[:, :DIMS])
        layer.bias.copy_(first[:, DIMS])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    support = torch.from_numpy(features[episode.support.ravel()]).double()
    targets = torch.arange(WAYS).repeat_interleave(SHOTS)
    for _ in range(100):
        for chosen in torch.randperm(len(support), generator=generator).split(4):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(support[chosen]), targets[chosen]).backward()
            optimizer.step()
    return layer(torch.from_numpy(features[episode.query.ravel()]).double()).argmax(1).numpy()


def logistic(features, episode):
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    fitted = LogisticRegression(tol=1e-6).fit(features[episode.support.ravel()], np.repeat(np.arange(WAYS), SHOTS))
    return fitted.predict(features[episode.query.ravel()])


def centroid(features, episode):
    fitted = NearestCentroid().fit(features[episode.support.ravel()], np.repeat(np.arange(WAYS), SHOTS))
    return fitted.predict(features[episode.query.ravel()])


def test_random_features_are_at_chance():
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(2000, 16)).astype(np.float32), np.arange(2000) % 10
    for classifier in ("centroid", "baseline"):
        found = episode_accuracies(features, draw(labels, 300, shots=1), classifier=classifier)
        low, high = episode_interval(found)
        assert low < 1 / WAYS < high


def test_the_interval_covers_the_mean_over_all_episodes(videos):
    """In 95 % of repetitions, of 50 episodes each."""
    features, labels = videos
    found = episode_accuracies(features, draw(labels, 3000), classifier="centroid")
    intervals = [episode_interval(part) for part in found.reshape(60, 50)]
    covered = sum(low <= found.mean() <= high for low, high in intervals)
    assert 53 <= covered <= 60  # 57 are expected; of 0.95 in 60, fewer than 53 are in 2 %
    assert np.mean([high - low for low, high in intervals]) < 0.06
