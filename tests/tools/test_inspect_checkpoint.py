"""`pvbias inspect`: what a file is, and what it fits."""

import pytest
import torch
from safetensors.torch import save_file

from pvbias.models import build_shapes
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.tools.main import main

load_plugins(["pvbias.plugins.classic_models", "pvbias.plugins.pytorchvideo_zoo"])


@pytest.fixture(autouse=True)
def few_models(monkeypatch):
    """A small catalogue."""
    monkeypatch.setattr(MODEL, "_obj_map", {name: MODEL.get(name) for name in ("r3d_small", "x3d_xs")})


@pytest.fixture(scope="module")
def every_model():
    return dict(MODEL)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return MODEL.get("r3d_small").build(num_classes=7, num_frames=16, crop_size=64).state_dict()


def inspect(capsys, path):
    code = main(["inspect", str(path)])
    output = capsys.readouterr()
    return code, output.out if code == 0 else output.err


def test_a_training_checkpoint_with_all_that_is_in_it(capsys, tmp_path, state):
    path = tmp_path / "checkpoint.pyth"
    content = {
        "model_state": state,
        "epoch": 3,
        "cfg": "MODEL:\n  MODEL_NAME: r3d_small\n",
        "optimizer_state": {"state": {}, "param_groups": []},
        "objective_state": {"student.fc.weight": torch.zeros(7, 512)},
    }
    torch.save(content, path)
    code, text = inspect(capsys, path)
    numbers = sum(value.numel() for value in state.values())
    assert code == 0
    assert "training checkpoint of pvbias" in text
    assert f"{len(state)} tensors, {numbers:,} numbers (float32, int64)" in text
    assert "epoch: 3" in text
    assert "cfg: text of 2 lines" in text
    assert "objective_state: 1 entries, 3,584 numbers in tensors" in text
    table = [line.split() for line in text.splitlines() if "classic_models" in line]
    assert table == [["r3d_small", "classic_models", "100.0%", "7"]]
    assert f"pvbias measure --model r3d_small --weights {path} --data VIDEOS --out RUN" in text
    assert f"TRAIN: {{CHECKPOINT_FILE_PATH: {path}}}" in text


@pytest.mark.parametrize(
    ("wrap", "kind"),
    [
        (lambda state: {"state_dict": state, "pytorch-lightning_version": "2.1"}, "checkpoint of Lightning"),
        (lambda state: {"model": state}, "weights under 'model'"),
        (lambda state: state, "state dict"),
    ],
)
def test_containers_and_prefixes_are_named(capsys, tmp_path, state, wrap, kind):
    path = tmp_path / "model.ckpt"
    torch.save(wrap({f"model.{name}": value for name, value in state.items()}), path)
    code, text = inspect(capsys, path)
    assert code == 0
    assert kind in text.splitlines()[0]
    assert "'model.' stripped from the file's names" in text
    assert "100.0%" in text


def test_safetensors(capsys, tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    code, text = inspect(capsys, tmp_path / "model.safetensors")
    assert code == 0
    assert "safetensors" in text.splitlines()[0].split(", ")
    assert "100.0%" in text


X3D_S = "DATA: {NUM_FRAMES: 13, SAMPLING_RATE: 6, TRAIN_CROP_SIZE: 160, MEAN: !!python/tuple [0.45, 0.45, 0.45]}"


@pytest.mark.parametrize(
    ("cfg", "likely", "why"),
    [
        ("MODEL: {MODEL_NAME: x3d_xs}", "x3d_xs", "is the one that the file's configuration names"),
        (f"MODEL: {{MODEL_NAME: X3D}}\n{X3D_S}", "x3d_s", "has the clips of the file's configuration"),
        (None, "x3d_m", "nothing in the file says which of them"),
    ],
)
def test_models_that_share_their_weights_are_all_named(capsys, tmp_path, monkeypatch, every_model, cfg, likely, why):
    names = ("x3d_m", "x3d_s", "x3d_xs")
    monkeypatch.setattr(MODEL, "_obj_map", {name: every_model[name] for name in names})
    weights = build_shapes(every_model["x3d_s"], num_classes=400).state_dict()
    content = {"model_state": {name: torch.zeros(value.shape) for name, value in weights.items()}}
    torch.save(content | ({"cfg": cfg} if cfg else {}), tmp_path / "model.pyth")
    code, text = inspect(capsys, tmp_path / "model.pyth")
    assert code == 0
    assert why in text
    for name in names:
        assert f"  {name}: {every_model[name].clip_spec.num_frames} frames, every " in text
    assert f"pvbias measure --model {likely} " in text
    assert "--set" not in text


def test_clips_of_its_own_configuration_are_part_of_the_command(capsys, tmp_path, state):
    path = tmp_path / "model.pyth"
    torch.save({"model_state": state, "cfg": "DATA: {NUM_FRAMES: 8, SAMPLING_RATE: 2, TARGET_FPS: 25.0}"}, path)
    text = inspect(capsys, path)[1]
    assert "--out RUN --set DATA.NUM_FRAMES 8 DATA.TARGET_FPS 25.0\n" in text
    assert "DATA: {NUM_FRAMES: 8, TARGET_FPS: 25.0}" in text
    for cfg, keys in (
        ("TEST_CROP_SIZE: 32, TEST_SHORT_SIDE: 48", "DATA.TEST_CROP_SIZE 32 DATA.TEST_SHORT_SIDE 48"),
        ("MODULATION: shuffle", "DATA.MODULATION shuffle"),
        ("MODULATION: original", ""),
    ):
        torch.save({"model_state": state, "cfg": f"DATA: {{{cfg}}}"}, path)
        assert inspect(capsys, path)[1].count(f"--out RUN{' --set ' if keys else ''}{keys}\n") == 1


@pytest.mark.parametrize("lacking", ["proj", "proj.bias"])
def test_a_backbone_without_a_head_is_not_suggested_for_measuring(capsys, tmp_path, state, lacking):
    path = tmp_path / "model.pyth"
    torch.save({name: value for name, value in state.items() if lacking not in name}, path)
    code, text = inspect(capsys, path)
    assert code == 0
    assert "pvbias measure" not in text
    assert "It has no head" in text
    assert "MODEL: {MODEL_NAME: r3d_small}" in text


def test_what_fits_nothing_and_what_fits_too_little(capsys, tmp_path, state):
    path = tmp_path / "model.pyth"
    torch.save({"layer.weight": torch.zeros(3)}, path)
    assert "fits no model of the catalogue" in inspect(capsys, path)[1]
    torch.save({name: value for name, value in state.items() if name.startswith("blocks.0.")}, path)
    code, text = inspect(capsys, path)
    assert code == 0
    assert "fits none of them: 90% of a backbone must be filled" in text
    assert "no head" in text
    assert "pvbias measure" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<html>404</html>", "is a web page"), (b"", "is empty"), (b"PK\x03\x04 half a file", "is cut off")],
)
def test_unreadable_files_are_errors(capsys, tmp_path, content, message):
    path = tmp_path / "model.pyth"
    path.write_bytes(content)
    code, text = inspect(capsys, path)
    assert code == 4
    assert message in text


def test_an_optimizers_file_is_an_error(capsys, tmp_path):
    torch.save({"optimizer_state": {"state": {}}, "epoch": 1}, tmp_path / "optimizer.pyth")
    code, text = inspect(capsys, tmp_path / "optimizer.pyth")
    assert code == 4
    assert "only the state of an optimizer" in text
