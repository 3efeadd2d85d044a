"""The bank of frames that StillMix adds: those of the training videos that a 2D network recognises the class by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import Freeze
from pvbias.context import Context
from pvbias.distributed import all_gather_objects, barrier, is_main_process
from pvbias.engine.seeding import seed_everything
from pvbias.errors import DataError
from pvbias.evaluation import Evaluator, Result, VideoViews
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import STUDENT
from pvbias.run.fitting import digest_of
from pvbias.run.students import fit_student
from pvbias.zoo import atomic_save, read_checkpoint

#: A 2D network says of a frozen clip what it says of the frame.
_MIDDLE = Freeze(frame="middle")


class SureFrames(Evaluator):
    """Of the middle frame of each view: those whose label the network predicts and is sure of, ``bank`` after
    :meth:`evaluate`, uint8 ``(M, C, H, W)``."""

    needs = Needs(modulations=(_MIDDLE.spec,))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the frames that it is right about, and the label's probability."""
        probabilities = outputs[_MIDDLE.spec].logits.softmax(1)
        right = probabilities.argmax(1) == video.label
        frames = video.clips[right, :, _MIDDLE.order(video.clips.shape[2], seed=0)[0]]
        self.rows[video.index] = [
            (float(probability), frame.numpy())
            for probability, frame in zip(probabilities[right].amax(1), frames, strict=True)
        ]

    def evaluate(self) -> Result:
        """Chooses, and in a bank that is too large leaves out any.

        Raises:
            DataError: the network is right about no frame.
        """
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


def frame_bank(context: Context, recognizer: Recognizer) -> Tensor:
    """Train the reference network and choose the frames, or find them; call in all processes.

    Args:
        recognizer: whose clips the frames are for.

    Returns:
        uint8 ``(M, C, H, W)``, of the test views' size.

    Raises:
        DataError: the reference network is right about no frame.
    """
    network, trained = _reference_network(context, recognizer)
    keys = context.cfg.STILL_MIX
    chosen_by = digest_of({"network": trained, "QUANTILE": keys.QUANTILE, "BANK_SIZE": keys.BANK_SIZE})
    file = context.workspace("still_mix_bank", chosen_by) / "frames.pyth"
    if not all_gather_objects(file.exists())[0]:
        frames = SureFrames(context.cfg, network, ())
        context.measure(network, "train", {"still_mix": frames}, progress=False)
        if is_main_process():
            atomic_save({"frames": frames.bank}, file)
        barrier()
    bank: Tensor = read_checkpoint(str(file))["frames"]
    return bank


def _reference_network(context: Context, recognizer: Recognizer) -> tuple[Recognizer, str]:
    """The trained network, and what tells it from others."""
    cfg: CfgNode = context.cfg
    seed_everything(cfg.RNG_SEED)  # its weights start the same whatever came before
    student = STUDENT.get(cfg.STUDENT.NAME)(cfg, recognizer.num_classes)
    network, fitted = fit_student(context, student, recognizer, name="still_mix")
    return network, fitted.folder.name
