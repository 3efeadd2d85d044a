"""Matching: how much of each model of the catalogue a file fills, without building one."""

import pytest
import torch
from torch import nn

from pvbias.models import ZooModel, build_shapes
from pvbias.registries import MODEL
from pvbias.zoo import count_head_classes, match_catalogue

from .conftest import SPEC


def test_the_best_come_first_with_what_they_fill(toys):
    weights = toys["toy_wide"].build(num_classes=7, num_frames=2, crop_size=4).state_dict()
    found = match_catalogue(weights)
    assert list(found) == ["toy_wide", "toy_tiny"]
    assert [found[name].backbone_fraction for name in found] == [1.0, 0.0]
    # The other's features are not these: no classes of its head.
    assert [found[name].num_classes for name in found] == [7, None]


def test_of_equals_the_one_that_takes_the_file_as_it_is_comes_first(monkeypatch):
    class Net2d(nn.Module):
        def __init__(self, num_classes: int, layer: type[nn.Module]) -> None:
            super().__init__()
            self.conv = layer(3, 4, 3)
            self.proj = nn.Linear(4, num_classes)

    def entry(layer: type[nn.Module]) -> ZooModel:
        build = lambda num_classes, **_: Net2d(num_classes, layer)  # noqa: E731
        return ZooModel(zoo="toys", build=build, clip_spec=SPEC, head="proj")

    monkeypatch.setattr(MODEL, "_obj_map", {"a_3d": entry(nn.Conv3d), "b_2d": entry(nn.Conv2d)})
    found = match_catalogue(Net2d(2, nn.Conv2d).state_dict())
    assert list(found) == ["b_2d", "a_3d"]
    assert found["a_3d"].converted.inflated == ("conv.weight",)
    assert found["a_3d"].backbone_fraction == 1.0


def test_classes_are_those_of_the_files_head(toys):
    weights = toys["toy_tiny"].build(num_classes=9, num_frames=2, crop_size=4).state_dict()
    wrapped = {f"module.{name}": value for name, value in weights.items()}
    assert count_head_classes(wrapped, toys["toy_tiny"]) == 9
    del weights["proj.weight"]
    assert count_head_classes(weights, toys["toy_tiny"]) is None


@pytest.mark.parametrize("computes", [False, True])
def test_shapes_are_those_of_the_model(computes):
    class Net(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, 3)
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.zeros(1, 7, 4)))
            self.proj = nn.Linear(4, num_classes)
            if computes:
                self.scale = nn.Parameter(torch.ones(int(self.conv.weight.abs().sum().item() > 0) + 1))

    entry = ZooModel(zoo="toys", build=lambda num_classes, **_: Net(num_classes), clip_spec=SPEC, head="proj")
    shapes = build_shapes(entry, num_classes=2).state_dict()
    assert shapes["conv.weight"].is_meta == (not computes)
    assert {name: value.shape for name, value in shapes.items()} == {
        name: value.shape for name, value in Net(2).state_dict().items()
    }
