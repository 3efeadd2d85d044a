"""Spatial students: eq. 1, the frames they see, their weights, and what they cannot take."""

import copy
import functools
import http.server
import math
import threading

import pytest
import torch
import torchvision
from torch import nn

from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError, WeightsError
from pvbias.plugins.spatial_student import SpatialStudent
from pvbias.registries import STUDENT


def config(*overrides):
    sizes = ["DATA.NUM_FRAMES", "4", "DATA.TRAIN_CROP_SIZE", "32", "DATA.TEST_CROP_SIZE", "32"]
    return complete(load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs", *sizes, *overrides]), num_classes=5)


def build(name, *overrides, num_classes=5):
    torch.manual_seed(0)
    return STUDENT.get(name)(config(*overrides), num_classes)


def test_probabilities_are_averaged_over_the_frames():
    student = build("resnet18").eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.no_grad():
        predicted = student(clips)
        for n in range(2):
            probabilities = torch.zeros(5)
            for t in range(4):
                image = torchvision.transforms.functional.normalize(
                    clips[n, :, t], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
                )
                probabilities += student.classifier(image[None])[0].softmax(0) / 4
            assert torch.allclose(predicted[n].exp(), probabilities, atol=1e-6)
    assert predicted.dtype == torch.float32
    assert torch.allclose(predicted.exp().sum(1), torch.ones(2))


def headless(network):
    """ResNet without its final projection."""
    network = copy.deepcopy(network)
    network.fc = nn.Identity()
    return network


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("resnet18", lambda network, images: headless(network)(images)),
        ("squeezenet1_1", lambda network, images: network.features(images).mean((2, 3))),
    ],
)
def test_the_embedding_is_averaged_over_positions_and_frames(name, features):
    student, clips = build(name).eval(), torch.rand(2, 3, 4, 32, 32)
    images = (clips.transpose(1, 2).flatten(0, 1) - student.mean) / student.std
    with torch.no_grad():
        outputs = student.outputs(clips, ("embedding",))
        expected = features(student.classifier, images).unflatten(0, (2, 4)).mean(1)
        assert torch.equal(outputs.logits, student(clips))
    torch.testing.assert_close(outputs.features["embedding"], expected)
    assert student.head.weight.shape[1] == expected.shape[1]
    with pytest.raises(ConfigError, match="no 'layer4'"):
        student.outputs(clips, ("layer4",))


class Colour(nn.Module):
    """Logits are ``scale`` times the frame's mean red and green."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        return self.scale * images.mean((2, 3))[:, :2]


def test_the_order_of_frames_makes_no_difference():
    student = SpatialStudent(Colour(3.0))
    clips = torch.rand(2, 3, 5, 4, 4)
    assert torch.allclose(student(clips), student(clips[:, :, [4, 2, 0, 1, 3]]), atol=1e-6)


def test_logarithms_stay_finite_where_probabilities_vanish():
    clips = torch.zeros(1, 3, 2, 4, 4)
    clips[:, 0] = 1.0
    predicted = SpatialStudent(Colour(1e4))(clips)
    red, green = (1 - 0.485) / 0.229, (0 - 0.456) / 0.224
    assert predicted.tolist() == [[0.0, pytest.approx(1e4 * (green - red), rel=1e-6)]]
    half_precision = SpatialStudent(nn.Sequential(Colour(10.0)))
    with torch.autocast("cpu", torch.bfloat16):
        assert half_precision(clips).dtype == torch.float32


@pytest.mark.parametrize(
    ("num_frames", "places"), [(0, range(8)), (1, [4]), (2, [2, 6]), (3, [1, 4, 6]), (8, range(8))]
)
def test_frames_are_spread_evenly(num_frames, places):
    seen = []

    class Watcher(nn.Module):
        def forward(self, images):
            seen.extend((images[:, 0].mean((1, 2)) * 0.229 + 0.485).tolist())
            return images.new_zeros(len(images), 2)

    clip = torch.linspace(0, 0.7, 8).view(1, 1, 8, 1, 1).expand(1, 3, 8, 4, 4)
    predicted = SpatialStudent(Watcher(), num_frames=num_frames)(clip)
    assert seen == pytest.approx([0.1 * place for place in places], abs=1e-6)
    assert predicted.tolist() == [pytest.approx([math.log(0.5)] * 2)]


def test_every_classifier_of_torchvision_is_a_student():
    assert set(torchvision.models.list_models(module=torchvision.models)) <= set(STUDENT.names())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet"])
def test_other_classifiers(name):
    student = build(name).train()
    predicted = student(torch.rand(2, 3, 4, 32, 32))
    assert predicted.shape == (2, 5)
    predicted.sum().backward()
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_a_classifier_of_one_size_follows_the_crop():
    assert build("vit_b_32").classifier.image_size == 32
    with pytest.raises(ConfigError, match=r"STUDENT.NAME = 'vit_b_32' cannot take frames of 64 x 64"):
        build("vit_b_32", "DATA.TEST_CROP_SIZE", "64", "DATA.TEST_SHORT_SIDE", "64")
    with pytest.raises(ConfigError, match=r"STUDENT.NAME = 'alexnet' cannot take frames of 32 x 32"):
        build("alexnet")


def test_a_new_student_is_in_training_mode():
    """It has been tried on frames of each size before, in evaluation mode."""
    assert all(module.training for module in build("mobilenet_v3_small").modules())


def test_more_frames_than_the_clip_has():
    with pytest.raises(ConfigError, match=r"STUDENT.NUM_FRAMES = 5: clips have DATA.NUM_FRAMES = 4"):
        build("resnet18", "STUDENT.NUM_FRAMES", "5")
    with pytest.raises(ConfigError, match=r"No STUDENT is called 'resnet19'.*resnet18"):
        STUDENT.get("resnet19")


def test_weights_from_a_file(tmp_path, caplog):
    torch.manual_seed(1)
    published = torchvision.models.mobilenet_v3_small(num_classes=7)
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    given = ("STUDENT.CHECKPOINT_FILE_PATH", str(tmp_path / "weights.pth"))
    with caplog.at_level("INFO"):
        student = build("mobilenet_v3_small", *given)
    assert "7 classes in the file, 5 in the model" in caplog.text
    assert torch.equal(student.classifier.features[0][0].weight, published.features[0][0].weight)
    assert student.classifier.classifier[-1].weight.shape[0] == 5
    whole = build("mobilenet_v3_small", *given, num_classes=7)
    assert torch.equal(whole.classifier.classifier[-1].weight, published.classifier[-1].weight)
    with pytest.raises(WeightsError, match=r"do not fit the model.*Check STUDENT.NAME"):
        build("resnet18", *given)


def test_imagenet_weights_are_fetched_where_torchvision_publishes_them(tmp_path, monkeypatch):
    published = torchvision.models.squeezenet1_1(num_classes=1000)
    torch.save(published.state_dict(), tmp_path / "squeezenet1_1.pth")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    assert weights.url.startswith("https://download.pytorch.org/models/squeezenet1_1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(
            type(torchvision.models.SqueezeNet1_1_Weights.DEFAULT),
            "url",
            f"http://127.0.0.1:{server.server_port}/squeezenet1_1.pth",
        )
        student = build("squeezenet1_1", "STUDENT.CHECKPOINT_FILE_PATH", "imagenet")
        server.shutdown()
    assert torch.equal(student.classifier.features[0].weight, published.features[0].weight)
