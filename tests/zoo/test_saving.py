"""Saving: what is written loads into the bare model, and a failure costs nothing that was there."""

import os
import resource

import pytest
import torch
from safetensors import safe_open

from pvbias.config import get_cfg
from pvbias.errors import WeightsError
from pvbias.zoo import atomic_save, load_weights, model_state, read_checkpoint, save_safetensors, save_weights


def test_an_export_loads_strictly_into_the_bare_module(tiny, tmp_path):
    recognizer = tiny(seed=1)
    recognizer.module.to(memory_format=torch.channels_last_3d)
    path = save_weights(recognizer, tmp_path / "new folder" / "model.pyth", cfg=get_cfg())
    checkpoint = torch.load(path, weights_only=True)
    bare = tiny(seed=2).module
    bare.load_state_dict(checkpoint["model_state"], strict=True)
    assert all(torch.equal(bare.state_dict()[name], value) for name, value in recognizer.module.state_dict().items())
    assert all(value.is_contiguous() for value in checkpoint["model_state"].values())
    assert get_cfg().load_cfg(checkpoint["cfg"]) == get_cfg()
    report = load_weights(tiny(seed=3), str(path))
    assert report.head_loaded
    assert not report.skipped


def test_safetensors_hold_the_same_bits(tiny, tmp_path):
    weights = model_state(tiny(seed=1))
    path = save_safetensors(weights, tmp_path / "new folder" / "model.safetensors")
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(weights)
        assert all((file.get_tensor(name) == weights[name].numpy()).all() for name in weights)
    with pytest.raises(WeightsError, match="Cannot write"):
        save_safetensors(weights, path / "deeper")


def test_model_state_has_no_graph(tiny):
    assert not any(value.requires_grad for value in model_state(tiny()).values())


def test_a_failing_save_keeps_the_earlier_file_and_leaves_no_other(tmp_path):
    path = atomic_save({"epoch": 1}, tmp_path / "checkpoint.pyth")

    class Unpicklable:
        def __reduce__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_save({"weights": torch.zeros(1000), "bad": Unpicklable()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_and_keeps_the_earlier_file(tmp_path):
    path = atomic_save({"epoch": 1}, tmp_path / "checkpoint.pyth")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the kernel refuses to write more, as on a full disk
    try:
        with pytest.raises(WeightsError, match=r"Cannot write .*checkpoint\.pyth.*File too large.*MiB are free"):
            atomic_save({"weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="Cannot write"):
        atomic_save({}, tmp_path / "file" / "deeper" / "checkpoint.pyth")


def test_who_reads_the_file_that_is_written_over_reads_the_old_one(tmp_path):
    """A file takes the other's place when it is whole: nobody sees part of it."""
    path, kept = tmp_path / "weights.pyth", tmp_path / "kept.pyth"
    atomic_save({"model_state": {"w": torch.zeros(3)}}, path)
    os.link(path, kept)
    atomic_save({"model_state": {"w": torch.ones(3)}}, path)
    assert read_checkpoint(str(kept))["model_state"]["w"].tolist() == [0, 0, 0]
    assert read_checkpoint(str(path))["model_state"]["w"].tolist() == [1, 1, 1]
