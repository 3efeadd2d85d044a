"""Folders as the Hugging Face hub has them: one file of weights, or several and an index."""

import json

import pytest
import torch
from safetensors.torch import save_file

from pvbias.data.labels import checkpoint_names
from pvbias.errors import WeightsError
from pvbias.zoo import fetch, load_weights, read_checkpoint


def sharded(folder, state, write, suffix):
    """A folder with two files and an index; the index's file."""
    names = list(state)
    places = {name: f"part-{index % 2}.{suffix}" for index, name in enumerate(names)}
    for place in set(places.values()):
        write({name: state[name] for name in names if places[name] == place}, folder / place)
    stem = "model.safetensors" if suffix == "safetensors" else "pytorch_model.bin"
    index = folder / f"{stem}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin", "sharded safetensors", "sharded bin"])
def test_a_folder_is_loaded_like_a_file(tiny, tmp_path, form):
    theirs = tiny(seed=1).module.state_dict()
    if form.startswith("sharded"):
        write = save_file if form.endswith("safetensors") else torch.save
        sharded(tmp_path, theirs, write, form.split()[1])
    else:
        (save_file if form.endswith("safetensors") else torch.save)(theirs, tmp_path / form)
    recognizer = tiny(seed=0)
    assert load_weights(recognizer, str(tmp_path)).head_loaded
    assert all(torch.equal(value, theirs[name]) for name, value in recognizer.module.state_dict().items())


def test_class_names_are_those_of_its_configuration(tiny, tmp_path):
    save_file(tiny().module.state_dict(), tmp_path / "model.safetensors")
    assert checkpoint_names(str(tmp_path)) == ()
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"id2label": {"1": "run", "0": "walk", "2": "jump"}}))
    assert checkpoint_names(str(tmp_path)) == ("walk", "run", "jump")
    assert read_checkpoint(str(tmp_path))["config"]["id2label"]["1"] == "run"
    config.write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert checkpoint_names(str(tmp_path)) == ()


def test_what_is_wrong_with_a_folder_is_said(tiny, tmp_path):
    state = tiny().module.state_dict()
    with pytest.raises(WeightsError, match=r"is a folder with none of model\.safetensors"):
        fetch(str(tmp_path))
    index = sharded(tmp_path, state, save_file, "safetensors")
    with pytest.raises(WeightsError, match="has no checksum"):
        fetch(str(tmp_path), "0" * 64)
    save_file({"conv.bias": state["conv.bias"]}, tmp_path / "part-0.safetensors")
    with pytest.raises(WeightsError, match=r"part-0\.safetensors' lacks '.*' and \d more"):
        read_checkpoint(str(tmp_path))
    (tmp_path / "part-0.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"part-0\.safetensors' is not there, but .*index.json' names it"):
        read_checkpoint(str(tmp_path))
    for content in ('{"weight_map": {"a": "../a.safetensors"}}', '{"weight_map": 3}', "[]", "{"):
        index.write_text(content)
        with pytest.raises(WeightsError, match=r"index\.json|a\.safetensors"):
            read_checkpoint(str(tmp_path))
