"""Extents and position shifts of networks that do and do not look at time."""

import pytest
import torch

from pvbias.models.recognizer import Recognizer
from pvbias.plugins.attention_time import AttentionExtent
from tests.evaluation import toys
from tests.plugins.video_transformers import FAMILIES, clips, recognizer


def measured(tmp_path, model):
    cfg = toys.config(views=2)
    cfg.DATA.NUM_FRAMES, cfg.MODEL.NUM_CLASSES = 8, 3
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TEST_SHORT_SIDE = 32
    source = toys.NoiseSource()
    source.open = lambda record: _Larger(int(record.name.split(".")[0]))
    return toys.measure(tmp_path, cfg, {"a": AttentionExtent(cfg, model, ())}, model=model, source=source)["a"]


class _Larger(toys.NoiseVideo):
    def read(self, times, size):
        return super().read(times, lambda height, width: (8, 8)).repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize("family", ["torchvision MViT v2", "VideoMAE"])
def test_figures_and_tables(tmp_path, family):
    result = measured(tmp_path, recognizer(family))
    figures = {figure.name: figure for figure in result.figures}
    assert set(figures) == {"relative_extent", "position_shift", "position_agreement"}
    layers, heads = result.tables["layers"], result.tables["heads"]
    assert figures["relative_extent"].value == pytest.approx(sum(row["relative_extent"] for row in layers) / 2)
    assert figures["relative_extent"].count == toys.NUM_VIDEOS
    assert len(heads) == sum(row["heads"] for row in layers)
    own = [head["extent"] for head in heads if head["layer"] == layers[1]["layer"]]
    assert layers[1]["extent"] == pytest.approx(sum(own) / len(own))
    assert figures["position_shift"].value > 1e-10


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_that_are_all_the_same_may_change_places(family):
    """And shuffled ones are put back."""
    model = recognizer(family)
    state = {name: value.clone() for name, value in model.module.state_dict().items()}
    with torch.no_grad():
        found = model.outputs(clips(), ("shuffled_positions()",))
        shift = (found.logits - found.features["shuffled_positions()"]).abs().max()
        assert shift > 1e-6
        assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
        torch.testing.assert_close(model(clips()), found.logits)
        for name, parameter in model.module.named_parameters():
            if any(part in name for part in ("pos", "time_embeddings")):
                parameter.zero_()
        for module in model.module.modules():
            if type(module).__name__ == "VideoMAEEmbeddings":
                module.position_embeddings = torch.zeros_like(module.position_embeddings)
        found = model.outputs(clips(), ("shuffled_positions()",))
    torch.testing.assert_close(found.features["shuffled_positions()"], found.logits)


def test_a_convolutional_network_has_none(tmp_path):
    model = toys.recognizer()
    assert isinstance(model, Recognizer)
    assert "no attention over time" in measured(tmp_path, model).not_applicable


def test_a_single_moment_has_no_extent(tmp_path):
    """Tubelets as long as the clip."""
    found = measured(tmp_path, recognizer("VideoMAE", tubelet_size=8))
    assert "sees a single moment" in found.not_applicable
