"""Names in Places365's files, as torchvision's own reader of such names takes them."""

import torch
import torchvision

from pvbias.plugins.scene_bias.key_names import from_places365


def test_dense_layers_with_a_dot_before_their_number():
    with torch.device("meta"):
        own = torchvision.models.densenet121(num_classes=5).state_dict()
    for part in ("norm", "conv"):
        assert f"features.denseblock1.denselayer1.{part}1.weight" in own
    numbers = [(f".{part}{number}.", f".{part}.{number}.") for part in ("norm", "conv") for number in (1, 2)]
    file = {}
    for name, value in own.items():
        for new, old in numbers if "denselayer" in name else ():
            name = name.replace(new, old)
        file[name] = value
    assert len(file.keys() - own.keys()) > 300
    assert from_places365(file, own) == dict(own)


def test_what_is_of_another_layout_is_left_alone():
    own = {"features.0.weight": torch.zeros(1), "classifier.weight": torch.zeros(1)}
    assert from_places365(own, own) is None
    assert from_places365({"features.module.9.weight": torch.zeros(1)}, own) is None
    spread = {"features.module.0.weight": torch.ones(1), "classifier.weight": torch.zeros(1)}
    assert from_places365(spread, own).keys() == own.keys()
