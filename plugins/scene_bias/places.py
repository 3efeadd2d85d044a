"""The place of each frame: from a scene classifier, published or trained on a folder of places, or an attribute."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.context import Context
from pvbias.data import Views
from pvbias.data.annotations import read_class_names
from pvbias.data.annotations.text import read_text
from pvbias.engine import Step, classification
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import Accuracy, VideoViews
from pvbias.models import Outputs, Recognizer
from pvbias.models.student import student_recognizer
from pvbias.runtime import Settings
from pvbias.storage import expand
from pvbias.zoo.students import trained_student

from .stills import still_images

#: A line of Places365's list: ``/a/airfield 0``.
_NUMBERED = re.compile(r"/[a-z]/(?P<name>\S+)\s+(?P<number>\d+)")


class PlaceClassifier(nn.Module):
    """A classifier of single frames that tells places apart.

    Args:
        network: clips ``(N, C, T, H, W)`` in [0, 1] -> log-probabilities ``(N, P)``; on its device, in evaluation mode.
        places: names of the P places.
        description: what it is, for the results.
    """

    def __init__(self, network: nn.Module, places: Sequence[str], description: str) -> None:
        super().__init__()
        self.network, self.places, self.description = network, tuple(places), description
        self.eval()

    @torch.inference_mode()
    def frames(self, clips: Tensor | Views, settings: Settings, *, batch_size: int) -> Tensor:
        """Log-probabilities of each frame.

        Args:
            clips: uint8 ``(V, C, T, H, W)``.
            settings: of this machine.
            batch_size: clips whose frames go through the network together.

        Returns:
            float32 ``(V * T, P)``, on the CPU.
        """
        found = []
        with settings.autocast():
            for part in clips.split(batch_size):
                frames = part.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # (n T, C, 1, H, W): clips of a frame
                found.append(self.network(settings.clips(frames)).float().cpu())
        return torch.cat(found)


def read_places(path: str) -> tuple[str, ...]:
    """Read the names of places in the order of a classifier's outputs: Places365's ``categories_places365.txt``
    (``/a/airfield 0``, without the leading letter), or any list of class names.

    Raises:
        DataError: the file cannot be read, names a place twice, or numbers them otherwise than 0, 1, 2, ..., each once
            (``IO_places365.txt`` has 1 and 2, indoors and outdoors, in place of numbers).
    """
    lines = [line.strip() for line in read_text(expand(path)).splitlines() if line.strip()]
    matches = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    if not lines or len(matches) < len(lines):
        return tuple(read_class_names(path))
    names = {int(match["number"]): match["name"] for match in matches}
    if sorted(names) != list(range(len(lines))):
        raise DataError(
            f"{path} (SCENE_BIAS.PLACES_FILE) does not number its {len(lines)} places 0, 1, 2, ..., each once: give "
            "categories_places365.txt."
        )
    return tuple(names[number] for number in range(len(lines)))


def published_classifier(cfg: CfgNode, settings: Settings) -> PlaceClassifier:
    """The classifier of SCENE_BIAS.CLASSIFIER, with its weights and the names of its places.

    Raises:
        ConfigError: weights or names are missing, or do not belong together.
        WeightsError: the weights cannot be had or do not fit.
    """
    options = cfg.SCENE_BIAS
    if not options.PLACES_FILE:
        raise ConfigError(
            f"SCENE_BIAS.CLASSIFIER = {options.CLASSIFIER!r}: name its places in SCENE_BIAS.PLACES_FILE, in the order "
            "of its outputs (of Places365: categories_places365.txt)."
        )
    places = read_places(options.PLACES_FILE)
    student = trained_student(cfg, "SCENE_BIAS", len(places))
    return PlaceClassifier(
        settings.place(student).eval(), places, f"{options.CLASSIFIER} of {options.CHECKPOINT_FILE_PATH}"
    )


def fitted_classifier(cfg: CfgNode, recognizer: Recognizer, context: Context) -> PlaceClassifier:
    """A spatial student (STUDENT.NAME) trained on SCENE_BIAS.PLACES_DIR, by STUDENT.SOLVER, once
    (:meth:`.Context.fit`); its description says how many held-out images it is right about.

    Raises:
        ConfigError, DataError: there is no such folder, or it has no places.
    """
    options = cfg.SCENE_BIAS
    training = still_images(options.PLACES_DIR, "train")
    places = training.class_names
    own = still_cfg(cfg, len(places))
    network = student_recognizer(own, recognizer.clip_spec, len(places))
    context = Context(own, context.settings)
    context.fit(
        network,
        training,
        _cross_entropy,
        name="place_classifier",
        solver=own.STUDENT.SOLVER,
        depends_on={"STUDENT": {name: value for name, value in own.STUDENT.items() if name != "SOLVER"}},
        held_out_loss=_held_out_loss,
    )
    held_out = still_images(options.PLACES_DIR, "test")
    results = context.measure(network, held_out, {"accuracy": Accuracy(own, network, places)}, progress=False)
    right = ""  # known to the main process alone, which writes the results
    if results:
        top1 = next(
            figure for figure in results["accuracy"].figures if (figure.name, figure.level) == ("top1", "video")
        )
        right = f", right about {top1.value:.1f} % of {held_out.description}"
    return PlaceClassifier(network, places, f"{own.STUDENT.NAME} trained on {training.description}{right}")


def _cross_entropy(step: Step) -> dict[str, Tensor]:
    return classification(step.logits, step.labels)


def _held_out_loss(video: VideoViews, outputs: Outputs) -> float:
    assert video.label is not None  # stills have labels
    return -float(outputs.logits.double().log_softmax(1)[:, video.label].mean())


def still_cfg(cfg: CfgNode, num_classes: int) -> CfgNode:
    """The configuration for still images: one view of each, as many classes as there are places, and a student that
    looks at one frame, since all are the same."""
    own = cfg.clone()
    own.defrost()
    own.MODEL.NUM_CLASSES = num_classes
    own.TEST.NUM_ENSEMBLE_VIEWS = own.TEST.NUM_SPATIAL_CROPS = own.STUDENT.NUM_FRAMES = 1
    return own
