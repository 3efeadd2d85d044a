import pytest

from pvbias.evaluation import Figure
from pvbias.plugin_loading import load_plugins
from pvbias.report.figures import Measured
from pvbias.report.tables import shown

load_plugins()


@pytest.mark.parametrize(
    ("metric", "value", "unit", "expected"),
    [
        ("dynamic_score/dynamic_score", 7.9e-07, "nats", "none"),
        ("dynamic_score/dynamic_score", 0.0011, "nats", "0.001"),
        ("modulated_accuracy/log_ratio", -0.0004, "log ratio", "none"),
        ("modulated_accuracy/log_ratio", -0.004, "log ratio", "−0.004"),
        ("dataset_bias/dataset_bias", 0.0004, "nats", "0"),  # not a distance that something moves
        ("accuracy/top1", 0.0, "%", "0.0"),
    ],
)
def test_what_is_too_small_to_be_told_is_none(metric, value, unit, expected):
    evaluator, name = metric.split("/")
    assert shown(Measured(evaluator, Figure(name=name, value=value, unit=unit, level="video"))) == expected
