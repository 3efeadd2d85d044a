"""Settings of protocols and probes: what is meant is taken, and nothing else."""

import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.transfer.probes import PROBES
from pvbias.plugins.transfer.protocols import PROTOCOLS
from pvbias.plugins.transfer.settings import make


def test_values_are_what_is_meant():
    assert make(PROBES, "sgd", {"lr": "1e-3", "epochs": 5}, "probe").lr == 0.001, "YAML has 1e-3 as a text"
    assert make(PROBES, "lbfgs", {"penalties": [1, 10]}, "probe").penalties == (1.0, 10.0)
    few = make(PROTOCOLS, "few_shot", {"shots": 5, "normalize": None}, "protocol")
    assert (few.shots, few.normalize) == ((5,), None)
    assert make(PROTOCOLS, "probe", {"modulations": "reverse"}, "protocol").modulations == ("reverse",)


@pytest.mark.parametrize(
    ("known", "name", "settings", "message"),
    [
        (PROTOCOLS, "prob", {}, "Did you mean 'probe'"),
        (PROTOCOLS, "few_shot", {"shot": 1}, "no setting 'shot'"),
        (PROTOCOLS, "few_shot", {"ways": 1}, "ways is 1, and not a whole number of 2 or more"),
        (PROTOCOLS, "few_shot", {"episodes": 0}, "of 1 or more"),
        (PROTOCOLS, "few_shot", {"shots": []}, "one or more values"),
        (PROTOCOLS, "few_shot", {"normalize": "yes"}, "true or false"),
        (PROTOCOLS, "probe", {"seeds": [-1]}, "of 0 or more"),
        (PROTOCOLS, "probe", {"settings": 3}, "settings by name"),
        (PROTOCOLS, "probe", {"layer": 3}, "a text"),
        (PROBES, "knn", {"neighbours": 0}, "of 1 or more"),
        (PROBES, "sgd", {"epochs": 2.5}, "a whole number"),
        (PROBES, "sgd", {"lr": "fast"}, "a number above 0"),
        (PROBES, "lbfgs", {"penalties": [0.0, 1.0]}, "a number above 0"),
        (PROBES, "sgd", {"weight_decay": float("nan")}, "a number of 0 or more"),
    ],
)
def test_what_has_no_meaning_is_refused(known, name, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(known, name, settings, "setting")
