"""What the figures of protocols are called, and which way is better."""

from __future__ import annotations

from pvbias.registries import METRIC
from pvbias.report import Headline, Metric

#: Name of a protocol's result among those of a run.
EVALUATOR = "transfer"

_TITLES = {
    "top1": "top-1 accuracy of the probe",
    "top5": "top-5 accuracy of the probe",
    "mean_class_accuracy": "mean class accuracy of the probe",
    "map": "mean average precision of the probe",
}
_HEADLINES = ("top1", "map")

for _name, _title in _TITLES.items():
    METRIC.register(
        Metric(
            title=_title,
            higher_is_better=True,
            place=2000,
            headlines=(Headline(),) if _name in _HEADLINES else (),
        ),
        name=f"{EVALUATOR}/{_name}",
    )
    METRIC.register(
        Metric(title=f"{_title} of original clips", higher_is_better=True, place=2000),
        name=f"{EVALUATOR}/{_name}_fitted_to_original",
    )
    for _suffix, _words in (("", ""), ("_fitted_to_original", " of original clips")):
        METRIC.register(
            Metric(title=f"{_title}{_words}, over seeds", higher_is_better=True, place=2000),
            name=f"{EVALUATOR}/{_name}_over_seeds{_suffix}",
        )
