"""Given logits and features in place of networks, and small configurations, for the tests of debiasing objectives."""

import torch
from torch import nn

from pvbias.engine import Step
from pvbias.models import Outputs
from pvbias.models.outputs import Features
from pvbias.plugins.debias_baselines import add_config
from pvbias.plugins.spatial_student import SpatialStudent
from pvbias.registries import STUDENT

from ...engine.toys import make_cfg_with_student


def waves(*shape, rate):
    """sin(rate), sin(2 rate), ...: the inputs that the released codes were given."""
    return torch.sin(rate * torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)).view(shape)


class Given(nn.Module):
    """A student whose log-probabilities and embedding are given."""

    def __init__(self, logits, embedding):
        super().__init__()
        self.head = nn.Linear(embedding.shape[1], logits.shape[1])
        self.given = Outputs({"": logits.float()}, Features(embedding=embedding.float()))

    def forward(self, clips):
        return self.given.logits

    def outputs(self, clips, features=()):
        return self.given


def given_step(recognizer, logits, embedding, labels, **others):
    """A step whose recognizer gives these logits and this embedding."""
    clips = torch.zeros(len(logits), 3, 4, 8, 8)
    step = Step(clips=clips, labels=labels, recognizer=recognizer, epoch=0.0, **others)
    step.__dict__["outputs"] = Outputs({"": logits.float()}, Features(embedding=embedding.float()))
    return step


def small_student(cfg, num_classes):
    """A spatial student of a frame's four quarters."""
    layers = [nn.Conv2d(3, 4, 4, 4), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes)]
    return SpatialStudent(nn.Sequential(*layers))


def noisy_student(cfg, num_classes):
    """The same with BatchNorm and dropout."""
    layers = [
        nn.Conv2d(3, 4, 4, 4),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
    ]
    return SpatialStudent(nn.Sequential(*layers, nn.Linear(16, num_classes)))


def debias_cfg(output_dir, *overrides):
    """For the toy networks, with a student that is registered as "small"."""
    if "small" not in STUDENT:
        STUDENT.register(small_student, name="small")
        STUDENT.register(noisy_student, name="noisy")
    return make_cfg_with_student(output_dir, add_config, "small", *overrides)
