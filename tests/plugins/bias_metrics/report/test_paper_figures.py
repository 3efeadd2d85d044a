"""The paper's figures name networks of the catalogue, and those are the paper's as far as its text describes them."""

import torch

from pvbias.plugin_loading import load_plugins
from pvbias.plugins.bias_metrics.kernel_measures import temporal_convolutions
from pvbias.plugins.bias_metrics.report.paper_figures import FIGURES
from pvbias.registries import MODEL
from pvbias.zoo import find_weights

load_plugins()


def test_every_network_is_in_the_catalogue():
    for model, address in {network for figure in FIGURES for network in figure.networks}:
        assert find_weights(address) in MODEL.get(model).weights.values()
    assert [figure.number for figure in FIGURES] == ["3", "4", "11 (a)", "11 (b)", "11 (c)", "B.13", "B.14", ""]


def test_i3d_has_the_layers_that_the_paper_counts():
    """Section 3.1: the second is of size (3, 3, 3, 64, 192); section 3.2: 20 convolve over time."""
    with torch.device("meta"):
        module = MODEL.get("inception_i3d").build(num_classes=400, num_frames=64, crop_size=224)
    layers = temporal_convolutions(module)
    assert len(layers) == 20
    assert layers[1][1].weight.shape == (192, 64, 3, 3, 3)
