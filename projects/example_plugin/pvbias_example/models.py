"""Two architectures that differ in their heads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from pvbias import ClipSpec
from pvbias.models import ZooModel
from pvbias.registries import MODEL

#: Feature maps after the backbone, D.
FEATURES = 32


class MeanHead(nn.Module):
    """Features ``(N, D, T, h, w)`` -> mean over all positions -> logits ``(N, K)``."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.projection = nn.Linear(features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        return self.projection(features.mean(dim=(2, 3, 4)))


class AttentionHead(nn.Module):
    """Features ``(N, D, T, h, w)`` -> mean over each frame -> weighted mean over frames -> logits ``(N, K)``.

    Frame t has the weight ``softmax_t(score(f_t))``, score being a linear function of its features.
    """

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.projection = nn.Linear(features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        frames = features.mean(dim=(3, 4)).transpose(1, 2)  # (N, T, D)
        weights = self.score(frames).softmax(dim=1)  # (N, T, 1)
        return self.projection((weights * frames).sum(dim=1))


class FramesThenTime(nn.Module):
    """Blocks applied one after another."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, clip: Tensor) -> Tensor:
        """Logits ``(N, K)`` of normalised clips ``(N, 3, T, H, W)``."""
        for block in self.blocks:
            clip = block(clip)
        return clip


def build_frames_then_time(
    *, num_classes: int, num_frames: int, crop_size: int, head: Callable[[int, int], nn.Module]
) -> nn.Module:
    """A small network that looks at each frame by itself first.

    ::

        clip (N, 3, T, H, W)
          -> blocks.0: two 1x3x3 convolutions, stride 1x2x2 each    (N, 16, T, H/4, W/4)
          -> blocks.1: one 3x3x3 convolution                        (N, D, T, H/4, W/4)
          -> blocks.2: the head                                     (N, K)

    Args:
        num_classes: K.
        num_frames, crop_size: of the clips; the architecture does not depend on them.
        head: ``head(D, K)`` gives the module that makes logits of the features.
    """
    frames = nn.Sequential(*_convolution(3, 16, (1, 3, 3), stride=2), *_convolution(16, 16, (1, 3, 3), stride=2))
    time = nn.Sequential(*_convolution(16, FEATURES, (3, 3, 3), stride=1))
    return FramesThenTime(nn.ModuleList([frames, time, head(FEATURES, num_classes)]))


def _convolution(channels: int, features: int, kernel: tuple[int, int, int], *, stride: int) -> tuple[nn.Module, ...]:
    padding = tuple(size // 2 for size in kernel)
    convolution = nn.Conv3d(channels, features, kernel, stride=(1, stride, stride), padding=padding, bias=False)
    return convolution, nn.BatchNorm3d(features), nn.ReLU()


for _name, _head in (("frames_mean", MeanHead), ("frames_attention", AttentionHead)):
    MODEL.register(
        ZooModel(
            zoo="pvbias_example",
            build=partial(build_frames_then_time, head=_head),
            clip_spec=ClipSpec(num_frames=8, sampling_rate=2, crop_size=32, test_crop_size=32, short_side=32),
            head="blocks.2.projection",
            # The blocks are the whole network, so pvbias finds that the first one sees one frame at a time, and runs it
            # once for all variants of a clip.
            stages="blocks",
        ),
        name=_name,
    )
