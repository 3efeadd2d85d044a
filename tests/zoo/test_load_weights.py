"""Loading weights: what fits is taken, what does not is said, and a bad file changes nothing."""

import json
import pickle

import pytest
import torch
from torch import nn

from pvbias.errors import WeightsError
from pvbias.models import Recognizer
from pvbias.zoo import load_weights

BACKBONE = [
    "conv.weight",
    "conv.bias",
    "norm.weight",
    "norm.bias",
    "norm.running_mean",
    "norm.running_var",
    "norm.num_batches_tracked",
]
HEAD = ["proj.weight", "proj.bias"]


def state_of(recognizer: Recognizer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in recognizer.module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], names: list[str]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in names)


@pytest.fixture
def saved(tmp_path):
    """``saved(object)``: the path of a file with it."""

    def save(content: object) -> str:
        path = tmp_path / "checkpoint.pyth"
        torch.save(content, path)
        return str(path)

    return save


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"model_state": state, "epoch": 3, "cfg": "A: 1", "optimizer_state": {"state": {}}},
        lambda state: {"state_dict": state},
        lambda state: {"model": state},
        lambda state: state,
        lambda state: {"model_state": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {f"module.module.{name}": value for name, value in state.items()},
    ],
    ids=["model_state", "state_dict", "model", "bare", "DataParallel", "a wrapped Recognizer"],
)
def test_every_common_wrapping(tiny, saved, wrapped):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    report = load_weights(recognizer, saved(wrapped(theirs)))
    assert same(state_of(recognizer), theirs, BACKBONE + HEAD)
    assert set(report.loaded) == {*BACKBONE, *HEAD}
    assert (report.skipped, report.initialised, report.backbone_fraction, report.head_loaded) == ({}, {}, 1.0, True)


def test_another_class_count_leaves_the_head_alone_and_says_so(tiny, saved):
    recognizer, theirs = tiny(num_classes=5, seed=0), state_of(tiny(num_classes=400, seed=1))
    before = state_of(recognizer)
    path = saved({"model_state": theirs})
    report = load_weights(recognizer, path)
    after = state_of(recognizer)
    assert same(after, theirs, BACKBONE)
    assert same(after, before, HEAD)
    reason = "400 classes in the file, 5 in the model"
    assert report.skipped == report.initialised == dict.fromkeys(HEAD, reason)
    assert not report.head_loaded
    assert str(report) == "\n".join(
        [
            f"Weights from {path}: 7 keys loaded (100.0% of the backbone's parameters; the head starts anew)",
            "  in the file, not used (2):",
            f"    proj.weight, proj.bias: {reason}",
            "  newly initialised (2):",
            f"    proj.weight, proj.bias: {reason}",
        ]
    )
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_half_a_head_is_not_loaded(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    before = state_of(recognizer)
    theirs["proj.weight"] = torch.zeros(9, 4)
    report = load_weights(recognizer, saved(theirs))
    assert same(state_of(recognizer), before, HEAD)
    assert report.skipped["proj.bias"] == "the rest of the head does not fit"


def test_other_misfits_are_skipped_and_reported(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    before = state_of(recognizer)
    del theirs["norm.num_batches_tracked"]
    theirs["norm.bias"] = torch.zeros(6)
    theirs["extra.weight"] = torch.zeros(2)
    report = load_weights(recognizer, saved(theirs))
    assert report.skipped == {
        "norm.bias": "shape (6,) in the file, (4,) in the model",
        "extra.weight": "unknown to the model",
    }
    assert report.initialised == {
        "norm.bias": "shape (6,) in the file, (4,) in the model",
        "norm.num_batches_tracked": "not in the file",
    }
    # 3*4*27 + 4 + 4 + 4 parameters, four of them missing
    assert report.backbone_fraction == pytest.approx(332 / 336)
    assert same(state_of(recognizer), before, ["norm.bias"])
    assert same(state_of(recognizer), theirs, ["conv.weight", *HEAD])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_state": {"a": torch.zeros(2)}}, "(?s)0 keys match.*not used.*a: unknown.*not filled.*conv.weight"),
        ({"optimizer_state": {"state": {}}, "epoch": 3}, "no model weights: its keys are optimizer_state, epoch"),
        ([torch.zeros(2)], "holds a list"),
        (nn.Linear(2, 2), r"Python objects \(torch.nn.modules.linear.Linear\).*run code"),
    ],
    ids=["no key matches", "optimizer only", "a list", "a pickled module"],
)
def test_files_that_do_not_serve(tiny, saved, content, message):
    recognizer = tiny()
    before = state_of(recognizer)
    with pytest.raises(WeightsError, match=message):
        load_weights(recognizer, saved(content))
    assert same(state_of(recognizer), before, BACKBONE + HEAD)


def test_under_ninety_percent_of_the_backbone_is_an_error(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    before = state_of(recognizer)
    theirs["conv.weight"] = torch.zeros(4, 3, 1, 1, 1)
    with pytest.raises(WeightsError, match=r"(?s)8 keys match, 3\.6%.*Nothing was loaded.*conv\.weight: shape"):
        load_weights(recognizer, saved(theirs))
    assert same(state_of(recognizer), before, BACKBONE + HEAD)


class Harmful:
    """What an attacker would put into a checkpoint."""

    def __reduce__(self):
        return (pytest.fail, ("code from the file was run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "no PyTorch checkpoint"),
        (pickle.dumps({"model_state": Harmful()}, protocol=2), "run code|no PyTorch checkpoint"),
    ],
    ids=["empty", "HTML", "LFS pointer", "harmful"],
)
def test_files_that_are_no_checkpoints(tiny, tmp_path, content, message):
    path = tmp_path / "model.pyth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), str(path))


def test_code_in_a_checkpoint_is_not_run(tiny, saved):
    with pytest.raises(WeightsError, match="run code"):
        load_weights(tiny(), saved({"model_state": Harmful()}))


@pytest.mark.parametrize("zipped", [True, False], ids=["current format", "old format"])
def test_a_truncated_file_is_recognised_wherever_it_ends(tiny, tmp_path, zipped):
    recognizer = tiny()
    before = state_of(recognizer)
    path = tmp_path / "model.pyth"
    torch.save({"model_state": state_of(tiny(seed=1))}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in [1, *range(50, len(content), len(content) // 15)]:
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cut off"):
            load_weights(recognizer, str(path))
    assert same(state_of(recognizer), before, BACKBONE + HEAD)
