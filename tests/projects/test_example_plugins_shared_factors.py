"""Correlation over pairs that share a factor: against closed forms and scipy-like hand formulas, and in a whole run."""

import itertools
import json

import numpy as np
import pytest
import torch

from pvbias.data import VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import VideoViews
from pvbias.models import Outputs
from pvbias.models.outputs import Features
from pvbias.registries import EVALUATOR
from pvbias.run import run

from ..engine.toys import tiny_recognizer
from .example_plugins import configured, importable

SHAPES, WAYS = range(40), range(40)


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        yield


def evaluator(folder, *overrides):
    cfg = configured(folder, "shared_factors", *overrides)
    return EVALUATOR.get("shared_factors")(cfg, tiny_recognizer(), ())


def measured(made, embedding):
    """The figures over all combinations of a shape and a way, whose embedding, the mean of two views, is a function of
    them."""
    views = torch.tensor([-1.0, 1.0])[:, None]
    for index, (shape, way) in enumerate(itertools.product(SHAPES, WAYS)):
        record = VideoRecord(path="", name=str(index), attributes={"appearance": f"shape {shape}", "motion": way})
        video = VideoViews(index=index, name=record.name, label=None, clips=views, record=record)
        features = torch.tensor([embedding(shape, way)]) + 100 * views
        made.process(video, {"original": Outputs({"": views}, Features(embedding=features))})
    return {(figure.name, figure.variant): figure for figure in made.evaluate().figures}


def test_correlation_is_the_share_of_the_variance(tmp_path):
    """z = u(shape) + v(way) with u and v independent, of variances 3/4 and 1/4: pairs that share the shape correlate by
    3/4, but for the 40 values that were drawn of each, and pairs differ in the other one, so by -1/40 of its share."""
    rng = np.random.default_rng(0)
    u, v = (column - column.mean(0) for column in rng.normal(size=(2, 40, 8)))
    u, v = np.sqrt(0.75) * u / u.std(0), np.sqrt(0.25) * v / v.std(0)
    made = evaluator(tmp_path)
    found = measured(made, lambda shape, way: [*(u[shape] + v[way]).tolist(), 1.0])  # and one that is always the same
    for factor, share in (("appearance", 0.75), ("motion", 0.25)):
        figure = found["pair_correlation", factor]
        assert figure.value == pytest.approx(share - (1 - share) / 39, abs=0.05)
        low, high = figure.interval
        assert low < figure.value < high
        assert high - low < 0.1
        assert 700 < figure.count <= 800  # of 1600 videos
    assert found["stronger", "appearance"].value == 100
    assert found["stronger", "motion"].value == 0


def test_dimensions_of_one_factor_each(tmp_path):
    """Three of the way alone, one of the shape alone: 1 for whom it is about, nothing for the other."""
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=40).tolist(), rng.normal(size=(40, 3)).tolist()
    found = measured(evaluator(tmp_path), lambda shape, way: [u[shape], *v[way]])
    assert found["pair_correlation", "motion"].value == pytest.approx(0.75, abs=0.05)
    assert found["pair_correlation", "appearance"].value == pytest.approx(0.25, abs=0.05)
    assert found["stronger", "motion"].value == 75
    assert found["stronger", "appearance"].value == 25


def test_pairs_are_disjoint_and_share_one_factor():
    from example_plugins.shared_factors import disjoint_pairs

    factors = [(n % 3, n % 5, n % 2) for n in range(60)]
    for shared in range(3):
        pairs = disjoint_pairs(factors, shared, seed=0)
        assert len(pairs) > 10
        assert len(set(pairs.ravel().tolist())) == pairs.size
        for a, b in pairs:
            assert [x == y for x, y in zip(factors[a], factors[b], strict=True)] == [n == shared for n in range(3)]
        assert np.array_equal(pairs, disjoint_pairs(factors, shared, seed=0))


def test_intraclass_correlation_by_hand():
    """Of pairs in both orders it is Pearson's."""
    from example_plugins.shared_factors import intraclass_correlation, sums_of_pairs

    a, b = np.random.default_rng(0).normal(size=(2, 50, 3)) + 5
    found = intraclass_correlation(sums_of_pairs(a, b).mean(0, keepdims=True))[0]
    for dimension in range(3):
        both = np.corrcoef(np.r_[a[:, dimension], b[:, dimension]], np.r_[b[:, dimension], a[:, dimension]])[0, 1]
        assert found[dimension] == pytest.approx(both)


def test_a_whole_run_and_its_page(tmp_path):
    cfg = configured(
        tmp_path,
        "shared_factors",
        "TRAIN.ENABLE",
        False,
        "BIAS.EVALUATORS",
        "['shared_factors']",
        "DECOUPLED.TEST_VIDEOS",
        60,
    )
    run(cfg)
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]["shared_factors"]
    figures = {(figure["name"], figure["variant"]): figure for figure in results["figures"]}
    assert set(figures) == set(itertools.product(("pair_correlation", "stronger"), ("appearance", "motion")))
    for figure in figures.values():
        assert figure["interval"][0] <= figure["value"] <= figure["interval"][1]
    assert "correlation, same motion" in (tmp_path / "run" / "report.html").read_text()


def test_what_it_cannot_measure(tmp_path):
    with pytest.raises(ConfigError, match="two attributes or more"):
        evaluator(tmp_path, "SHARED_FACTORS.ATTRIBUTES", "['motion']")
    measuring = ("TRAIN.ENABLE", False, "BIAS.EVALUATORS", "['shared_factors']")
    with pytest.raises(DataError, match="'scene'"):
        run(configured(tmp_path, "shared_factors", *measuring, "SHARED_FACTORS.ATTRIBUTES", "['scene', 'motion']"))
    made = evaluator(tmp_path)
    assert "Fewer than two pairs" in made.evaluate().not_applicable
