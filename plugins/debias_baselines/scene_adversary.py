"""Scene debiasing: a classifier of scenes that the embedding is trained to defeat, and confusion without the actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.context import Context
from pvbias.engine import Objective, Phase, Step, reverse_gradient
from pvbias.engine.seeding import draws_apart
from pvbias.errors import ConfigError
from pvbias.models import EMBEDDING, Recognizer, embedding_width, evaluation_mode
from pvbias.models.batch_norm import freeze_running_stats
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE
from pvbias.transfers import to_device
from pvbias.zoo.students import trained_student

#: The number of a scene that is not known.
_NONE = -1


@OBJECTIVE.register()
class SceneAdversary(Objective):
    """The embedding is to tell nothing of the scene; a clip without its actor, nothing of the class.

    In the manner of J. Choi et al., *Why Can't I Dance in the Mall? Learning to Mitigate Scene Bias in Action
    Recognition*, NeurIPS 2019, https://arxiv.org/abs/1912.05534 (SDN). One phase::

        L_cls(f(x), y) + L_ce(S(R(e(x))), s(x)) + w_m sum_k p_k(x_b) ln p_k(x_b)

    with e the embedding, S a multilayer perceptron (``SCENE_ADVERSARY.HIDDEN_LAYERS`` of the embedding's width), R the
    identity whose gradient is multiplied by ``-SCENE_ADVERSARY.REVERSAL``, s the scene, p = softmax(f), and x_b the
    clip with its foreground (not label 0 of the track "mask") in the colour of the normalisation's mean. Means over all
    clips; one whose scene is not known, or that has no foreground, adds 0 to the second or third term.

    The scene is the attribute ``SCENE_ADVERSARY.ATTRIBUTE`` of the video's record; or, with
    ``SCENE_ADVERSARY.CLASSIFIER``, the probabilities that a trained classifier of single frames gives the clip (SDN:
    those of Places365).

    Otherwise than here, the released code (vt-vl-lab/SDN) has BatchNorm in S, trains S alone for some epochs, and takes
    the confusion as an optimizer's step of its own, after that of the other two terms. Masked clips leave BatchNorm's
    running statistics alone here.

    Logged: ``classification``, ``scene`` (nats), ``scene_top1`` (percent of all clips), ``masked_entropy`` (the third
    sum, nats; -ln K where a clip without its actor could be anything) and ``top1``.

    Raises:
        ConfigError: a classifier without weights, or with those of another number of scenes.
    """

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        self.options = options = cfg.SCENE_ADVERSARY
        self.classifier = trained_student(cfg, "SCENE_ADVERSARY", options.CLASSES) if options.CLASSIFIER else None
        self.needs = Needs(
            features=(EMBEDDING,),
            tracks=("mask",) if options.MASK_WEIGHT else (),
            attributes=() if options.CLASSIFIER else (options.ATTRIBUTE,),
            splits=() if options.CLASSIFIER else ("train",),
        )
        self._numbers: dict[Any, int] = {}
        self.adversary = nn.Sequential()
        if options.CLASSIFIER:
            self._make_adversary(options.CLASSES)

    def prepare(self, context: Context) -> None:
        """Number the scenes of the training videos, in sorted order (numbers before texts).

        Raises:
            ConfigError: fewer than two.
        """
        if self.classifier is not None:
            return
        name = self.options.ATTRIBUTE
        found = {record.attributes[name] for record in context.source("train").records if name in record.attributes}
        if len(found) < 2:
            raise ConfigError(
                f"SCENE_ADVERSARY.ATTRIBUTE = {name!r}: the training videos have {len(found)} value of it, and there "
                "is nothing to tell apart."
            )
        values = sorted(found, key=lambda value: (isinstance(value, str), value))
        self._numbers = {value: number for number, value in enumerate(values)}
        self._make_adversary(len(values))

    def _make_adversary(self, scenes: int) -> None:
        width = embedding_width(self.base_recognizer)
        layers: list[nn.Module] = []
        for _ in range(self.options.HIDDEN_LAYERS):
            layers += [nn.Linear(width, width), nn.ReLU()]
        self.adversary = nn.Sequential(*layers, nn.Linear(width, scenes))

    def phases(self) -> Sequence[Phase]:
        """The one phase: through the reversal, minimising is a minimum for S and a maximum for e."""
        modules = {"recognizer": self.base_recognizer, "adversary": self.adversary}
        return [Phase(name="recognizer", modules=modules, loss=self._loss, solver=self.cfg.SOLVER)]

    def _loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        embedding = step.outputs.features[EMBEDDING].float()
        # In half precision, what differs between embeddings that are much alike would be lost.
        with torch.autocast(embedding.device.type, enabled=False):
            logits = self.adversary(reverse_gradient(embedding, self.options.REVERSAL))
        scenes = self._scenes(step, logits.shape[1])
        scene = soft_cross_entropy(logits, scenes)
        right = (logits.detach().argmax(1) == scenes.argmax(1)) & (scenes.sum(1) > 0)
        loss = terms["loss"] + scene
        logged = {"classification": terms["loss"], "scene": scene, "scene_top1": right.float().mean() * 100}
        if self.options.MASK_WEIGHT:
            logged["masked_entropy"] = self._masked_entropy(step)
            loss = loss + self.options.MASK_WEIGHT * logged["masked_entropy"]
        return {"loss": loss, **logged, "top1": terms["top1"]}

    @torch.no_grad()
    def _scenes(self, step: Step, count: int) -> Tensor:
        """Probabilities of the scenes ``(N, S)``, zeros where the scene is not known."""
        if self.classifier is not None:
            with evaluation_mode(self.classifier), draws_apart(step.clips.device):
                log_probabilities: Tensor = self.classifier(step.clips)
            return log_probabilities.exp()
        name = self.options.ATTRIBUTE
        numbers = [self._numbers.get(attributes.get(name), _NONE) for attributes in step.attributes]
        rows = torch.zeros(len(numbers), count)
        for row, number in zip(rows, numbers, strict=True):
            if number != _NONE:
                row[number] = 1
        return to_device(rows, step.clips.device)

    def _masked_entropy(self, step: Step) -> Tensor:
        """The third sum."""
        foreground = step.tracks["mask"] > 0
        recognizer = self.base_recognizer
        masked = torch.where(foreground, recognizer.mean, step.clips)
        with freeze_running_stats(recognizer):
            log_p = step.recognizer(masked).float().log_softmax(1)
        return ((log_p.exp() * log_p).sum(1) * foreground.flatten(1).any(1)).mean()


def soft_cross_entropy(logits: Tensor, probabilities: Tensor) -> Tensor:
    """``-sum_k q_k ln p_k``, the mean over clips, nats; each ``(N, K)``, rows of probabilities may be zeros."""
    return -(probabilities * logits.log_softmax(1)).sum(1).mean()
