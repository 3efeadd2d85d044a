"""Accuracy of a run that was measured, such as a fine-tuned network, beside the protocols on features."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pvbias.errors import DataError
from pvbias.evaluation import Result
from pvbias.features import Features
from pvbias.report.results import read_videos


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The video-level accuracy that a run has measured on its test videos: fine-tuning, or training from scratch.

    Attributes:
        run: the run's folder; ``{model}`` and ``{data}`` in it are the names of the table.
    """

    needs = ()

    run: str

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """The figures of the run, of its original clips."""
        run = read_videos(self.run)
        found = run.results.get("accuracy", Result()).figures
        figures = [
            replace(each, note="; ".join(filter(None, (each.note, f"of the run {self.run}"))))
            for each in found
            if (each.level, each.variant) == ("video", "original")
        ]
        if not figures:
            raise DataError(f"{self.run} has no accuracy: measure it with TEST.ENABLE.")
        return Result(figures=figures)
