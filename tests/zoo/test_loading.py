"""Loading weights: what fits is taken, what does not is said, and a bad file changes nothing."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pvbias.errors import WeightsError
from pvbias.models import Recognizer
from pvbias.registries import KEY_LAYOUT
from pvbias.zoo import load_module_weights, load_weights

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
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {f"module.model.backbone.{name}": value for name, value in state.items()},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
        lambda state: {name.replace(".", "._orig_mod.", 1): value for name, value in state.items()},
        lambda state: {f"_forward_module.module.{name}": value for name, value in state.items()},
        lambda state: {f"module._fsdp_wrapped_module.{name}": value for name, value in state.items()},
        lambda state: {f"my_lab.recogniser.{name}": value for name, value in state.items()},
        lambda state: {f"{'' if 'proj' in name else 'encoder.'}{name}": value for name, value in state.items()},
        lambda state: {"n_averaged": torch.tensor(2), **{f"module.{name}": value for name, value in state.items()}},
    ],
    ids=[
        "model_state",
        "state_dict",
        "model",
        "bare",
        "DataParallel",
        "a wrapped Recognizer",
        "Lightning, SlowFast's PTV models",
        "several wrappers",
        "torch.compile",
        "torch.compile inside",
        "Fabric",
        "FSDP",
        "anything",
        "encoder with a head beside it",
        "averaged",
    ],
)
def test_every_common_wrapping(tiny, saved, wrapped):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    report = load_weights(recognizer, saved(wrapped(theirs)))
    assert same(state_of(recognizer), theirs, BACKBONE + HEAD)
    assert set(report.loaded) == {*BACKBONE, *HEAD}
    assert (report.initialised, report.backbone_fraction, report.head_loaded) == ({}, 1.0, True)
    assert set(report.skipped) <= {"n_averaged"}


def test_a_backbone_beside_another_head(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    named = {f"backbone.{name}": theirs[name] for name in BACKBONE} | {"cls_head.fc_cls.weight": torch.zeros(9, 4)}
    report = load_weights(recognizer, saved({"state_dict": named}))
    assert same(state_of(recognizer), theirs, BACKBONE)
    assert report.prefix == "backbone."
    assert report.skipped == {"cls_head.fc_cls.weight": "unknown to the model"}
    assert "'backbone.' stripped" in str(report)


@pytest.mark.parametrize(
    ("extra", "adopted"),
    [
        ({"head.weight": torch.ones(9, 4), "head.bias": torch.ones(9)}, True),
        ({"head.fc.weight": torch.ones(9, 4, 1, 1, 1), "head.fc.bias": torch.ones(9)}, True),
        ({"head.weight": torch.ones(9, 4)}, False),
        ({"head.weight": torch.ones(9, 5), "head.bias": torch.ones(9)}, False),
        ({"head.weight": torch.ones(9, 3), "head.bias": torch.ones(9)}, False),
        ({"head.weight": torch.ones(1, 4), "head.bias": torch.ones(1)}, False),
        ({"mlp.weight": torch.ones(9, 4), "mlp.bias": torch.ones(9), "last.weight": torch.ones(3, 9)}, False),
    ],
    ids=["a layer", "a convolution", "no bias", "more features", "fewer features", "one output", "not the last layer"],
)
def test_a_head_of_another_name_is_taken_where_it_can_be_nothing_else(tiny, saved, extra, adopted):
    theirs = {f"module.{name}": value for name, value in state_of(tiny(seed=1)).items() if name in BACKBONE}
    recognizer = tiny(num_classes=9, seed=0)
    report = load_weights(recognizer, saved(theirs | {f"module.{name}": value for name, value in extra.items()}))
    assert report.head_loaded == adopted
    assert bool(report.head) == adopted
    assert torch.equal(recognizer.module.proj.weight, torch.ones(9, 4)) == adopted
    assert ("read as the final projection" in str(report)) == adopted


def test_names_that_begin_like_a_wrapper_are_left_alone(saved):
    model = nn.Sequential()
    model.add_module("model", nn.Linear(3, 4))
    model.add_module("proj", nn.Linear(4, 2))
    theirs = {name: torch.rand_like(value) for name, value in model.state_dict().items()}
    report = load_module_weights(model, "proj", saved(theirs), key="STUDENT.NAME")
    assert (report.prefix, report.backbone_fraction) == ("", 1.0)
    assert same(model.state_dict(), theirs, list(theirs))


def test_sub_batch_norm_becomes_the_statistics_of_the_whole_batch(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    # What three norms see that share a batch of 30, and what one sees.
    parts = torch.randn(3, 10, 4, dtype=torch.float64) * 2 + torch.tensor([0.0, 5.0, -1.0])[:, None, None]
    whole = parts.flatten(0, 1)
    del theirs["norm.running_mean"], theirs["norm.running_var"], theirs["norm.num_batches_tracked"]
    theirs |= {
        "norm.bn.running_mean": torch.zeros(4),  # what SlowFast has aggregated earlier
        "norm.bn.running_var": torch.ones(4),
        "norm.bn.num_batches_tracked": torch.tensor(0),
        "norm.split_bn.running_mean": parts.mean(1).flatten(),
        "norm.split_bn.running_var": parts.var(1, unbiased=False).flatten(),
        "norm.split_bn.num_batches_tracked": torch.tensor(7),
    }
    report = load_weights(recognizer, saved(theirs))
    norm = recognizer.module.norm
    assert torch.allclose(norm.running_mean.double(), whole.mean(0))
    assert torch.allclose(norm.running_var.double(), whole.var(0, unbiased=False))
    assert norm.num_batches_tracked == 7
    assert report.skipped == report.initialised == {}


def test_a_registered_layout_is_taken_where_it_fills_more(tiny, saved, monkeypatch):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    monkeypatch.setattr(KEY_LAYOUT, "_obj_map", {})

    @KEY_LAYOUT.register(name="upper case")
    def lower(weights, own):
        return {name.lower(): value for name, value in weights.items()}

    @KEY_LAYOUT.register(name="another")
    def another(weights, own):
        return None

    report = load_weights(recognizer, saved({f"module.{name.upper()}": value for name, value in theirs.items()}))
    assert same(state_of(recognizer), theirs, BACKBONE + HEAD)
    assert (report.layout, report.prefix) == ("upper case", "module.")
    assert "names read as those of upper case" in str(report)
    assert load_weights(recognizer, saved(theirs)).layout == ""


def test_2d_kernels_are_inflated_and_reported(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    theirs["conv.weight"] = torch.randn(4, 3, 3, 3)
    report = load_weights(recognizer, saved(theirs))
    kernel = recognizer.module.conv.weight
    assert torch.allclose(kernel.sum(2), theirs["conv.weight"])
    assert (report.inflated, report.backbone_fraction) == (("conv.weight",), 1.0)
    assert "1 2D kernels inflated" in str(report)


def test_safetensors_of_any_name(tiny, tmp_path):
    theirs = state_of(tiny(seed=1))
    for name in ("model.safetensors", "model.bin"):
        save_file(theirs, tmp_path / name)
        recognizer = tiny(seed=0)
        assert load_weights(recognizer, str(tmp_path / name)).head_loaded
        assert same(state_of(recognizer), theirs, BACKBONE + HEAD)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_broken_safetensors_say_so(tiny, tmp_path, name):
    recognizer = tiny()
    before = state_of(recognizer)
    path = tmp_path / name
    save_file(state_of(tiny(seed=1)), path)
    content = path.read_bytes()
    for damaged in (content[:60], content[:-1], content[:8] + b"{}" + content[10:]):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="is cut off, or no safetensors file"):
            load_weights(recognizer, str(path))
    path.write_bytes(b"<html>403</html>")
    with pytest.raises(WeightsError, match="is a web page"):
        load_weights(recognizer, str(path))
    assert same(state_of(recognizer), before, BACKBONE + HEAD)


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


def test_what_is_missing_is_never_rounded_away(saved):
    """A stem of 3 of 10,003 weights; statistics, which are no parameters."""

    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv3d(3, 1, 1, bias=False)
            self.norm = nn.BatchNorm3d(1, affine=False)
            self.rest = nn.Parameter(torch.zeros(10_000))
            self.proj = nn.Linear(1, 5)

    theirs = {name: torch.ones_like(value) for name, value in Large().state_dict().items()}
    wrong_stem = theirs | {"stem.weight": torch.ones(1, 3, 3, 1, 1)}
    wrong_stem.pop("norm.num_batches_tracked")
    report = load_module_weights(Large(), "proj", saved(wrong_stem), key="MODEL.MODEL_NAME")
    assert report.backbone_fraction == pytest.approx(10_000 / 10_003)
    assert "(99.9% of the backbone's parameters; the head as well)" in str(report)
    assert report.random == ("stem.weight",)
    assert "stem.weight (shape (1, 3, 3, 1, 1) in the file, (1, 3, 1, 1, 1) in the model)" in report.caution
    report = load_module_weights(Large(), "proj", saved(theirs), key="MODEL.MODEL_NAME")
    assert ("(100.0% of" in str(report), report.random, report.caution) == (True, (), "")
    theirs.pop("norm.running_mean")
    report = load_module_weights(Large(), "proj", saved(theirs), key="MODEL.MODEL_NAME")
    assert report.random == ("norm.running_mean",)


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
    assert report.random == ("norm.bias",)
    # 3*4*27 + 4 + 4 + 4 parameters, four of them missing
    assert report.backbone_fraction == pytest.approx(332 / 336)
    assert same(state_of(recognizer), before, ["norm.bias"])
    assert same(state_of(recognizer), theirs, ["conv.weight", *HEAD])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_state": {"a": torch.zeros(2)}}, "(?s)0 keys match.*not used.*a: unknown.*not filled.*conv.weight"),
        (
            {"optimizer_state": {"state": {}}, "epoch": 3},
            "no model weights, only .* optimizer: its keys are opt.*, epoch",
        ),
        ([torch.zeros(2)], "holds a list"),
        (nn.Linear(2, 2), r"Python object \(torch.nn.modules.linear.Linear\).*run code"),
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


def test_what_is_enough_can_be_set_but_nothing_is_never_enough(tiny, saved):
    recognizer, theirs = tiny(seed=0), state_of(tiny(seed=1))
    theirs["conv.weight"] = torch.zeros(4, 3, 1, 1, 1)
    with pytest.raises(WeightsError, match=r"at least 4% must, CHECKPOINT\.MIN_MATCH"):
        load_weights(recognizer, saved(theirs), min_match=0.04)
    assert load_weights(recognizer, saved(theirs), min_match=0.03).backbone_fraction == pytest.approx(12 / 336)
    with pytest.raises(WeightsError, match="0 keys match"):
        load_weights(recognizer, saved({"elsewhere": torch.zeros(3)}), min_match=0.0)


def test_the_error_names_the_models_that_fit_better(tiny, toys, saved):
    wide = toys["toy_wide"].build(num_classes=7, num_frames=2, crop_size=4).state_dict()
    recognizer = tiny()
    before = state_of(recognizer)
    with pytest.raises(WeightsError, match=r"Check MODEL.MODEL_NAME. Nearest in the catalogue: toy_wide \(100\.0%\)\."):
        load_weights(recognizer, saved(wide))
    with pytest.raises(WeightsError, match="They fit no model of the catalogue"):
        load_weights(recognizer, saved({"elsewhere": torch.zeros(3)}))
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
        (pickle.dumps({"model_state": Harmful()}, protocol=2), "run code"),
        (pickle.dumps({"model_state": Harmful()}), "pickle that PyTorch has not written.*would run code"),
        (pickle.dumps({"blobs": {"conv1_w": [1.0]}}), "Caffe2's .pkl"),
    ],
    ids=["empty", "HTML", "LFS pointer", "harmful", "harmful, newer", "Caffe2"],
)
def test_files_that_are_no_checkpoints(tiny, tmp_path, content, message):
    path = tmp_path / "model.pyth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), str(path))


def test_code_in_a_checkpoint_is_not_run(tiny, saved):
    with pytest.raises(WeightsError, match="run code"):
        load_weights(tiny(), saved({"model_state": Harmful()}))


@pytest.mark.smoke
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_program_is_not_run(tiny, tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(WeightsError, match=r"TorchScript program.*would run code"):
        load_weights(tiny(), str(path))


@pytest.mark.parametrize("zipped", [True, False], ids=["current format", "old format"])
def test_a_truncated_file_is_recognised_wherever_it_ends(tiny, tmp_path, zipped):
    recognizer = tiny()
    before = state_of(recognizer)
    path = tmp_path / "model.pyth"
    torch.save({"model_state": state_of(tiny(seed=1))}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    inside_a_name = content.index(b"OrderedDict") + 4
    for length in [1, inside_a_name, *range(50, len(content), len(content) // 15)]:
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cut off"):
            load_weights(recognizer, str(path))
    assert same(state_of(recognizer), before, BACKBONE + HEAD)
