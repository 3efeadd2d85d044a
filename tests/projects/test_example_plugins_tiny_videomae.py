"""A Hugging Face video model from a configuration alone: trained, measured by all that is measured by default, and its
embedding used by objectives and evaluators of other plugins."""

import json

import numpy as np
import pytest

from pvbias.config import load_cfg
from pvbias.report import read_results
from pvbias.run import run

from .example_plugins import PROJECTS, importable

transformers = pytest.importorskip("transformers", reason="transformers is an optional extra of pvbias")

FOLDER = PROJECTS / "example_plugins" / "tiny_videomae"


@pytest.fixture(autouse=True)
def plugins():
    with importable():
        yield


def configured(folder, plugins, *overrides):
    fewer = ("DECOUPLED.TRAIN_VIDEOS", 16, "DECOUPLED.TEST_VIDEOS", 10, "SOLVER.MAX_EPOCH", 1.0)
    keys = ("PLUGINS", str(plugins), "TRANSFORMERS.CONFIG", FOLDER, "OUTPUT_DIR", folder / "run", *fewer, *overrides)
    return load_cfg(FOLDER / "run.yaml", [str(key) for key in keys])


def test_it_is_trained_and_measured_by_the_default_evaluators(tmp_path):
    cfg = configured(tmp_path, [])
    run(cfg)
    results = read_results(tmp_path / "run")
    assert set(cfg.BIAS.EVALUATORS) <= set(results.results)
    for name in cfg.BIAS.EVALUATORS:
        result = results.results[name]
        values = [figure.value for figure in result.figures if figure.value is not None]
        assert result.not_applicable or (values or result.tables), name
        assert np.isfinite(values).all(), name


def test_its_embedding_is_there_for_objectives_and_evaluators(tmp_path):
    plugins = [f"example_plugins.{name}" for name in ("linear_probe", "tsne")]
    target = (
        "DATA.STREAMS.target.DATASET",
        "brush_mnist",
        "DATA.STREAMS.target.SPLIT",
        "val",
        "DOMAIN_ADAPTATION.HIDDEN",
        8,
    )
    measured = ("BIAS.EVALUATORS", "['linear_probe', 'tsne']")
    run(configured(tmp_path, plugins, "OBJECTIVE.NAME", "DANN", *target, *measured))
    lines = (tmp_path / "run" / "train_log.jsonl").read_text().splitlines()
    assert any("domain_accuracy" in json.loads(line) for line in lines)
    results = read_results(tmp_path / "run").results
    assert results["linear_probe"].figures[0].count == 10
    assert len(results["tsne"].tables["places"]) == 10
