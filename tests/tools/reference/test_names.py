"""Names in docstrings lead to where things are defined."""

import pytest

from pvbias.tools.reference.names import full_names


@pytest.mark.parametrize(
    ("target", "module", "owner", "meant"),
    [
        ("pvbias.data.BadVideoLog", None, None, "pvbias.data.bad_videos.BadVideoLog"),  # as a package exports it
        ("Recognizer", "pvbias.models.build", None, "pvbias.models.recognizer.Recognizer"),  # as the module imports it
        ("Recognizer.wrap", "pvbias.models.build", None, "pvbias.models.recognizer.Recognizer.wrap"),
        ("wrap", "pvbias.models.recognizer", "Recognizer", "pvbias.models.recognizer.Recognizer.wrap"),
        ("num_classes", "pvbias.models.recognizer", "Recognizer", "pvbias.models.recognizer.Recognizer.num_classes"),
        ("pvbias.evaluation.Figure.values", None, None, "pvbias.evaluation.results.Figure.values"),  # of instances
        ("DataError", "pvbias.models.build", None, "pvbias.errors.DataError"),  # not imported there, but raised
        ("KeyError", "pvbias.models.build", None, "builtins.KeyError"),
        ("torch.nn.Module", None, None, "torch.nn.modules.module.Module"),
        ("pvbias.zoo.reading", None, None, "pvbias.zoo.reading"),
    ],
)
def test_what_a_name_means(target, module, owner, meant):
    assert next(full_names(target, module, owner)) == meant


def test_a_constant_is_looked_for_where_it_is_defined():
    assert "pvbias.clips.modulations.ORIGINAL" in list(full_names("pvbias.clips.ORIGINAL"))


@pytest.mark.parametrize("target", ["pvbias.data.BadVideoLogg", "torch.nothing", "no_such_package.thing"])
def test_names_of_nothing(target):
    assert list(full_names(target)) == []
