"""The section of sample clips: frames of each variant, with the runs' predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..clips import modulation_label
from ..registries import REPORT_SECTION
from .figures import result_of
from .results import RunResults
from .section import Section
from .tables import image_uri

#: The evaluator.
SAMPLES = "sample_clips"


@dataclass
class Prediction:
    """A run's prediction for one variant; ``right`` is None where there is no label."""

    color: int
    predicted: str
    probability: str
    right: bool | None


@dataclass
class Strip:
    """Frames of a clip (data URI or empty) and the predictions of those runs that have seen these frames."""

    image: str
    predictions: list[Prediction] = field(default_factory=list)


@dataclass
class Sample:
    """One video: its names in the runs' lists, its label, and the strips of each variant, by its name."""

    names: list[str]
    label: str
    variants: dict[str, dict[bytes, Strip]] = field(default_factory=dict)


def _samples(runs: Sequence[RunResults]) -> list[Sample] | None:
    """Sample clips. Videos are the same when their content and their label are, whatever they are called; runs that
    have sampled the same frames share a strip."""
    found: dict[tuple[str, str], Sample] = {}
    for column, run in enumerate(runs):
        for row in result_of(run, SAMPLES).tables.get("samples", []):
            video, label = str(row.get("video")), row.get("label")
            known = label is not None and label != ""
            # Older results only say what a video is called: that makes it no other run's.
            content = row.get("content") or f"{column}: {video}"
            sample = found.setdefault((str(content), str(label)), Sample([], str(label) if known else ""))
            if video not in sample.names:
                sample.names.append(video)
            image = run.results[SAMPLES].images.get(str(row.get("image")), b"")
            strips = sample.variants.setdefault(modulation_label(str(row.get("variant"))), {})
            probability = row.get("probability")
            shown = "" if probability is None else f"{100 * probability:.0f} %"
            right = row.get("predicted") == label if known else None
            prediction = Prediction(column, str(row.get("predicted")), shown, right)
            strip = strips.setdefault(image, Strip(image_uri(image)))
            if prediction not in strip.predictions:  # a list may have a video twice
                strip.predictions.append(prediction)
    return list(found.values()) or None


REPORT_SECTION.register(
    Section(
        title="A few clips", build=_samples, place=600, template="samples.html", evaluators={SAMPLES: "sample clips"}
    ),
    name="samples",
)
