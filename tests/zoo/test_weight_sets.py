"""Which of a file's tensors are the model's, where it has several sets."""

import pytest
import torch

from pvbias.errors import WeightsError
from pvbias.zoo import load_weights, model_weights, weight_sets

STATE = {"conv.weight": torch.ones(4, 3), "conv.bias": torch.ones(4)}
AVERAGE = {name: value + 1 for name, value in STATE.items()}
OTHER = {"norm.weight": torch.ones(2)}
MOMENTUM = {"state": {0: {"momentum_buffer": torch.ones(99)}}, "param_groups": []}


@pytest.mark.parametrize(
    ("checkpoint", "sets"),
    [
        (STATE, [""]),
        ({"model_state": STATE, "optimizer_state": MOMENTUM, "epoch": 3}, ["model_state"]),
        ({"module": STATE, "optimizer": {"fp32": {"a": torch.ones(99)}}}, ["module"]),
        ({"net": STATE, "acc": torch.tensor(3.0)}, ["net"]),
        ({"params_ema": AVERAGE, "params": STATE}, ["params", "params_ema"]),
        ({"model_ema": {"n_averaged": torch.tensor(1), **AVERAGE}, "model": STATE}, ["model", "model_ema"]),
        ({"ema_state_dict": AVERAGE, "state_dict": STATE, "meta": {}}, ["state_dict", "ema_state_dict"]),
        ({"model": {"state_dict": STATE, "name": "r50"}}, ["model.state_dict"]),
        ({"state": {"trainer": {"weights": STATE}}, "step": torch.tensor(3)}, ["state.trainer.weights"]),
        ({"student": STATE, "teacher": AVERAGE, "dino_loss": {"center": torch.ones(999)}}, ["student", "teacher"]),
        ({"backbone": {"conv": {"weight": torch.ones(2)}}, "head": {"fc": {"weight": torch.ones(3)}}}, [""]),
        ({"state_dict": STATE, "objective_state": {"student.fc": torch.ones(999)}, "processes": OTHER}, ["state_dict"]),
        ({"optimizer_state": MOMENTUM, "epoch": 3}, []),
        ({"args": {"lr": 0.1}}, []),
    ],
)
def test_sets_the_one_that_is_meant_first(checkpoint, sets):
    assert list(weight_sets(checkpoint)) == sets
    if sets:
        assert model_weights(checkpoint, "file") == weight_sets(checkpoint)[sets[0]]


def test_parts_in_dicts_of_their_own_are_joined():
    parts = {"backbone": {"conv": {"weight": torch.ones(2)}}, "head": {"weight": torch.ones(3)}}
    assert list(model_weights(parts, "file")) == ["backbone.conv.weight", "head.weight"]
    # A layer may well be named like what is no model.
    parts["backbone"] |= {"random_projection": torch.ones(2)}
    assert "backbone.random_projection" in model_weights(parts, "file")


def test_a_key_takes_another_set_or_names_that_begin_so():
    checkpoint = {"model": {f"q.{n}": v for n, v in STATE.items()} | {f"k.{n}": v for n, v in AVERAGE.items()}}
    assert model_weights(checkpoint | {"ema": AVERAGE}, "file", "ema") is not None
    assert model_weights(checkpoint, "file", "model.k.") == AVERAGE
    for key in ("model.x.", "modal", "model.k"):
        with pytest.raises(WeightsError, match=rf"no weights under '{key}' \(CHECKPOINT.STATE_KEY\).*model"):
            model_weights(checkpoint, "file", key)


def test_loading_says_which_set_it_took_and_how_to_take_the_other(tiny, tmp_path):
    plain, average = tiny(seed=1).module.state_dict(), tiny(seed=2).module.state_dict()
    path = str(tmp_path / "model.pth")
    torch.save({"model": plain, "model_ema": {"n_averaged": torch.tensor(2)} | _with("module.", average)}, path)
    report = load_weights(recognizer := tiny(seed=0), path)
    assert torch.equal(recognizer.module.conv.weight, plain["conv.weight"])
    assert (report.state_key, report.others) == ("model", ("model_ema",))
    assert "taken from 'model'; the file has others: CHECKPOINT.STATE_KEY model_ema" in str(report)
    report = load_weights(recognizer, path, state_key="model_ema")
    assert torch.equal(recognizer.module.conv.weight, average["conv.weight"])
    assert (report.state_key, report.others, report.head_loaded) == ("model_ema", ("model",), True)


def test_two_encoders_under_prefixes_of_their_own_are_told_apart(tiny, tmp_path):
    query, key = tiny(seed=1).module.state_dict(), tiny(seed=2).module.state_dict()
    path = str(tmp_path / "model.pth")
    torch.save({"state_dict": _with("module.encoder_q.", query) | _with("module.encoder_k.", key)}, path)
    report = load_weights(recognizer := tiny(seed=0), path)
    assert torch.equal(recognizer.module.conv.weight, query["conv.weight"])
    assert report.others == ("state_dict.module.encoder_k.",)
    load_weights(recognizer, path, state_key=report.others[0])
    assert torch.equal(recognizer.module.conv.weight, key["conv.weight"])


def _with(prefix, state):
    return {prefix + name: value for name, value in state.items()}
