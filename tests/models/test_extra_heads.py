"""Several heads: those of the module by name, and linear ones on the embedding beside it."""

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import complete, load_cfg
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import Recognizer, build_recognizer
from pvbias.models.extra_heads import parse_extra_heads
from pvbias.zoo import extra_heads_state, load_extra_heads, model_state

SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=8, test_crop_size=8, short_side=8)


class TwoHeads(nn.Module):
    """Logits of actions and of scenes by name."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 5, 3)
        self.action, self.scene = nn.Linear(5, 4), nn.Linear(5, 2)

    def forward(self, clip):
        pooled = self.conv(clip).mean((2, 3, 4))
        return {"action": self.action(pooled), "scene": self.scene(pooled)}


class OneHead(TwoHeads):
    def forward(self, clip):
        return super().forward(clip)["action"]


def clips():
    return torch.rand(3, 3, 4, 8, 8)


def test_heads_of_the_module_come_by_name_and_the_first_is_the_one_that_is_measured():
    recognizer = Recognizer.wrap(TwoHeads(), SPEC).eval()
    assert (recognizer.head_name, recognizer.num_classes) == ("action", 4)
    seen = clips()
    outputs = recognizer.outputs(seen, ("embedding",))
    expected = recognizer.module(recognizer.normalize(seen))
    assert list(outputs.heads) == ["action", "scene"]
    torch.testing.assert_close(dict(outputs.heads), expected)
    torch.testing.assert_close(outputs.logits, recognizer(seen))
    torch.testing.assert_close(recognizer(seen), expected["action"])
    torch.testing.assert_close(recognizer.module.scene(outputs.features["embedding"]), expected["scene"])
    frozen = recognizer.frozen_logits(seen, torch.tensor([0, 1, 3]))
    still = torch.stack([clip[:, [frame] * 4] for clip, frame in zip(seen, (0, 1, 3), strict=True)])
    torch.testing.assert_close(frozen, recognizer(still))


def test_extra_heads_are_linear_in_the_embedding_and_leave_the_module_as_it_was():
    torch.manual_seed(0)
    plain = OneHead()
    recognizer = Recognizer(plain, clip_spec=SPEC, head="action", extra_heads={"type": 3, "place of work": 2})
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    seen = clips()
    outputs = recognizer.outputs(seen)
    assert list(outputs.heads) == ["", "type", "place of work"]
    assert not outputs.features
    embedding = recognizer.embed(seen)
    own = dict(recognizer.extra_heads.named_parameters())
    by_hand = embedding @ own["type_head.weight"].T + own["type_head.bias"]
    torch.testing.assert_close(outputs.heads["type"], by_hand)
    torch.testing.assert_close(outputs.logits, plain(recognizer.normalize(seen)))
    assert model_state(recognizer).keys() == before.keys()
    OneHead().load_state_dict(model_state(recognizer), strict=True)


def test_a_name_that_the_module_has_itself():
    recognizer = Recognizer(TwoHeads(), clip_spec=SPEC, head="action", extra_heads={"scene": 3})
    with pytest.raises(ConfigError, match="has a head 'scene'"):
        recognizer.outputs(clips())


def test_neither_logits_nor_heads():
    class Pair(TwoHeads):
        def forward(self, clip):
            return tuple(super().forward(clip).values())

    with pytest.raises(ConfigError, match="gives a tuple that is neither logits"):
        Recognizer(Pair(), clip_spec=SPEC, head="action")(clips())


def test_the_zoo_models_weights_do_not_depend_on_extra_heads():
    keys = ["MODEL.MODEL_NAME", "r3d_small", "DATA.NUM_FRAMES", "4", "DATA.TRAIN_CROP_SIZE", "16"]
    made = []
    for extra in ("[]", "[scene=10, domain = 2]"):
        torch.manual_seed(0)
        made.append(build_recognizer(complete(load_cfg(None, [*keys, "MODEL.EXTRA_HEADS", extra]), num_classes=2)))
    torch.testing.assert_close(model_state(made[0]), model_state(made[1]))
    assert made[1].extra_heads.num_classes == {"scene": 10, "domain": 2}
    heads = made[1].eval().outputs(torch.zeros(1, 3, 4, 16, 16)).heads
    assert {name: tuple(logits.shape) for name, logits in heads.items()} == {
        "": (1, 2),
        "scene": (1, 10),
        "domain": (1, 2),
    }


@pytest.mark.parametrize("spec", ["scene", "scene=1", "scene=ten", "=3", "a.b=3"])
def test_what_is_no_head_is_refused_when_the_configuration_is_read(spec):
    with pytest.raises(ConfigError, match=r"MODEL\.EXTRA_HEADS: .* is no head: write NAME=CLASSES"):
        load_cfg(None, ["MODEL.EXTRA_HEADS", f"['{spec}']"])


def test_a_head_twice():
    with pytest.raises(ConfigError, match="'scene' twice"):
        parse_extra_heads(["scene=3", "scene=4"])


def test_weights_go_through_a_training_checkpoint_and_come_from_nowhere_else():
    def make(**extra):
        return Recognizer(OneHead(), clip_spec=SPEC, head="action", extra_heads=extra)

    trained, other = make(scene=3), make(scene=3)
    trained.head_classes["scene"] = ("beach", "gym", "kitchen")
    load_extra_heads(other, extra_heads_state(trained), "a checkpoint")
    torch.testing.assert_close(other.extra_heads.state_dict(), trained.extra_heads.state_dict())
    assert other.head_classes == {"scene": ("beach", "gym", "kitchen")}
    with pytest.raises(WeightsError, match=r"has scene=4, a head of shape \(4, 5\), and 'x' has one of shape \(3, 5\)"):
        load_extra_heads(make(scene=4), extra_heads_state(trained), "x")
    with pytest.raises(WeightsError, match="'zoo weights' has none of that name"):
        load_extra_heads(make(scene=3), {"model_state": {}}, "zoo weights")
