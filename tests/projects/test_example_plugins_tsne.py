"""The t-SNE picture as an example plugin: clusters stay together, twice the same, coloured by class or attribute."""

import numpy as np
import pytest
import torch

from pvbias.data import VideoRecord
from pvbias.evaluation import VideoViews
from pvbias.models import Outputs
from pvbias.models.outputs import Features
from pvbias.registries import EVALUATOR
from pvbias.report import read_results
from pvbias.run import run

from .example_plugins import configured, importable


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        yield


def measured(folder, *overrides):
    """Of 24 videos in two clusters of embeddings, of the attribute's value "hall" and "lawn"; classes are mixed."""
    cfg = configured(folder, "tsne", *overrides)
    evaluator = EVALUATOR.get("tsne")(cfg, None, ("jump", "run"))
    generator = torch.Generator().manual_seed(0)
    for index in range(24):
        scene, label = index % 2, index // 2 % 2
        record = VideoRecord(path="", name="", label=label, attributes={"scene": ["hall", "lawn"][scene]})
        embedding = 20.0 * scene + torch.randn(3, 8, generator=generator)
        outputs = Outputs({"": torch.zeros(3, 2)}, Features(embedding=embedding))
        clips = torch.zeros(3, 3, 1, 1, 1, dtype=torch.uint8)
        views = VideoViews(index=index, name="", label=label, clips=clips, record=record)
        evaluator.process(views, {"original": outputs})
    return evaluator.evaluate()


def test_neighbours_stay_neighbours_and_it_is_twice_the_same(tmp_path):
    result = measured(tmp_path, "TSNE.COLOUR_BY", "scene")
    rows = result.tables["places"]
    places, scenes = np.array([(row["x"], row["y"]) for row in rows]), np.array([row["group"] for row in rows])
    assert set(scenes) == {"hall", "lawn"}
    distances = np.linalg.norm(places[:, None] - places, axis=2) + np.where(np.eye(len(places)), np.inf, 0)
    assert (scenes[distances.argmin(1)] == scenes).all()
    assert measured(tmp_path, "TSNE.COLOUR_BY", "scene").images == result.images
    assert result.images["tsne.png"].startswith(b"\x89PNG")
    assert {row["group"] for row in measured(tmp_path).tables["places"]} == {"jump", "run"}


def test_the_page_has_a_section_with_the_picture(tmp_path):
    keys = ("BIAS.EVALUATORS", "['tsne']", "TRAIN.ENABLE", False, "DECOUPLED.TEST_VIDEOS", 40)
    run(configured(tmp_path, "tsne", *keys))
    assert len(read_results(tmp_path / "run").results["tsne"].tables["places"]) == 40
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Each dot is a video" in page
    assert 'alt="t-SNE of' in page
    assert "data:image/png" in page
