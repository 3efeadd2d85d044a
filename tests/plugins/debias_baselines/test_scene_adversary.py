"""The scene adversary: by hand, whose gradient is reversed, scenes from attributes and classifiers, masked clips."""

import math
import types

import pytest
import torch
import torchvision
from torch import nn

from pvbias.config import complete, load_cfg
from pvbias.engine import Step, reverse_gradient
from pvbias.errors import ConfigError
from pvbias.plugins.debias_baselines import SceneAdversary
from pvbias.plugins.debias_baselines.scene_adversary import soft_cross_entropy
from pvbias.registries import STUDENT

from ...engine.toys import tiny_recognizer
from .given import debias_cfg, given_step, waves

PLACES = [{"scene": "street"}, {"scene": "beach"}, {}, {"scene": "beach"}]
LABELS = torch.tensor([0, 1, 2, 0])


@pytest.fixture(autouse=True)
def registered():
    restore = STUDENT.snapshot()
    yield
    restore()


def prepared(cfg, recognizer, places=PLACES):
    objective = SceneAdversary(cfg, recognizer)
    records = [types.SimpleNamespace(attributes=attributes) for attributes in places]
    objective.prepare(types.SimpleNamespace(source=lambda split: types.SimpleNamespace(records=records)))
    return objective


def test_by_hand(tmp_path):
    """An adversary that says beach with 3/4, street with 1/4; the scene of one of the four clips is not known."""
    recognizer = tiny_recognizer()
    objective = prepared(debias_cfg(tmp_path, "SCENE_ADVERSARY.HIDDEN_LAYERS", 0), recognizer)
    (layer,) = objective.adversary
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([0.75, 0.25]).log())
    step = given_step(recognizer, torch.zeros(4, 3), torch.ones(4, 6), LABELS, attributes=PLACES)
    values = objective.phases()[0].loss(step)
    scene = -(math.log(0.25) + 2 * math.log(0.75)) / 4
    assert values["scene"].item() == pytest.approx(scene)
    assert values["loss"].item() == pytest.approx(math.log(3) + scene)
    assert values["scene_top1"].item() == 50  # of all clips, the one without a scene among them


def test_the_adversary_descends_and_the_recognizer_ascends(tmp_path):
    """The adversary's gradient is the plain one, the embedding's is it times -0.7."""
    recognizer = tiny_recognizer()
    cfg = debias_cfg(tmp_path, "SCENE_ADVERSARY.REVERSAL", 0.7, "SCENE_ADVERSARY.HIDDEN_LAYERS", 1)
    objective = prepared(cfg, recognizer)
    step = given_step(recognizer, torch.zeros(4, 3), torch.ones(4, 6), LABELS, attributes=PLACES)
    embedding = waves(4, 6, rate=1.0).float().requires_grad_()
    step.outputs.features["embedding"] = embedding
    wanted = [embedding, *objective.adversary.parameters()]
    found = torch.autograd.grad(objective.phases()[0].loss(step)["scene"], wanted)
    known = torch.tensor([[0.0, 1], [1, 0], [0, 0], [1, 0]])
    plain = torch.autograd.grad(soft_cross_entropy(objective.adversary(embedding), known), wanted)
    torch.testing.assert_close(found[0], -0.7 * plain[0])
    for own, expected in zip(found[1:], plain[1:], strict=True):
        torch.testing.assert_close(own, expected)


def test_gradients_against_finite_differences():
    x, q = waves(4, 3, rate=1.0).requires_grad_(), waves(4, 3, rate=0.7).softmax(1)
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, q), (x,))
    assert torch.equal(reverse_gradient(x, 0.3), x)
    (found,) = torch.autograd.grad((reverse_gradient(x, 0.3) * q).sum(), x)
    torch.testing.assert_close(found, -0.3 * q)


