"""Base of evaluators that show a few videos instead of counting all of them."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models.outputs import Outputs
from .evaluator import Evaluator, VideoViews
from .results import Result

_NUM_VIDEOS = 8


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The sample of one video: images and rows of tables.

    Attributes:
        label: of the video.
        rows: of the evaluator's table.
        images: that the rows name.
        not_applicable: why there is nothing to show, of this video or any other.
    """

    label: int | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)
    not_applicable: str = ""


class SampleEvaluator(Evaluator):
    """Base of evaluators that show the first videos (by index) of each class, in index order, at most 8; where videos
    have no labels, simply the first ones. Of these the middle view, whose features alone they get.

    Attributes:
        table: name of the table that the samples' rows make.
    """

    table: str

    @abc.abstractmethod
    def sample(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> Sample:
        """Make the sample of one video; arguments as for :meth:`process`."""

    def views_of_features(self, num_views: int) -> range:
        """The middle view."""
        return range(num_views // 2, num_views // 2 + 1)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        labels = {index: sample.label for index, sample in self.rows.items()} | {video.index: video.label}
        # Each process keeps its own first videos: the first ones of all processes are among them.
        chosen = _first_of_each_class(labels)
        if video.index in chosen:
            self.rows[video.index] = self.sample(video, outputs)
            self.rows = {index: self.rows[index] for index in chosen}

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        chosen = _first_of_each_class({index: sample.label for index, sample in self.rows.items()})
        samples: list[Sample] = [self.rows[index] for index in chosen]
        not_applicable = next((sample.not_applicable for sample in samples if sample.not_applicable), "")
        if not_applicable:
            return Result(not_applicable=not_applicable)
        return Result(
            tables={self.table: [row for sample in samples for row in sample.rows]},
            images={name: image for sample in samples for name, image in sample.images.items()},
        )


def _first_of_each_class(labels: Mapping[int, int | None]) -> list[int]:
    """Video indices: the first of each class, ascending, at most ``_NUM_VIDEOS``. ``labels``: by video index."""
    seen: set[int] = set()
    chosen = []
    for index in sorted(labels):
        label = labels[index]
        if label is None or label not in seen:
            chosen.append(index)
        if label is not None:
            seen.add(label)
    return chosen[:_NUM_VIDEOS]
