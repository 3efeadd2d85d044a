"""The contract of a transform of mini-batches between loading and the objective (mixing, cut and paste)."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from ..clips import view_seeds
from ..errors import ConfigError
from ..models.recognizer import Recognizer
from ..needs import Needs
from ..registries import TRANSFORM

if TYPE_CHECKING:
    from ..context import Context


@dataclass(frozen=True, kw_only=True)
class MiniBatch:
    """Training clips on the device, on their way to the objective; transforms are given those of the first stream.

    Attributes:
        clips: float in [0, 1], ``(N, C, T, H, W)``.
        labels: int64 ``(N,)``, or class probabilities ``(N, K)``; None: of a stream that has none.
        names: of the videos.
        tracks: what accompanies the clips, by name, ``(N, D, T, H, W)``: that somebody needs. A transform that changes
            what the clips show changes these with them, or refuses them.
        attributes: of the videos' records.
        seeds: one for each clip, in [0, 2**63): a function of RNG_SEED, the video, the step and the transform, and not
            of the mini-batch or the process.
    """

    clips: Tensor
    labels: Tensor | None
    names: Sequence[str] = ()
    tracks: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Sequence[Mapping[str, Any]] = ()
    seeds: Sequence[int] = ()

    def soft_labels(self, num_classes: int) -> Tensor:
        """The labels as class probabilities, float32 ``(N, K)``.

        Raises:
            ConfigError: there are none.
        """
        if self.labels is None:
            raise ConfigError("This stream of training clips has no labels, which a transform needs.")
        if self.labels.dim() == 2:
            return self.labels.float()
        return torch.nn.functional.one_hot(self.labels, num_classes).float()


class Transform(abc.ABC):
    """Base of transforms, which change mini-batches of training clips for any objective.

    Random numbers that torch draws inside :meth:`__call__` are a function of the mini-batch's videos and the step, and
    take nothing from those that the training draws otherwise.

    Args:
        cfg: the whole configuration.
        recognizer: the model being trained.

    Attributes:
        needs: tracks and attributes that it uses, splits that :meth:`prepare` reads.
    """

    needs: Needs = Needs()

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        self.cfg = cfg
        self.recognizer = recognizer

    def prepare(self, context: Context) -> None:  # noqa: B027 (few need it)
        """Prepare before the first step, also of a run that is resumed: as :meth:`.Objective.prepare`."""

    @abc.abstractmethod
    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """The changed mini-batch, of as many clips; the given one stays unchanged."""


def build_transforms(cfg: CfgNode, recognizer: Recognizer) -> list[Transform]:
    """Build the transforms of ``TRAIN.TRANSFORMS``, in that order."""
    return [TRANSFORM.get(name)(cfg, recognizer) for name in cfg.TRAIN.TRANSFORMS]


def apply_transforms(transforms: Sequence[Transform], batch: MiniBatch, *, rng_seed: int, epoch: float) -> MiniBatch:
    """Apply all transforms to a mini-batch, one after another.

    Args:
        rng_seed: ``RNG_SEED``.
        epoch: fractional epoch, which tells one step from another.
    """
    for number, transform in enumerate(transforms):
        purpose = f"transform{number}/{epoch:.9f}/"
        seeds = [view_seeds(rng_seed, name, 1, purpose=purpose)[0] for name in batch.names]
        given = MiniBatch(**{**vars(batch), "seeds": seeds})
        with torch.random.fork_rng([batch.clips.device] if batch.clips.is_cuda else []):
            torch.manual_seed(sum(seeds) % 2**63)
            batch = transform(given)
    return batch