def test_clips_without_their_actor(tmp_path):
    """The foreground is grey of the normalisation's mean; a clip that has none adds nothing."""
    recognizer = tiny_recognizer(norm=True).train()
    cfg = debias_cfg(tmp_path, "SCENE_ADVERSARY.MASK_WEIGHT", 2.0)
    objective = prepared(cfg, recognizer)
    assert objective.needs.tracks == ("mask",)
    torch.manual_seed(0)
    clips, masks = torch.rand(2, 3, 4, 8, 8), torch.zeros(2, 1, 4, 8, 8, dtype=torch.uint8)
    masks[0, :, :, :4] = 3
    seen = []
    handle = recognizer.module.conv.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    step = Step(
        **{"clips": clips, "labels": LABELS[:2], "recognizer": recognizer, "epoch": 0.0, "attributes": PLACES[:2]},
        **{"tracks": {"mask": masks}, "features": objective.needs.features, "names": ["a", "b"]},
    )
    values = objective.phases()[0].loss(step)
    handle.remove()
    plain, masked = seen
    expected = plain.clone()
    expected[0, :, :, :4] = 0  # after normalisation
    torch.testing.assert_close(masked, expected, rtol=0, atol=1e-6)
    running = recognizer.module.norm.running_mean.clone()
    again = tiny_recognizer(norm=True).train()
    again(clips)
    assert torch.equal(running, again.module.norm.running_mean)
    with torch.no_grad():
        p = recognizer.module(masked).softmax(1)[0]
    assert values["masked_entropy"].item() == pytest.approx((p * p.log()).sum().item() / 2, rel=1e-5)
    total = values["classification"] + values["scene"] + 2 * values["masked_entropy"]
    assert values["loss"].item() == pytest.approx(total.item())


def test_scenes_by_a_classifier(tmp_path):
    """Its probabilities, averaged over frames; the attributes are not asked for."""
    torch.manual_seed(0)
    published = torchvision.models.squeezenet1_1(num_classes=5)
    torch.save(published.state_dict(), tmp_path / "scenes.pth")
    keys = {
        **{"MODEL.MODEL_NAME": "x3d_xs", "DATA.NUM_FRAMES": 4, "DATA.TRAIN_CROP_SIZE": 32, "DATA.TEST_CROP_SIZE": 32},
        **{"SCENE_ADVERSARY.CLASSIFIER": "squeezenet1_1", "SCENE_ADVERSARY.CLASSES": 5},
        "SCENE_ADVERSARY.CHECKPOINT_FILE_PATH": tmp_path / "scenes.pth",
    }
    cfg = complete(load_cfg(None, [str(part) for pair in keys.items() for part in pair]), num_classes=3)
    recognizer = tiny_recognizer()
    objective = SceneAdversary(cfg, recognizer).train()
    assert (objective.needs.attributes, objective.needs.splits) == ((), ())
    assert not any(parameter.requires_grad for parameter in objective.classifier.parameters())
    step = given_step(recognizer, torch.zeros(2, 3), torch.ones(2, 6), LABELS[:2])
    step.clips = torch.rand(2, 3, 4, 32, 32)
    values = objective.phases()[0].loss(step)
    frames = (step.clips.transpose(1, 2).flatten(0, 1) - objective.classifier.mean) / objective.classifier.std
    with torch.no_grad():
        scenes = published.eval()(frames).softmax(1).unflatten(0, (2, 4)).mean(1)
        log_p = objective.adversary(torch.ones(2, 6)).log_softmax(1)
    assert values["scene"].item() == pytest.approx(-(scenes * log_p).sum(1).mean().item(), rel=1e-5)
    cfg.defrost()
    cfg.SCENE_ADVERSARY.CLASSES = 7
    with pytest.raises(ConfigError, match=r"SCENE_ADVERSARY\.CLASSIFIER: .* another number of classes apart than 7"):
        SceneAdversary(cfg, recognizer)
    cfg.SCENE_ADVERSARY.CHECKPOINT_FILE_PATH = ""
    with pytest.raises(ConfigError, match="has to be a trained image classifier"):
        SceneAdversary(cfg, recognizer)


def test_one_scene_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"SCENE_ADVERSARY\.ATTRIBUTE = 'scene': .* 1 value of it"):
        prepared(debias_cfg(tmp_path), tiny_recognizer(), PLACES[1:])


def test_the_adversary_is_as_wide_as_the_embedding(tmp_path):
    objective = prepared(debias_cfg(tmp_path), tiny_recognizer())
    linear = [tuple(layer.weight.shape) for layer in objective.adversary if isinstance(layer, nn.Linear)]
    assert linear == [(6, 6)] * 3 + [(2, 6)]
