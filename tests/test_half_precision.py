"""Half precision loses no gradient: with every objective, of a convolutional network and of a transformer."""

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from pvbias import load_cfg
from pvbias.clips import ClipSpec
from pvbias.config import complete
from pvbias.data import TrainBatch
from pvbias.engine import Trainer
from pvbias.models import Recognizer
from pvbias.plugin_loading import load_plugins
from pvbias.plugins.spatial_student import SpatialStudent
from pvbias.registries import EVALUATOR, MODEL, OBJECTIVE, STUDENT
from pvbias.runtime import choose_settings

load_plugins([])

pytestmark = pytest.mark.smoke

EXAMPLE = "ArrowOfTime"
NAMES = [*(name for name, _ in OBJECTIVE), EXAMPLE]
CLASSES, FRAMES, SIDE, WIDTH = 5, 4, 16, 16
SPEC = ClipSpec(num_frames=FRAMES, sampling_rate=1, crop_size=SIDE, test_crop_size=SIDE, short_side=SIDE)

#: bf16 keeps 8 binary digits: a rounding moves a value by up to 2^-9 of itself. Between a weight and its gradient lie
#: some 30 values, forwards and backwards; were all their roundings in one direction, they would come to 30 * 2^-9 = 6 %
#: of the gradient's length (1 % is seen). The same again, and a little, for the rectifiers of some decoders, which a
#: rounding can switch on or off (7 %). A gradient that is lost is off by 100 %, of one forward in place of two by half.
DISTANCE = 0.15
#: Of the longest gradient's length: what is zero but for rounding (shifts that normalisations or a softmax take back)
#: has no digits of its own.
NOISE = 2**-9


def block(channels, width, stride):
    return nn.Sequential(nn.Conv3d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width), nn.GELU())


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.stage = block(3, WIDTH, (1, 2, 2)), block(WIDTH, WIDTH, (1, 2, 2))
        self.proj = nn.Linear(WIDTH, CLASSES)

    def forward(self, clip):
        return self.proj(self.stage(self.stem(clip)).mean((2, 3, 4)))


class Transformer(nn.Module):
    """Patches of 2 x 4 x 4, two blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, WIDTH, (2, 4, 4), (2, 4, 4))
        self.positions = nn.Parameter(torch.randn(1, FRAMES // 2 * (SIDE // 4) ** 2, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2)
        self.proj = nn.Linear(WIDTH, CLASSES)

    def forward(self, clip):
        return self.proj(self.blocks(self.stem(clip).flatten(2).transpose(1, 2) + self.positions).mean(1))


def student(cfg, num_classes):
    layers = nn.Sequential(nn.Conv2d(3, WIDTH, 4, 4), nn.GELU(), nn.Flatten(), nn.Linear(WIDTH * 16, num_classes))
    return SpatialStudent(layers)


@pytest.fixture(scope="module", autouse=True)
def registered():
    """A student, and the example plugin's objective."""
    restore = [registry.snapshot() for registry in (STUDENT, OBJECTIVE, MODEL, EVALUATOR)]
    sys.path.insert(0, str(Path(__file__).parents[1] / "projects/example_plugin"))
    import pvbias_example

    STUDENT.register(student, name="smooth")
    yield pvbias_example
    sys.path.pop(0)
    for undo in restore:
        undo()


def make_trainer(network, objective, precision, folder, example):
    cfg = load_cfg(
        None, ["OBJECTIVE.NAME", objective, "STUDENT.NAME", "smooth", "PRECISION", precision, "NUM_GPUS", "0"]
    )
    cfg = complete(cfg, num_classes=CLASSES, clip_spec=SPEC)
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder)
    cfg.SOLVER.BASE_LR = cfg.STUDENT.SOLVER.BASE_LR = 1e-6  # the second phase sees the first one's weights as they were
    cfg.SOLVER.MAX_EPOCH = 1.0
    cfg.REV2NET.TAP = "stem"
    example.add_config(cfg)
    torch.manual_seed(0)
    heads = {"scene": 2} if objective == "AttributeHeads" else {}
    recognizer = Recognizer(network(), clip_spec=SPEC, head="proj", extra_heads=heads)
    made = OBJECTIVE.get(objective)(cfg, recognizer)
    scenes = [{"scene": scene} for scene in ("street", "beach", "beach", "street")]
    records = [types.SimpleNamespace(attributes=attributes) for attributes in scenes]
    source, fit = (lambda split: types.SimpleNamespace(records=records)), (lambda *_, **__: None)
    if objective != "ReBias":  # which looks at videos
        made.prepare(types.SimpleNamespace(cfg=cfg, source=source, fit=fit))
    clips = torch.randint(256, (4, 3, FRAMES, SIDE, SIDE), dtype=torch.uint8)
    flow = torch.randn(4, 2, FRAMES, SIDE, SIDE)
    # Unlike the others: what domains have in common cancels in the gradients of their classifier.
    target = TrainBatch(clips=torch.zeros_like(clips), labels=None, names=list("efgh"), bad=[])
    batch = TrainBatch(
        clips=clips,
        labels=torch.arange(4),
        names=list("abcd"),
        bad=[],
        tracks={"flow": flow},
        attributes=scenes,
        streams={name: target for name in made.needs.streams if name != "train"},
    )
    return Trainer(cfg, recognizer, made, OneBatch(batch), choose_settings(cfg, recognizer, training=True))


class OneBatch:
    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return 1

    def epoch(self, epoch, start=0):
        return [self.batch]


def gradients(trainer):
    """Of the one step, by name."""
    trainer.train()
    parameters = [*trainer.recognizer.named_parameters(), *trainer.objective.named_parameters()]
    return {name: parameter.grad for name, parameter in parameters if parameter.requires_grad}


@pytest.mark.parametrize("network", [Convolutional, Transformer])
@pytest.mark.parametrize("objective", NAMES)
def test_bf16_has_the_gradients_of_fp32(objective, network, tmp_path, registered):
    exact, found = (
        gradients(make_trainer(network, objective, precision, tmp_path, registered)) for precision in ("fp32", "bf16")
    )
    assert not [name for name, gradient in exact.items() if gradient is None]
    assert not [name for name, gradient in found.items() if gradient is None]
    longest = max(gradient.norm() for gradient in exact.values())
    distances = {
        name: ((found[name] - gradient).norm() / (gradient.norm() + NOISE / DISTANCE * longest)).item()
        for name, gradient in exact.items()
    }
    assert {name: distance for name, distance in distances.items() if distance > DISTANCE} == {}
