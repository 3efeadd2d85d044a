"""The spatial student: any image classifier of torchvision, frame by frame."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torchvision
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.distributed import is_main_process
from pvbias.errors import ConfigError
from pvbias.models.outputs import EMBEDDING, ONLY_HEAD, Features, Outputs
from pvbias.registries import STUDENT
from pvbias.zoo import load_module_weights

logger = logging.getLogger(__name__)

#: Of ImageNet, in RGB: what torchvision's classifiers were trained with, whatever the recognizer's normalisation.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: ``STUDENT.CHECKPOINT_FILE_PATH`` for the weights that torchvision publishes.
IMAGENET = "imagenet"


class SpatialStudent(nn.Module):
    """An image classifier g on each frame, the class *probabilities* averaged over the frames (paper, eq. 1).

    ::

        clip (N, C, T, H, W) in [0, 1] -> S of the T frames -> normalise -> classifier
          -+-> logits (N * S, K) -> log of the mean over the frames of softmax -> log-probabilities (N, K)
           +-> what the final projection sees -> mean over positions and frames -> embedding (N, D)

    Of clips that show optical flow behind RGB it sees RGB only: flow is motion.

    The mean is taken from logarithms, so that a class that every frame rules out keeps a finite logarithm. The student
    sees frames in no order: any permutation of a clip's frames gives the same prediction.

    Args:
        classifier: images ``(B, C, H, W)`` -> logits ``(B, K)``.
        num_frames: S; 0: all. The frames lie in the middle of S equal parts of the clip.
        head: dotted name, inside the classifier, of its final projection (a linear layer, or a convolution). Empty: the
            last one that it has.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: nn.Module, *, num_frames: int = 0, head: str = "") -> None:
        super().__init__()
        self.classifier = classifier
        self.num_frames = num_frames
        self.head_name = head or next(reversed(_projections(classifier)), "")
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, -1, 1, 1), persistent=False)

    @property
    def head(self) -> nn.Module:
        """The final projection.

        Raises:
            ConfigError: there is none.
        """
        if not self.head_name:
            raise ConfigError("The student's classifier has no final projection, and so no embedding.")
        return self.classifier.get_submodule(self.head_name)

    def forward(self, clips: Tensor) -> Tensor:
        """Log-probabilities ``(N, K)``, float32, of clips ``(N, C, T, H, W)`` in [0, 1]."""
        return self.outputs(clips).logits

    def outputs(self, clips: Tensor, features: Sequence[str] = ()) -> Outputs:
        """Log-probabilities ``(N, K)``, float32, which are logits of themselves, and the embedding ``(N, D)``, float32,
        from one forward.

        Args:
            clips: ``(N, C, T, H, W)`` in [0, 1].
            features: ``("embedding",)``, where it is wanted.

        Raises:
            ConfigError: another feature, or the embedding where there is no final projection.
        """
        others = [name for name in features if name != EMBEDDING]
        if others:
            raise ConfigError(f"A spatial student has the feature {EMBEDDING!r}, and no {others[0]!r}.")
        if not features:
            return Outputs({ONLY_HEAD: self._classify(clips)[0]})
        seen: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            log_probabilities, shown = self._classify(clips)
        finally:
            handle.remove()
        embedding = _average_positions(self.head, seen[-1]).unflatten(0, (-1, shown)).mean(1)
        return Outputs({ONLY_HEAD: log_probabilities}, Features({EMBEDDING: embedding}))

    def _classify(self, clips: Tensor) -> tuple[Tensor, int]:
        """Log-probabilities, and how many frames of a clip it has seen."""
        shown = clips.shape[2]
        if self.num_frames:
            places = (torch.arange(self.num_frames, device=clips.device) + 0.5) * shown / self.num_frames
            clips = clips.index_select(2, places.long())
            shown = self.num_frames
        images = (clips[:, : len(MEAN)].transpose(1, 2).flatten(0, 1) - self.mean) / self.std
        # float: autocast leaves logits in half precision, too coarse for a log-softmax
        log_probabilities = self.classifier(images).float().log_softmax(1).unflatten(0, (-1, shown))
        return log_probabilities.logsumexp(1) - math.log(shown), shown


@dataclass(frozen=True)
class TorchvisionStudent:
    """A torchvision classifier on every frame, with random weights, ImageNet's, or those of a file.

    Attributes:
        name: of the classifier.
    """

    name: str

    def __call__(self, cfg: CfgNode, num_classes: int) -> SpatialStudent:
        """Build the student.

        Args:
            cfg: a completed configuration; its ``STUDENT``, and the sizes in ``DATA``.
            num_classes: K.

        Raises:
            ConfigError: the clips have too few frames, or the classifier cannot take frames of that size.
            WeightsError: the weights cannot be had or do not fit.
        """
        options, frames = cfg.STUDENT, cfg.STUDENT.NUM_FRAMES
        if frames > cfg.DATA.NUM_FRAMES:
            raise ConfigError(
                f"STUDENT.NUM_FRAMES = {frames}: clips have DATA.NUM_FRAMES = {cfg.DATA.NUM_FRAMES}. Lower it, or set "
                "it to 0 for all."
            )
        classifier = torchvision.models.get_model(
            self.name, weights=None, num_classes=num_classes, **_extras(self.name, cfg)
        )
        self._try(classifier, {cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE})
        source = options.CHECKPOINT_FILE_PATH
        if source:
            address = torchvision.models.get_model_weights(self.name).DEFAULT.url if source == IMAGENET else source
            head, least = _head(classifier, num_classes), cfg.CHECKPOINT.MIN_MATCH
            report = load_module_weights(classifier, head, address, min_match=least, key="STUDENT.NAME")
            if is_main_process():
                logger.info("Student: %s", report)
        return SpatialStudent(classifier, num_frames=frames, head=_head(classifier, num_classes))

    @torch.no_grad()
    def _try(self, classifier: nn.Module, sizes: set[int]) -> None:
        classifier.eval()
        for size in sizes:
            try:
                classifier(torch.zeros(1, 3, size, size))
            # What a classifier says of frames that are too small, or not the size it was built for, is not settled.
            except (RuntimeError, AssertionError, ValueError) as error:
                raise ConfigError(
                    f"STUDENT.NAME = {self.name!r} cannot take frames of {size} x {size} pixels "
                    f"(DATA.TRAIN_CROP_SIZE, DATA.TEST_CROP_SIZE): {error}"
                ) from error
        classifier.train()


def _extras(name: str, cfg: CfgNode) -> dict[str, object]:
    """Constructor arguments of certain classifiers."""
    if name in ("googlenet", "inception_v3"):
        # Published weights expect [-1, 1]; a second classifier for training is not part of a student.
        return {"transform_input": True, "aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": cfg.DATA.TRAIN_CROP_SIZE}
    return {}


def _head(classifier: nn.Module, num_classes: int) -> str:
    """Dotted name of the final projection: the last layer with as many outputs as there are classes."""
    return [name for name, layer in _projections(classifier).items() if len(layer.weight) == num_classes][-1]


def _projections(classifier: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Linear layers and convolutions, by dotted name."""
    return {name: layer for name, layer in classifier.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}


def _average_positions(head: nn.Module, features: Tensor) -> Tensor:
    """The input of a final projection, averaged over positions: ``(B, D)``, float32."""
    features = features.float()
    if isinstance(head, nn.Conv2d):
        features = features.movedim(1, -1)
    return features.flatten(1, -2).mean(1) if features.dim() > 2 else features


for _name in torchvision.models.list_models(module=torchvision.models):
    STUDENT.register(TorchvisionStudent(_name), name=_name)
