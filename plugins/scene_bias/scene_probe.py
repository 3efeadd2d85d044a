"""Scenes told from still clips by a linear probe on a recognizer's features, beside an image network's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pvbias.context import Context
from pvbias.data import field_of
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result
from pvbias.evaluation.statistics import difference_figure, mean_figures
from pvbias.features.embedding import embeddings
from pvbias.features.logistic import PENALTIES, fit_penalized
from pvbias.models import Recognizer
from pvbias.models.student import student_recognizer
from pvbias.registries import EVALUATOR

from .places import still_cfg
from .stills import PLACE, StillImages, still_images

#: Variants of the accuracy.
RECOGNIZER, IMAGE_NETWORK = "recognizer", "image network"


@EVALUATOR.register(name="scene_probe")
class SceneProbe(Evaluator):
    """Accuracy of a linear classifier of places on the features of still clips (temporality study, Table A.4, weights
    fixed).

    Each image of ``SCENE_BIAS.PLACES_DIR`` is a clip that repeats it; the recognizer's embeddings of the training
    images fit a logistic regression (its penalty chosen on a fifth of them that is held out), and the figures are of
    the test images. An image network, ``STUDENT.NAME`` with ``STUDENT.CHECKPOINT_FILE_PATH`` (``imagenet``), is probed
    in the same way on the same crops. It is a figure of the networks and of these images: no video is looked at.

    - ``scene_top1``, of the recognizer and of the image network (the paper: 41.2 and 43.3 %);
      ``scene_top1_difference``: the recognizer's less the image network's, image by image.

    Tables: ``probes``: images, width of the features, penalty, accuracy on the training images, whether the fit
    converged.

    Raises:
        ConfigError: no folder of places, clips of optical flow, or a recognizer or student without an embedding.
    """

    def prepare(self, context: Context) -> None:
        """Compute the features of all images, by both networks."""
        options = self.cfg.SCENE_BIAS
        if self.cfg.DATA.MODALITY != "rgb":
            raise ConfigError(f"scene_probe: images have no DATA.MODALITY = {self.cfg.DATA.MODALITY!r}, take 'rgb'.")
        parts = [still_images(options.PLACES_DIR, split, labelled=False) for split in ("train", "test")]
        places = parts[0].class_names
        # Unlabelled: the recognizer's classes are others.
        own = still_cfg(self.cfg, len(places))
        networks = {
            RECOGNIZER: self.recognizer,
            IMAGE_NETWORK: student_recognizer(own, self.recognizer.clip_spec, len(places)),
        }
        still = Context(own, context.settings)
        self.stills = {
            name: [features_of(still, network, part) for part in parts] for name, network in networks.items()
        }
        self.num_places = len(places)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        figures, rows, credits = [], [], {}
        for name, parts in self.stills.items():
            (training, labels), (tested, _) = parts
            probe, c = fit_penalized(training, labels, self.num_places, penalties=PENALTIES, seed=self.cfg.RNG_SEED)
            right = [probe.scores(features).argmax(1) == truth for features, truth in parts]
            credits[name] = right[1].astype(np.float64)
            words = f"linear probe, C = {c:g}" + ("" if probe.converged else ", NOT CONVERGED")
            if name == IMAGE_NETWORK:
                words += f"; {self.cfg.STUDENT.NAME} of {self.cfg.STUDENT.CHECKPOINT_FILE_PATH or 'random weights'}"
            template = Figure(name="scene_top1", value=None, unit="%", level="video", variant=name, note=words)
            figures += [
                replace(figure, values=None)  # of images, and not of the videos that are measured
                for figure in mean_figures([template], credits[name][:, None], **self.bootstrap)
            ]
            rows.append(
                {
                    "network": name,
                    "training_images": len(training),
                    "test_images": len(tested),
                    "features": training.shape[1],
                    "penalty": c,
                    "top1_training": 100 * float(right[0].mean()),
                    "top1": 100 * float(right[1].mean()),
                    "chance": 100 / self.num_places,
                    "converged": probe.converged,
                }
            )
        difference = Figure(name="scene_top1_difference", value=None, unit="points", level="video")
        figures.append(difference_figure(difference, credits[IMAGE_NETWORK], credits[RECOGNIZER], **self.bootstrap))
        return Result(figures=figures, tables={"probes": rows})


def features_of(context: Context, network: Recognizer, stills: StillImages) -> tuple[np.ndarray, np.ndarray]:
    """The embeddings of still clips, float32 ``(n, D)``, and their places, int64 ``(n,)``; in the main process, none in
    the others. An image that cannot be read is left out.

    Raises:
        ConfigError: the network has no embedding.
        DataError: too many images are bad.
    """
    found = embeddings(context, network, stills)
    if not found:
        return np.empty((0, 0), np.float32), np.empty(0, np.int64)
    numbers = {place: number for number, place in enumerate(stills.class_names)}
    attributes = field_of(stills.records, "attributes")
    places = [numbers[str(attributes[index][PLACE])] for index in found]
    return np.concatenate([*found.values()]), np.array(places, np.int64)
