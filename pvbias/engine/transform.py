"""The contract of a transform of mini-batches between loading and the objective (mixing, cut and paste)."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from ..clips import view_seeds
from ..data.streams import FIRST, tracks_of
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
        tracks: what accompanies the clips, by name, ``(N, D, T, H, W)``: that somebody needs.
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
        keeps_tracks: the tracks that still belong to the clips after it, by name; None: all, since it changes them as
            it changes the clips. The others end with it, and a training that needs one afterwards does not begin.
        keeps_attributes: the attributes of a video are still those of its clip. Where they are not (the clip shows
            several videos), nothing that comes after it may need attributes.
    """

    needs: Needs = Needs()
    keeps_tracks: tuple[str, ...] | None = ()
    keeps_attributes: bool = True

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


def check_transforms(transforms: Sequence[tuple[str, Transform]], objective: Needs) -> None:
    """Raise where a transform changes what the clips show, and something after it needs what accompanies them.

    Args:
        transforms: with their names, in order.
        objective: its needs.

    Raises:
        ConfigError: naming both.
    """
    after = [(f"the transform {name!r}", transform.needs) for name, transform in transforms]
    after.append(("the objective", objective))
    for number, (name, transform) in enumerate(transforms, start=1):
        for user, needs in after[number:]:
            kept = needs.tracks if transform.keeps_tracks is None else transform.keeps_tracks
            lost = [f"the track {track!r}" for track in tracks_of(needs.tracks, FIRST) if track not in kept]
            lost += [f"the attribute {each!r}" for each in needs.attributes if not transform.keeps_attributes]
            if lost:
                raise ConfigError(
                    f"TRAIN.TRANSFORMS has {name!r}, which changes what clips show, and {', '.join(lost)}, which "
                    f"{user} needs beside them, would no longer be theirs: leave it out."
                )


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
        kept = transform.keeps_tracks
        if kept is not None:
            batch = replace(batch, tracks={name: values for name, values in batch.tracks.items() if name in kept})
    return batch
