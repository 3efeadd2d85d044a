"""Models of the catalogue as recognizers."""

import torch
from torch import nn

from pvbias.models import Recognizer, ZooModel
from pvbias.registries import MODEL


def recognizer_of(name: str, *, num_frames: int, crop_size: int, num_classes: int = 5) -> Recognizer:
    model: ZooModel = MODEL.get(name)
    module = model.build(num_classes=num_classes, num_frames=num_frames, crop_size=crop_size)
    spec = model.clip_spec.replace(num_frames=num_frames, crop_size=crop_size)
    return Recognizer(
        module, clip_spec=spec, head=model.head, pathways=model.pathways, stages=model.stages, tap=model.tap
    )


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}
