"""Folders of coloured images as places, a classifier that sees colours, and videos whose frames show places."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from pvbias.evaluation import VideoViews
from pvbias.plugins.spatial_student import SpatialStudent
from tests.evaluation.toys import as_outputs

#: Places, and the colour of all of their images.
COLOURS = {"barn": (250, 10, 10), "garden": (10, 250, 10), "library": (10, 10, 250)}


def write_places(folder, *, images=5, size=16):
    """``folder/PLACE/1.png``, ...: a colour with some noise."""
    generator = np.random.default_rng(0)
    for place, colour in COLOURS.items():
        (folder / place).mkdir(parents=True)
        for number in range(images):
            noise = generator.integers(-9, 6, size=(size, size, 3))
            picture = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / place / f"{number + 1}.png")


def frame(place, size=8):
    """``(3, size, size)``, uint8."""
    return torch.tensor(COLOURS[place], dtype=torch.uint8)[:, None, None].expand(3, size, size)


class Colour(nn.Module):
    """Logits: the three mean colours, normalised."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.head = nn.Linear(3, num_classes)
        nn.init.eye_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images):
        return self.head(images.mean((2, 3)))


def colour_student(cfg, num_classes):
    """Registered as a student, of one frame at a time."""
    return SpatialStudent(Colour(num_classes), num_frames=cfg.STUDENT.NUM_FRAMES)


def views(index, clips, *, label=None, record=None, right=True):
    """A video and what the model says of it: its label, or another class."""
    logits = torch.zeros(len(clips), 4)
    if label is not None:
        logits[:, label if right else (label + 1) % 4] = 1
    video = VideoViews(index=index, name=f"{index}.mp4", label=label, clips=clips, record=record)
    return video, as_outputs({"original": logits})
