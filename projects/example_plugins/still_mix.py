"""Frame mixing with a bank of frames chosen by a 2D reference network (StillMix).

H. Li et al., *Mitigating and Evaluating Static Bias of Action Representations in the Background and the Foreground*,
ICCV 2023, https://arxiv.org/abs/2211.12883.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from pvbias.clips import Freeze
from pvbias.config.keys import above, at_least, between, declare
from pvbias.context import Context
from pvbias.distributed import all_gather_objects, barrier, is_main_process
from pvbias.engine import MiniBatch, Step, Transform, classification
from pvbias.engine.seeding import seed_everything
from pvbias.errors import DataError
from pvbias.evaluation import Evaluator, Result, VideoViews
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import STUDENT, TRANSFORM
from pvbias.run.fitting import digest_of
from pvbias.zoo import atomic_save, read_checkpoint

#: A 2D network says of a frozen clip what it says of the frame.
MIDDLE = Freeze(frame="middle")


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys. The first two defaults are the paper's."""
    declare(cfg, "STILL_MIX.ALPHA", 200.0, "Both parameters of the Beta distribution of a clip's weight.", above(0))
    declare(cfg, "STILL_MIX.PROB", 0.5, "That a clip is mixed.", between(0, 1), unit="probability")
    declare(
        cfg,
        "STILL_MIX.QUANTILE",
        0.5,
        "How sure of the label the reference network is of a frame in the bank: as of this part of the frames at least "
        "that it is right about.",
        between(0, 1),
    )
    declare(cfg, "STILL_MIX.BANK_SIZE", 4096, "Frames in the bank, at most.", at_least(1), unit="frames")


class SureFrames(Evaluator):
    """Of the middle frame of each view: those whose label the network predicts and is sure of, ``bank`` after
    :meth:`evaluate`, uint8 ``(M, C, H, W)``."""

    needs = Needs(modulations=(MIDDLE.spec,))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the frames that it is right about, and the label's probability."""
        probabilities = outputs[MIDDLE.spec].logits.softmax(1)
        right = probabilities.argmax(1) == video.label
        frames = video.clips[right, :, MIDDLE.order(video.clips.shape[2], seed=0)[0]]
        self.rows[video.index] = [
            (float(probability), frame.numpy())
            for probability, frame in zip(probabilities[right].amax(1), frames, strict=True)
        ]

    def evaluate(self) -> Result:
        """Chooses, and in a bank that is too large leaves out any."""
        keys = self.cfg.STILL_MIX
        probabilities = [probability for row in self.rows.values() for probability, _ in row]
        if not probabilities:
            raise DataError("still_mix: the reference network is right about no training frame. Train it for longer.")
        least = np.quantile(probabilities, keys.QUANTILE)
        sure = [number for number, probability in enumerate(probabilities) if probability >= least]
        drawn = np.random.default_rng(self.cfg.RNG_SEED).permutation(len(sure))[: keys.BANK_SIZE]
        wanted = {sure[index] for index in drawn}
        frames = (frame for row in self.rows.values() for _, frame in row)
        self.bank = torch.from_numpy(np.stack([frame for number, frame in enumerate(frames) if number in wanted]))
        return Result()


@TRANSFORM.register(name="still_mix")
class StillMix(Transform):
    """``lambda x + (1 - lambda) z`` with a still frame z of the bank in all frames of the clip x, lambda from
    Beta(``ALPHA``, ``ALPHA``); the label stays x's. With probability ``PROB``, each clip for itself.

    The bank: frames of the training videos whose label a 2D network (``STUDENT``, trained on them by
    ``STUDENT.SOLVER``) predicts and is sure of (``QUANTILE``): frames that give the label away. Candidates are the
    middle frames of the views that test videos are seen in.

    Raises:
        DataError: the reference network is right about no frame.
    """

    needs = Needs(splits=("train",))
    bank: Tensor

    def prepare(self, context: Context) -> None:
        """Train the reference network and collect the frames, or find them."""
        network, trained = self._reference_network(context)
        keys = self.cfg.STILL_MIX
        chosen_by = digest_of({"network": trained, "QUANTILE": keys.QUANTILE, "BANK_SIZE": keys.BANK_SIZE})
        file = context.workspace("still_mix_bank", chosen_by) / "frames.pyth"
        if not all_gather_objects(file.exists())[0]:
            frames = SureFrames(self.cfg, network, ())
            context.measure(network, "train", {"still_mix": frames}, progress=False)
            if is_main_process():
                atomic_save({"frames": frames.bank}, file)
            barrier()
        self.bank = read_checkpoint(str(file))["frames"]

    def _reference_network(self, context: Context) -> tuple[Recognizer, str]:
        """The network, and what tells it from others."""
        cfg, classes = self.cfg, self.recognizer.num_classes
        seed_everything(cfg.RNG_SEED)  # its weights start the same whatever came before
        clip_spec = self.recognizer.clip_spec.replace(mean=(0.0,) * 3, std=(1.0,) * 3)  # it normalises by itself
        student = STUDENT.get(cfg.STUDENT.NAME)(cfg, classes)
        network = Recognizer(student, clip_spec=clip_spec, head="", num_classes=classes)
        options = {name: value for name, value in cfg.STUDENT.items() if name != "SOLVER"}

        def cross_entropy(step: Step) -> dict[str, Tensor]:
            return classification(step.logits, step.labels)

        fitted = context.fit(
            network,
            context.source("train"),
            cross_entropy,
            name="still_mix",
            solver=cfg.STUDENT.SOLVER,
            depends_on={"STUDENT": options},
        )
        return network, fitted.folder.name

    def __call__(self, batch: MiniBatch) -> MiniBatch:
        """See :class:`pvbias.engine.Transform`."""
        keys, clips = self.cfg.STILL_MIX, batch.clips.clone()
        for clip, seed in zip(clips, batch.seeds, strict=True):
            rng = np.random.default_rng(seed)
            if rng.random() < keys.PROB:
                frame = self.bank[rng.integers(len(self.bank))][None].to(clip.device).float() / 255
                frame = F.interpolate(frame, clip.shape[-2:], mode="bilinear", antialias=True)  # of the test crop
                clip.lerp_(frame.transpose(0, 1).expand_as(clip), 1 - rng.beta(keys.ALPHA, keys.ALPHA))
        return replace(batch, clips=clips)
