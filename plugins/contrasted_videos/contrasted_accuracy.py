"""Accuracy on SCUBA and SCUFO videos, and contrasted accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.errors import ConfigError
from pvbias.evaluation import VideoViews
from pvbias.evaluation.accuracy import top_k_credit
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .evaluators import ContrastedEvaluator
from .scuba import BACKGROUNDS, Scuba, Scufo


@EVALUATOR.register(name="contrasted_accuracy")
class ContrastedAccuracy(ContrastedEvaluator):
    """Top-1 accuracy on SCUBA and on SCUFO clips, and contrasted accuracy: right on the first and wrong on the second.

    A model that knows the actions by what actors look like is right on a SCUBA clip, and on its SCUFO twin as well,
    which does not move: contrasted accuracy (Li et al., ICCV 2023) counts the videos where it is right for another
    reason. It is 0 for a model that does not use motion, and the accuracy on SCUBA clips for one that uses nothing
    else and is never right on clips that stand still.

    Each of ``CONTRASTED.BACKGROUNDS`` has its figures. Ties are broken at random, the same way on both clips
    (:func:`contrast_credit`).
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        names = dict.fromkeys(cfg.CONTRASTED.BACKGROUNDS)
        if not names or names.keys() - BACKGROUNDS.keys():
            raise ConfigError(f"CONTRASTED.BACKGROUNDS = {list(names)}: some of {', '.join(BACKGROUNDS)}.")
        self.pairs = [(Scuba(background=name).spec, Scufo(background=name).spec) for name in names]
        self.needs = Needs(modulations=tuple(spec for pair in self.pairs for spec in pair))
        self.needs |= Needs(tracks=self.tracks())  # it looks at them, too
        self.measured = [
            figure
            for scuba, scufo in self.pairs
            for figure in (("top1", scuba), ("top1", scufo), ("contrasted_accuracy", scuba))
        ]

    def credits(self, video: VideoViews, label: int, scores: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """See :meth:`.ContrastedEvaluator.credits`."""
        found = []
        for scuba, scufo in self.pairs:
            found += [top_k_credit(scores[spec], label, 1) for spec in (scuba, scufo)]
            found.append(contrast_credit(scores[scuba], scores[scufo], label))
        return found


def contrast_credit(moving: Tensor, still: Tensor, label: int) -> Tensor:
    """The probability, in [0, 1], of being right on a clip and wrong on its still twin: ``(V, K), (V, K) -> (V,)``.

    Ties are broken by an order of the classes that is drawn at random, one for both clips: a model that says the same
    of both is never right on one of them alone. With the classes A that share the first place on the clip, and B on its
    twin, the label is first of A and not first of B with the probability::

        1 / |A| - 1 / |A u B|   where the label is in A and in B,
        1 / |A|                 where it is in A only,      0  where it is not in A

    Without ties that is 1 or 0.
    """
    first = moving == moving.amax(1, keepdim=True)
    first_of_twin = still == still.amax(1, keepdim=True)
    either = (first | first_of_twin).sum(1).double()
    right = first[:, label] / first.sum(1).double()
    return right - first[:, label] * first_of_twin[:, label] / either
