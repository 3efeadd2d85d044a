"""`pvbias export`: files that the original code loads as they are."""

import pytest
import torch
from pytorchvideo.models import hub
from safetensors.torch import load_file
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import complete, load_cfg
from pvbias.engine.checkpoint import KEYS, checkpoint_path
from pvbias.models import ZooModel, build_recognizer
from pvbias.registries import MODEL
from pvbias.tools.main import main


@pytest.fixture
def elsewhere(monkeypatch):
    """``toy_tv`` of the zoo torchvision, ``toy_own`` of another."""

    class Toy(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.fc = nn.Linear(3, num_classes)

    def entry(zoo: str) -> ZooModel:
        spec = ClipSpec(num_frames=2, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)
        return ZooModel(zoo=zoo, build=lambda num_classes, **_: Toy(num_classes), clip_spec=spec, head="fc")

    toys = {"toy_tv": entry("torchvision"), "toy_own": entry("my_lab")}
    monkeypatch.setattr(MODEL, "_obj_map", MODEL._obj_map | toys)


def write_run(folder, model, epoch=1, **changes):
    """A run's folder with a checkpoint, decoders and optimizer in it; the weights."""
    overrides = ["MODEL.MODEL_NAME", model, "DATA.TRAIN_CROP_SIZE", "32", "OUTPUT_DIR", str(folder)]
    cfg = complete(load_cfg(overrides=overrides), num_classes=3)
    torch.manual_seed(epoch)
    weights = build_recognizer(cfg).module.state_dict()
    checkpoint = {key: {} for key in KEYS} | {
        "model_state": weights,
        "epoch": epoch - 1,
        "cfg": cfg.dump(),
        "optimizer_state": {"state": {}, "param_groups": []},
        "objective_state": {"student.fc.weight": torch.zeros(3)},
    }
    path = checkpoint_path(str(folder), epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint | changes, path)
    return weights


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_newest_checkpoint_of_a_run_for_pytorchvideo(tmp_path, capsys):
    write_run(tmp_path, "x3d_xs", epoch=1)
    weights = write_run(tmp_path, "x3d_xs", epoch=2)
    assert main(["export", str(tmp_path), "--to", "pytorchvideo"]) == 0
    path = tmp_path / "x3d_xs_pytorchvideo.pyth"
    assert capsys.readouterr().out.strip() == str(path)
    written = torch.load(path, weights_only=True)
    assert set(written) == {"model_state"}
    assert same(written["model_state"], weights)
    hub.x3d_xs(model_num_class=3).load_state_dict(written["model_state"], strict=True)


def test_heads_that_were_added_are_left_out_with_a_word(tmp_path, caplog):
    weights = write_run(tmp_path, "x3d_xs", epoch=1, extra_heads={"scene_head.weight": torch.zeros(4, 3)})
    assert main(["export", str(tmp_path), "--to", "pytorchvideo"]) == 0
    written = torch.load(tmp_path / "x3d_xs_pytorchvideo.pyth", weights_only=True)
    assert same(written["model_state"], weights)
    assert "MODEL.EXTRA_HEADS are left out" in caplog.text


def test_one_checkpoint_for_slowfast(tmp_path):
    weights = write_run(tmp_path, "x3d_xs", epoch=1)
    write_run(tmp_path, "x3d_xs", epoch=2)
    out = tmp_path / "elsewhere" / "x3d.pyth"
    assert main(["export", str(checkpoint_path(str(tmp_path), 1)), "--to", "slowfast", "-o", str(out)]) == 0
    written = torch.load(out, weights_only=True)
    # SlowFast asks for the optimizer's state where there is an epoch.
    assert set(written) == {"model_state"}
    ptv_model = nn.Module()  # as SlowFast wraps PyTorchVideo's
    ptv_model.model = hub.x3d_xs(model_num_class=3)
    ptv_model.load_state_dict(written["model_state"], strict=True)
    assert same(ptv_model.model.state_dict(), weights)


def test_a_state_dict_for_torchvision_and_safetensors_for_any(tmp_path, elsewhere):
    weights = write_run(tmp_path / "tv", "toy_tv")
    assert main(["export", str(tmp_path / "tv"), "--to", "torchvision"]) == 0
    assert same(torch.load(tmp_path / "tv" / "toy_tv_torchvision.pth", weights_only=True), weights)
    weights = write_run(tmp_path / "own", "toy_own")
    assert main(["export", str(tmp_path / "own"), "--to", "safetensors"]) == 0
    assert same(load_file(tmp_path / "own" / "toy_own_safetensors.safetensors"), weights)
    assert main(["export", str(tmp_path / "own"), "--to", "state_dict"]) == 0
    assert same(torch.load(tmp_path / "own" / "toy_own_state_dict.pth", weights_only=True), weights)


@pytest.mark.parametrize(
    ("model", "target", "suitable"),
    [
        ("toy_tv", "slowfast", "torchvision or state_dict or safetensors"),
        ("x3d_xs", "torchvision", "pytorchvideo or slowfast or state_dict or safetensors"),
        ("toy_own", "pytorchvideo", "Choose state_dict or safetensors"),
    ],
)
def test_a_target_without_the_model_names_those_that_have_it(tmp_path, elsewhere, capsys, model, target, suitable):
    write_run(tmp_path, model)
    assert main(["export", str(tmp_path), "--to", target]) == 2
    assert suitable in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfg": "not a configuration"}, "has no configuration of pvbias"),
        ({"cfg": "A: !!python/tuple [1]"}, "has no configuration of pvbias"),
        ({"model_state": {"fc.weight": torch.zeros(3, 3)}}, "is not of the model that its own configuration names"),
    ],
)
def test_checkpoints_that_do_not_serve(tmp_path, elsewhere, capsys, changes, message):
    write_run(tmp_path, "toy_tv", **changes)
    assert main(["export", str(tmp_path), "--to", "torchvision"]) == 4
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_folder_without_checkpoints(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--to", "safetensors"]) == 4
    assert "no whole checkpoint" in capsys.readouterr().err
