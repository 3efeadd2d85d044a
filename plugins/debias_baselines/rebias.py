"""ReBias: the recognizer's features are made independent of those of a biased network, which follows them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.context import Context
from pvbias.data import build_train_loader
from pvbias.distributed import get_rank, get_world_size
from pvbias.engine import Phase, Step, classification
from pvbias.engine.seeding import draws_apart
from pvbias.engine.state import batch_norms
from pvbias.errors import ConfigError
from pvbias.models import EMBEDDING, Recognizer
from pvbias.models.batch_norm import freeze_running_stats, synchronised
from pvbias.needs import Needs
from pvbias.registries import OBJECTIVE

from .biased_network import WithBiasedNetwork
from .hsic import FEWEST, gaussian_kernel, hsic, squared_distances
from .processes import gather


@OBJECTIVE.register()
class ReBias(WithBiasedNetwork):
    """``min_f max_g  L_cls(f) + lambda (HSIC(f, g) - lambda_g L_cls(g))``.

    H. Bahng et al., *Learning De-biased Representations with Biased Representations*, ICML 2020,
    https://arxiv.org/abs/1910.02806. Two phases, the second with the biased network g just updated::

        student      lambda_g L_cls(g(x), y) - HSIC(e_f(x), e_g(x))     in g's weights, by STUDENT.SOLVER
        recognizer   L_cls(f(x), y) + lambda HSIC(e_f(x), e_g(x))       in f's weights

    with e_f and e_g the embeddings, lambda = ``REBIAS.WEIGHT`` and lambda_g = ``REBIAS.STUDENT_WEIGHT`` (1 and 1 in the
    released code). HSIC is estimated without bias (:func:`.hsic.hsic`) over the mini-batch of all processes together,
    and its gradient is that of one process; with accumulation, over each mini-batch.

    Kernels are Gaussian, ``exp(-d^2 / (2 s^2))``. ``s^2`` is the median of the squared distances between different
    clips of a mini-batch, for f and g each, over a part of an epoch (``REBIAS.WIDTHS_FROM``) before training, with both
    networks in training mode; it is kept in the checkpoint. The released code (clovaai/rebias, ``sigma_utils.py``) has
    the distances of clips from themselves among them, which are 0, and gives the biased network's step the two widths
    the other way round; its scripts for Kinetics leave both widths at 1.

    Logged: ``classification``, ``hsic`` and ``top1`` of each phase.

    Raises:
        ConfigError: mini-batches of fewer than 4 clips.
    """

    needs = Needs(features=(EMBEDDING,), splits=("train",))
    squared_widths: Tensor

    def __init__(self, cfg: CfgNode, recognizer: Recognizer) -> None:
        super().__init__(cfg, recognizer)
        if cfg.TRAIN.BATCH_SIZE < FEWEST:
            raise ConfigError(
                f"TRAIN.BATCH_SIZE = {cfg.TRAIN.BATCH_SIZE}: HSIC takes mini-batches of {FEWEST} clips or more."
            )
        self.register_buffer("squared_widths", torch.ones(2))  # of f and g

    def phases(self) -> Sequence[Phase]:
        """The biased network's, then the recognizer's."""
        student, recognizer = {"student": self.student}, {"recognizer": self.base_recognizer}
        return [
            Phase(name="student", modules=student, loss=self._student_loss, solver=self.cfg.STUDENT.SOLVER),
            Phase(name="recognizer", modules=recognizer, loss=self._recognizer_loss, solver=self.cfg.SOLVER),
        ]

    def prepare(self, context: Context) -> None:
        """Measure the widths of the kernels."""
        cfg, recognizer, settings = self.cfg, self.base_recognizer, context.settings
        source, rank, world_size = context.source("train"), get_rank(), get_world_size()
        loader = build_train_loader(cfg, source, rank=rank, world_size=world_size, labelled=False)
        count = max(1, round(cfg.REBIAS.WIDTHS_FROM * len(loader)))
        synchronising = cfg.BN.NORM_TYPE == "sync_batchnorm"
        distances: tuple[list[Tensor], list[Tensor]] = ([], [])
        recognizer.train()
        for module in batch_norms(recognizer) if cfg.BN.FREEZE else []:
            module.eval()
        with (
            torch.no_grad(),
            draws_apart(settings.device),
            freeze_running_stats(recognizer),
            synchronised(recognizer, self) if synchronising else nullcontext(),
        ):
            for batch in islice(loader.epoch(0), count):
                clips = settings.clips(batch.clips)
                with settings.autocast():
                    embeddings = (recognizer.embed(clips), self._biased_embedding(clips))
                for found, embedding in zip(distances, embeddings, strict=True):
                    found.append(_between(squared_distances(gather(embedding))))
        widths = torch.stack([torch.cat(found).median() for found in distances])
        self.squared_widths = widths.clamp(min=torch.finfo(torch.float32).tiny)  # 0 of features that do not vary

    def _biased_embedding(self, clips: Tensor) -> Tensor:
        with freeze_running_stats(self.student):
            return self.student.outputs(clips, (EMBEDDING,)).features[EMBEDDING]  # type: ignore[operator]

    def _student_loss(self, step: Step) -> dict[str, Tensor]:
        with draws_apart(step.clips.device):
            outputs = self.student.outputs(step.clips, (EMBEDDING,))  # type: ignore[operator]
        terms = classification(outputs.logits, step.labels)
        dependence = self._hsic(step.outputs.features[EMBEDDING].detach(), outputs.features[EMBEDDING])
        loss = self.cfg.REBIAS.STUDENT_WEIGHT * terms["loss"] - dependence
        return {"loss": loss, "classification": terms["loss"], "hsic": dependence, "top1": terms["top1"]}

    def _recognizer_loss(self, step: Step) -> dict[str, Tensor]:
        terms = self.classification(step)
        biased = self.biased_outputs(step).features[EMBEDDING]
        dependence = self._hsic(step.outputs.features[EMBEDDING], biased)
        loss = terms["loss"] + self.cfg.REBIAS.WEIGHT * dependence
        return {"loss": loss, "classification": terms["loss"], "hsic": dependence, "top1": terms["top1"]}

    def _hsic(self, own: Tensor, biased: Tensor) -> Tensor:
        kernels = zip((own, biased), self.squared_widths, strict=True)
        return hsic(*(gaussian_kernel(gather(features), width) for features, width in kernels))


def _between(distances: Tensor) -> Tensor:
    """Those between different clips, each once."""
    rows, columns = torch.triu_indices(len(distances), len(distances), 1, device=distances.device)
    return distances[rows, columns]
