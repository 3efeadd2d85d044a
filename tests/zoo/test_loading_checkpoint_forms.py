"""A catalogue of checkpoint files: loaded key for key, with the logits of the network that was saved, or refused.

Files are written by the libraries themselves where they are there (torch, torchvision, PyTorchVideo, fvcore,
safetensors, numpy), and as their programs are documented to write them where not. Those of transformers are in
tests/plugins/transformers_zoo/test_folders.py, those of mmaction2 in tests/plugins/mmaction2_names/test_layouts.py.
"""

from __future__ import annotations

import argparse
import copy
import json
import pathlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from fvcore.common.checkpoint import Checkpointer
from pytorchvideo.models import hub
from safetensors.torch import save_file, save_model
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models.video import r3d_18

from pvbias.errors import WeightsError
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.zoo import load_module_weights

load_plugins(["pvbias.plugins.classic_models", "pvbias.plugins.pytorchvideo_zoo", "pvbias.plugins.torchvision_zoo"])

CLASSES = 5


def small() -> nn.Module:
    """The saved network: 0.7 million weights, each of them random."""
    torch.manual_seed(3)
    network = MODEL.get("r3d_small").build(num_classes=CLASSES, num_frames=4, crop_size=32)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and value.dim() < 2:
            nn.init.uniform_(value, 0.5, 1.5) if "weight" in name or "var" in name else nn.init.normal_(value, std=0.1)
    return network.eval()


