"""A linear probe: how well a linear classifier tells the classes by the network's embeddings alone.

An example for authors of plugins. The probes to use are those of ``pvbias transfer`` (``plugins/transfer``).

G. Alain, Y. Bengio, *Understanding intermediate layers using linear classifier probes*, 2016,
https://arxiv.org/abs/1610.01644.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pvbias.clips import ORIGINAL
from pvbias.config.keys import above, declare
from pvbias.context import Context
from pvbias.errors import DataError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.statistics import mean_figures
from pvbias.models import Outputs
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, METRIC
from pvbias.report import Headline, Metric

logger = logging.getLogger(__name__)


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's key."""
    declare(cfg, "LINEAR_PROBE.C", 1.0, "Inverse of the L2 penalty of the logistic regression.", above(0))


class Embeddings(Evaluator):
    """The embedding of each labelled video, the mean over its views: ``rows`` of (label, float32 ``(D,)``)."""

    needs = Needs(modulations=(ORIGINAL,), features=("embedding",))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the label and the embedding."""
        if video.label is not None:
            embedding = outputs[ORIGINAL].features["embedding"].mean(0).numpy()
            self.rows[video.index] = (video.label, embedding)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all labelled videos, in order: labels ``(n,)``, embeddings ``(n, D)``."""
        labels = np.array([label for label, _ in self.rows.values()], dtype=np.int64)
        return labels, np.array([embedding for _, embedding in self.rows.values()])

    def evaluate(self) -> Result:
        """Nothing to report: the embeddings are for others."""
        return Result()


class KeptEmbeddings(Embeddings):
    """Embeddings that are written to a file once they are there."""

    file: Path

    def evaluate(self) -> Result:
        """Written under another name first, so that a file that is there is whole."""
        labels, embeddings = self.arrays()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".part")
        with unfinished.open("wb") as out:
            np.savez(out, labels=labels, embeddings=embeddings)
        os.replace(unfinished, self.file)
        return Result()


@EVALUATOR.register(name="linear_probe")
class LinearProbe(Embeddings):
    """Accuracy, on the test videos, of a logistic regression on standardised embeddings of the training videos.

    Both sets are seen in test views, in evaluation mode. The training videos' embeddings are kept in the run's
    workspace, by a fingerprint of the network's weights, the videos and the configuration.
    """

    needs = Embeddings.needs | Needs(splits=("train",))

    def prepare(self, context: Context) -> None:
        """Embed the training videos, unless that has been done."""
        kept = {"embeddings": KeptEmbeddings(self.cfg, self.recognizer, self.class_names)}
        fingerprint = context.measured_by(self.recognizer, "train", kept)
        self.file = kept["embeddings"].file = context.workspace("embeddings", fingerprint) / "train.npz"
        if self.file.exists():
            logger.info("Embeddings of the training videos: found in %s", self.file)
            return
        context.measure(self.recognizer, "train", kept)

    def evaluate(self) -> Result:
        """Fit the probe, and ask it."""
        if not self.rows:
            return Result(not_applicable="the videos have no labels")
        with np.load(self.file) as train:
            labels, embeddings = train["labels"], train["embeddings"]
        if len(np.unique(labels)) < 2:
            raise DataError(f"A linear probe needs training videos of two classes; {self.file} has {np.unique(labels)}")
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=self.cfg.LINEAR_PROBE.C, max_iter=1000))
        probe.fit(embeddings, labels)
        truth, tested = self.arrays()
        figure = Figure(name="top1", value=None, unit="%", level="video")
        right = (probe.predict(tested) == truth).astype(float)
        return Result(figures=mean_figures([figure], right[:, None], **self.bootstrap))


METRIC.register(
    Metric(
        title="linear probe", headlines=(Headline(variant="original", title="linear probe"),), higher_is_better=True
    ),
    name="linear_probe/top1",
)
