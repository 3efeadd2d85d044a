"""What evaluators, objectives and transforms ask for; the runner and the trainer provide the union, each thing once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The requirements of an evaluator, an objective or a transform.

    Attributes:
        modulations: of an evaluator: specs (:func:`pvbias.clips.modulation`); it gets the model's outputs on each, by
            the spec as it is written here. Empty: it only looks at the model's weights.
        features: inner features that come with the logits, from the same forward: ``"embedding"`` (what the final
            projection sees, averaged over the positions it is applied to, ``(N, D)``), the dotted name of an inner
            module of the zoo module (its output), or what is computed of its call on the device, by name in the FEATURE
            registry: ``"mean(blocks.3)"``, the mean over all positions, ``(N, D)``.
        tracks: what accompanies the clips, by name in the TRACK registry; the clips of another stream than the first
            after its name: ``"target.flow"``.
        attributes: of the videos that are measured or trained on, by name (:mod:`pvbias.data.attributes`). Where no
            video has one the run ends before anything is decoded; single videos may lack it.
        streams: of an objective: the training streams that it takes a mini-batch of in each step; the first one is the
            labelled one that makes the epochs.
        splits: "train", "val", "test": whose videos ``prepare`` reads (:meth:`.Context.source`).
    """

    modulations: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    tracks: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    streams: tuple[str, ...] = ("train",)
    splits: tuple[str, ...] = ()

    def __or__(self, other: Needs) -> Needs:
        """The union of two, each thing once, in order of first mention."""
        names = [field.name for field in fields(self)]
        return Needs(**{name: tuple(dict.fromkeys((*getattr(self, name), *getattr(other, name)))) for name in names})


def union(needs: Iterable[Needs]) -> Needs:
    """The union of the needs of all consumers."""
    total = Needs()
    for each in needs:
        total |= each
    return total
