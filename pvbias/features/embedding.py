"""Embeddings of a source's videos in memory, by the runner that measures: for probes of auxiliary networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..clips import ORIGINAL
from ..context import Context
from ..data import VideoSource
from ..evaluation import Evaluator, Result, VideoViews
from ..models import EMBEDDING, Outputs, Recognizer
from ..needs import Needs


class _Embeddings(Evaluator):
    """Keeps the embeddings of each video's views."""

    needs = Needs(modulations=(ORIGINAL,), features=(EMBEDDING,))

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keep them."""
        self.rows[video.index] = outputs[ORIGINAL].features[EMBEDDING].numpy()

    def evaluate(self) -> Result:
        """Nothing: the rows are read where they are wanted."""
        return Result()


def embeddings(context: Context, network: Recognizer, videos: str | VideoSource) -> dict[int, np.ndarray]:
    """The embeddings of the views of videos; in the main process, nothing in the others. A bad video is left out.

    Args:
        context: its configuration says how the views are made.
        network: with an embedding.
        videos: a split, or a source (:meth:`.Context.measure`).

    Returns:
        float32 ``(V, D)`` by the video's number in the list, ascending.

    Raises:
        ConfigError: the network has no embedding.
        DataError: there are no videos, or too many are bad.
    """
    kept = _Embeddings(context.cfg, network, ())
    context.measure(network, videos, {"embeddings": kept}, progress=False)
    return dict(kept.rows.items())
