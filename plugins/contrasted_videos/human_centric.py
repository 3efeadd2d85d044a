"""Background Only, Human Only and Action Swap clips, and accuracies on them (Chung et al., NeurIPS 2022).

"Enabling Detailed Action Recognition Evaluation Through Video Dataset Augmentation", the Human-centric Analysis Toolkit
(HAT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL, TrackModulation, parameter
from pvbias.context import Context
from pvbias.errors import ConfigError
from pvbias.evaluation import VideoViews
from pvbias.evaluation.accuracy import top_k_credit
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, MODULATION

from .compositing import aligned, as_pixels, check_rgb, composite, donor_background, without_actor
from .donors import KINDS, Donors, read_pairs
from .evaluators import ContrastedEvaluator, PlainAccuracies

#: The colour behind the actor in Human Only clips: ImageNet's mean, as in HAT's release; RGB in [0, 1].
_MEAN_COLOUR = (123.675 / 255, 116.28 / 255, 103.53 / 255)


@MODULATION.register(name="background_only")
@dataclass(frozen=True)
class BackgroundOnly(TrackModulation):
    """HAT's Background Only: the actor (track ``mask``) filled in with what is behind it in other frames, or around it
    (:func:`.compositing.without_actor`)."""

    of_rgb = True
    label = "without its actor"
    tracks = ("mask",)

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        check_rgb(clips, self.spec)
        return without_actor(clips, tracks["mask"])


@MODULATION.register(name="human_only")
@dataclass(frozen=True)
class HumanOnly(TrackModulation):
    """HAT's Human Only: the actor (track ``mask``) over one colour, ImageNet's mean."""

    of_rgb = True
    label = "the actor over grey"
    tracks = ("mask",)

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        check_rgb(clips, self.spec)
        colour = torch.tensor(_MEAN_COLOUR)[None, :, None, None, None]
        return composite(clips, tracks["mask"], as_pixels(colour, clips))


@MODULATION.register(name="action_swap")
@dataclass(frozen=True)
class ActionSwap(TrackModulation):
    """HAT's Action Swap: the actor (track ``mask``) in another video, the donor, in place of that one's actor.

    The donor runs from the same relative position on, without its actor (:func:`.compositing.without_actor`); which
    video it is, :class:`.donors.Donors` says.
    """

    of_rgb = True

    donor: str = parameter("random", "which video: " + "; ".join(map(": ".join, KINDS.items())), choices=tuple(KINDS))
    aligned: bool = parameter(True, "the actor's centre is moved to that of the donor's actor, by the first frames")

    @property
    def label(self) -> str:
        """See :attr:`.Modulation.label`."""
        place = "" if self.aligned else ", where it was"
        return f"its actor in another video ({self.donor}){place}"

    @property
    def tracks(self) -> tuple[str, ...]:
        """See :attr:`.Modulation.tracks`."""
        return ("mask", f"donor_{self.donor}")

    def modulate(self, clips: Tensor, seeds: Sequence[int], tracks: Mapping[str, Tensor]) -> Tensor:
        """See :meth:`.TrackModulation.modulate`."""
        check_rgb(clips, self.spec)
        donor, masks = tracks[f"donor_{self.donor}"], tracks["mask"]
        background = donor_background(clips, donor)
        if self.aligned:
            clips, masks = aligned(clips, masks, donor[:, 3:] & 1)
        return composite(clips, masks, background)


@EVALUATOR.register(name="human_background")
class HumanBackgroundAccuracy(PlainAccuracies):
    """Top-1 accuracy on the clips as they are, on HAT's Background Only clips, which show no actor, and on its Human
    Only clips, which show nothing else."""

    needs = Needs(modulations=(ORIGINAL, "background_only", "human_only"), tracks=("mask",))


@EVALUATOR.register(name="action_swap")
class ActionSwapAccuracy(ContrastedEvaluator):
    """Top-1 accuracy on HAT's Action Swap clips, and the background error: how often the donor's class is predicted.

    Each of ``CONTRASTED.SWAPS`` has its figures. The background error is the share of all videos whose first choice is
    the class of the video that the background is of (ties broken at random); there is none for ``same``, where that
    is the right class, nor where all of ``CONTRASTED.PAIRS`` are of one class. What ``same`` loses compared to the
    original clips is what cutting and pasting costs.

    Videos without a donor of each kind (a single video of its class, no line in ``CONTRASTED.PAIRS``) are left out, and
    of pairs of two classes and of one those of one, or of a donor without a label.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        unknown = [kind for kind in cfg.CONTRASTED.SWAPS if kind not in KINDS]
        if unknown or not cfg.CONTRASTED.SWAPS:
            raise ConfigError(f"CONTRASTED.SWAPS = {cfg.CONTRASTED.SWAPS}: some of {', '.join(KINDS)}.")
        swaps = {kind: ActionSwap(donor=kind, aligned=cfg.CONTRASTED.ALIGN) for kind in cfg.CONTRASTED.SWAPS}
        self.swaps = {kind: swap.spec for kind, swap in swaps.items()}
        self.needs = Needs(modulations=tuple(self.swaps.values()))
        self.needs |= Needs(tracks=self.tracks())  # it looks at them, too
        self._donors: dict[str, Donors] = {}

    def prepare(self, context: Context) -> None:
        """Find the donors, and whose class says that the background misleads."""
        assert context.measured is not None
        # A measurement that was killed does not go on with the rows of other pairs.
        self.pairs = read_pairs(self.cfg.CONTRASTED.PAIRS) if "pairs" in self.swaps else {}
        self._donors = {kind: Donors(self.cfg, context.measured, kind) for kind in self.swaps}
        self.misleading = [kind for kind, donors in self._donors.items() if donors.mislead]
        self.measured = [
            (name, spec)
            for kind, spec in self.swaps.items()
            for name in (("top1", "background_error") if kind in self.misleading else ("top1",))
        ]

    def why_not(self, video: VideoViews) -> str:
        """See :meth:`.ContrastedEvaluator.why_not`."""
        if reason := super().why_not(video):
            return reason
        labels = {kind: self._label_of_donor(video, kind) for kind in self.misleading}
        for kind, label in labels.items():
            if label in (None, video.label):
                return f"whose background is of {'no' if label is None else 'their own'} class ({kind})"
        return ""

    def credits(self, video: VideoViews, label: int, scores: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """See :meth:`.ContrastedEvaluator.credits`."""
        found = []
        for kind, spec in self.swaps.items():
            found.append(top_k_credit(scores[spec], label, 1))
            if kind in self.misleading:
                donors_label = self._label_of_donor(video, kind)
                assert donors_label is not None
                found.append(top_k_credit(scores[spec], donors_label, 1))
        return found

    def _label_of_donor(self, video: VideoViews, kind: str) -> int | None:
        # See DonorTrack for the fourth channel.
        attempt = int(video.tracks[f"donor_{kind}"][0][3].max()) // 2
        assert video.record is not None
        donor = self._donors[kind].of(video.record, attempt)
        assert donor is not None
        return donor.label