def optimizer_of(network: nn.Module) -> dict:
    """Of a step that was done."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = optimizer.state_dict()
    network.zero_grad(set_to_none=True)
    return state | {"state": {number: {"momentum_buffer": torch.ones(3)} for number in range(4)}}


def prefixed(state, prefix):
    return OrderedDict((prefix + name, value) for name, value in state.items())


def converted(network, convert):
    return {name: convert(v) if v.is_floating_point() else v for name, v in network.state_dict().items()}


def averaged(network):
    """Weights of another network in an average of training, as torch keeps it."""
    other = copy.deepcopy(network)
    for value in other.parameters():
        value.data.add_(1)
    return AveragedModel(other).state_dict()


def reference_script(network):
    """torchvision/references/video_classification/train.py, with weights averaged."""
    args = argparse.Namespace(model="r3d_18", lr=0.64, data_path=pathlib.Path("/data"), workers=10, device="cuda")
    return {
        "model": network.state_dict(),
        "optimizer": optimizer_of(network),
        "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]},
        "epoch": 3,
        "args": args,
        "scaler": {"scale": 65536.0},
        "model_ema": averaged(network),
    }


def timm_saver(network):
    return {
        "epoch": 7,
        "arch": "r3d",
        "state_dict": network.state_dict(),
        "optimizer": optimizer_of(network),
        "version": 2,
        "args": argparse.Namespace(model="r3d", output=pathlib.Path("out")),
        "amp_scaler": {"scale": 2.0},
        "state_dict_ema": {name: value + 1 for name, value in network.state_dict().items()},
        "metric": np.float64(71.3),
    }


class HistoryBuffer:
    """Stands for mmengine.logging.history_buffer.HistoryBuffer."""

    def __init__(self) -> None:
        self._log_history = np.array([0.5, 0.25])


def lightning(network):
    return {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed(network.state_dict(), "model."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'acc'}": {"best_model_score": torch.tensor(0.7)}},
        "optimizer_states": [optimizer_of(network)],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.1, "root": pathlib.Path("/data")},
    }


@dataclass
class Case:
    """A file: ``write(path, network)``; what it is read as; ``refused``: the reason, instead."""

    write: Callable[[pathlib.Path, nn.Module], object]
    file: str = "model.pth"
    refused: str = ""
    skipped: frozenset[str] = frozenset()


def saved(make, **options):
    return Case(lambda path, network: torch.save(make(network), path, **options))


def fvcore_file(path, network):
    Checkpointer(network, str(path.parent)).save(path.stem, iteration=3, path=path)


def hub_folder(path, network):
    path.mkdir()
    names = list(network.state_dict())
    parts = {f"model-0000{part + 1}-of-00002.safetensors": names[part::2] for part in (0, 1)}
    for file, own in parts.items():
        save_file({name: network.state_dict()[name] for name in own}, path / file)
    places = {name: file for file, own in parts.items() for name in own}
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (path / "config.json").write_text(json.dumps({"model_type": "r3d"}))


def traced_file(path, network):
    torch.jit.trace(network, torch.rand(1, 3, 4, 32, 32)).save(str(path))


CASES = {
    "torch.save(state_dict)": saved(lambda network: network.state_dict()),
    "torch.save, before 1.6": saved(lambda network: network.state_dict(), _use_new_zipfile_serialization=False),
    "torchvision's reference script, with averages": saved(reference_script),
    "the same, before 1.6": saved(reference_script, _use_new_zipfile_serialization=False),
    "SlowFast": saved(
        lambda network: {
            "epoch": 3,
            "model_state": network.state_dict(),
            "optimizer_state": optimizer_of(network),
            "cfg": "MODEL: {ARCH: slow}\nX: !!python/tuple [1, 2]\n",
            "scaler_state": {},
        }
    ),
    "SlowFast, a PTV model": saved(lambda network: {"model_state": prefixed(network.state_dict(), "model.")}),
    "fvcore's Checkpointer": Case(fvcore_file),
    "DataParallel": saved(lambda network: {"state_dict": nn.DataParallel(network).state_dict(), "best_prec1": 71.0}),
    "torch.compile": saved(lambda network: torch.compile(network).state_dict()),
    "torch.compile of DataParallel": saved(
        lambda network: {"model": torch.compile(nn.DataParallel(network)).state_dict()}
    ),
    "an average of training alone": saved(lambda network: AveragedModel(network).state_dict()),
    "FSDP": saved(lambda network: prefixed(network.state_dict(), "_fsdp_wrapped_module.")),
    "Lightning": saved(lightning),
    "Fabric": saved(lambda network: {"model": prefixed(network.state_dict(), "_forward_module."), "step": 3}),
    "DeepSpeed": saved(
        lambda network: {
            "module": network.state_dict(),
            "optimizer": {"fp32_flat_groups": [torch.ones(3)]},
            "ds_config": {"a": 1},
        }
    ),
    "timm": saved(timm_saver),
    "mmengine": saved(
        lambda network: {
            "meta": {"mmengine_version": "0.10.7", "seed": np.int64(3)},
            "state_dict": prefixed(network.state_dict(), "backbone."),
            "message_hub": {"log_scalars": {"loss": HistoryBuffer()}},
            "ema_state_dict": {"steps": torch.tensor(3)} | prefixed(averaged(network), "backbone."),
        }
    ),
    "BasicSR": saved(lambda network: {"params": network.state_dict(), "params_ema": network.state_dict()}),
    "net and accuracy": saved(lambda network: {"net": network.state_dict(), "acc": np.float32(71), "epoch": 3}),
    "nested": saved(lambda network: {"trainer": {"models": {"main": network.state_dict()}, "step": 4}}),
    "encoder and classifier apart": saved(
        lambda network: {
            "encoder": {name: value for name, value in network.state_dict().items() if "proj" not in name},
            "classifier": {name[14:]: value for name, value in network.state_dict().items() if "proj" in name},
        }
    ),
    "DRL": saved(
        lambda network: {
            "state_dict": {
                f"module.{name.replace('blocks.5.proj', 'head')}": value for name, value in network.state_dict().items()
            }
        }
    ),
    "numpy's arrays": saved(lambda network: {"model": {name: v.numpy() for name, v in network.state_dict().items()}}),
    "parameters": saved(lambda network: {"state_dict": dict(network.state_dict(keep_vars=True))}),
    "double precision": saved(lambda network: copy.deepcopy(network).double().state_dict()),
    "safetensors": Case(lambda path, network: save_file(network.state_dict(), path), "model.safetensors"),
    "safetensors' save_model": Case(lambda path, network: save_model(network, str(path)), "model.safetensors"),
    "a folder of the hub, in parts": Case(hub_folder, "folder"),
    "the whole network": Case(lambda path, network: torch.save(network, path), refused="Python object.*run code"),
    "the whole network under a key": Case(
        lambda path, network: torch.save({"model": network, "epoch": 1}, path), refused="Python object.*run code"
    ),
    "TorchScript": Case(traced_file, "model.pt", refused="TorchScript program"),
    "pickle": Case(
        lambda path, network: path.write_bytes(pickle.dumps({"w": np.ones(3)}, protocol=4)),
        "model.pkl",
        refused="pickle that PyTorch has not written",
    ),
    "numpy's npz": Case(
        lambda path, network: np.savez(path, w=np.ones(3)), "model.npz", refused="no PyTorch checkpoint"
    ),
    "HDF5 of Keras": Case(
        lambda path, network: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200)),
        "m.h5",
        refused="no PyTorch checkpoint",
    ),
    "ONNX": Case(
        lambda path, network: path.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(200)),
        "m.onnx",
        refused="no PyTorch checkpoint",
    ),
    "an address of Git LFS": Case(
        lambda path, network: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        refused="no PyTorch checkpoint",
    ),
    "a login page": Case(lambda path, network: path.write_bytes(b"<!DOCTYPE html><html>"), refused="is a web page"),
    "an optimizer alone": Case(
        lambda path, network: torch.save({"optimizer": optimizer_of(network), "epoch": 1}, path),
        refused="no model weights, only the state of an optimizer",
    ),
    "quantised by hand": Case(
        lambda path, network: torch.save(converted(network, lambda value: (50 * value).round().to(torch.int8)), path),
        refused=r"is int8: quantised weights .*without their scales",
    ),
    "complex numbers": Case(
        lambda path, network: torch.save(converted(network, lambda value: value + 1j), path), refused="is complex"
    ),
    "a sparse projection": Case(
        lambda path, network: torch.save(
            network.state_dict() | {"blocks.5.proj.weight": network.blocks[5].proj.weight.detach().to_sparse()}, path
        ),
        refused="blocks.5.proj.weight is sparse",
    ),
    "a network of other layers": Case(
        lambda path, network: torch.save(nn.Linear(3, 3).state_dict(), path), refused="0 keys match"
    ),
}


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.mark.smoke
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore:.*StorageDtype|.*TypedStorage")
@pytest.mark.parametrize("name", CASES)
def test_a_file_is_loaded_key_for_key_or_refused(tmp_path, monkeypatch, network, name):
    monkeypatch.setattr(MODEL, "_obj_map", {"r3d_small": MODEL.get("r3d_small")})
    case, path = CASES[name], tmp_path / CASES[name].file
    case.write(path, network)
    fresh = MODEL.get("r3d_small").build(num_classes=CLASSES, num_frames=4, crop_size=32).eval()
    if case.refused:
        with pytest.raises(WeightsError, match=rf"(?s){case.refused}"):
            load_module_weights(fresh, "blocks.5.proj", str(path), key="MODEL.MODEL_NAME")
        return
    report = load_module_weights(fresh, "blocks.5.proj", str(path), key="MODEL.MODEL_NAME")
    assert (report.initialised, report.head_loaded, report.backbone_fraction) == ({}, True, 1.0)
    assert set(report.skipped) <= {"n_averaged"}
    clip = torch.rand(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(fresh(clip), network(clip))
    assert bool(report.others) == (name in WITH_AVERAGES)


#: Files that hold a second set of weights, which loading names.
WITH_AVERAGES = {
    "torchvision's reference script, with averages",
    "the same, before 1.6",
    "timm",
    "mmengine",
    "BasicSR",
}


def test_there_are_enough():
    assert len(CASES) >= 30
    assert set(CASES) >= WITH_AVERAGES


@pytest.mark.parametrize(
    ("model", "head", "build", "shape"),
    [
        ("torchvision_r3d_18", "fc", lambda: r3d_18(num_classes=CLASSES), (1, 3, 4, 32, 32)),
        (
            "x3d_xs",
            "blocks.5.proj",
            lambda: hub.x3d_xs(model_num_class=CLASSES, head_activation=None),
            (1, 3, 4, 160, 160),
        ),
    ],
)
def test_networks_of_the_libraries_themselves(tmp_path, model, head, build, shape):
    torch.manual_seed(0)
    theirs = build().eval()
    args = argparse.Namespace(model=model, data_path=pathlib.Path("/data"))
    torch.save({"model": theirs.state_dict(), "args": args, "acc": np.float64(70.0)}, tmp_path / "model.pth")
    ours = MODEL.get(model).build(num_classes=CLASSES, num_frames=shape[2], crop_size=shape[3]).eval()
    report = load_module_weights(ours, head, str(tmp_path / "model.pth"), key="MODEL.MODEL_NAME")
    assert (report.skipped, report.initialised) == ({}, {})
    clip = torch.rand(shape)
    with torch.no_grad():
        assert torch.equal(ours(clip), theirs(clip))


@pytest.mark.parametrize(
    ("file", "model", "head"), [("x3d_l", "x3d_m", "blocks.5.proj"), ("tsm_r34", "tsn_r18", "new_fc")]
)
def test_a_deeper_network_is_not_taken_for_a_shallow_one_without_a_word(tmp_path, caplog, file, model, head):
    for source in (file, model):
        weights = MODEL.get(source).build(num_classes=2, num_frames=8, crop_size=64).state_dict()
        torch.save({"state_dict": prefixed(weights, "module.")}, tmp_path / f"{source}.pth")
    network = MODEL.get(model).build(num_classes=2, num_frames=8, crop_size=64)
    own = load_module_weights(network, head, str(tmp_path / f"{model}.pth"), key="MODEL.MODEL_NAME")
    assert (own.surplus, own.caution) == ((), "")
    report = load_module_weights(network, head, str(tmp_path / f"{file}.pth"), key="MODEL.MODEL_NAME")
    assert report.surplus
    assert "has more layers than the model" in caplog.text
