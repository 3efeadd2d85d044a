"""Python objects beside weights: plain values where the type is well known, named and not made where not."""

import argparse
import collections
import datetime
import enum
import pathlib

import numpy as np
import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn

from pvbias.errors import WeightsError
from pvbias.zoo import model_weights, read_checkpoint


class Colour(enum.Enum):
    RED = 1


class Settings:
    def __init__(self) -> None:
        self.rate = 0.1


class Attributes(dict):
    """A dict with attributes, as many configuration libraries have."""

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self.frozen = True


class Names(list):
    pass


def note_a_call() -> "Spy":
    Spy.made += 1
    return Spy()


class Spy:
    """Says when it is made."""

    made = 0

    def __reduce__(self):
        return note_a_call, ()


@pytest.fixture(params=[True, False], ids=["current format", "old format"])
def written(tmp_path, request):
    """``written(content)``: what is read of a file with it."""

    def write_and_read(content: dict) -> dict:
        path = str(tmp_path / "checkpoint.pth")
        torch.save(content, path, _use_new_zipfile_serialization=request.param)
        return read_checkpoint(path)

    return write_and_read


@pytest.mark.smoke
def test_well_known_types_become_plain_values(written):
    weights = nn.Linear(2, 3).state_dict()
    read = written(
        {
            "model": weights,
            "args": argparse.Namespace(
                lr=0.1, folder=pathlib.PurePosixPath("/a/b"), inner=argparse.Namespace(x=(1, 2))
            ),
            "best": np.float64(71.25),
            "epoch": np.int32(7),
            "done": np.bool_(True),
            "name": np.str_("über"),
            "history": [np.float32(1.5), (pathlib.PureWindowsPath("c:/x"),)],
            "defaults": collections.defaultdict(list, a=[1]),
            "cfg": CfgNode({"DATA": {"FRAMES": 8}}),
            "attributes": Attributes(x=1),
            "names": Names(["a", "b"]),
        }
    )
    assert all(torch.equal(read["model"][name], value) for name, value in weights.items())
    assert read["args"] == {"lr": 0.1, "folder": "/a/b", "inner": {"x": (1, 2)}}
    assert (read["best"], read["epoch"], read["done"], read["name"]) == (71.25, 7, True, "über")
    assert read["history"] == [1.5, ("c:\\x",)]
    assert (read["defaults"], read["cfg"], read["attributes"]) == ({"a": [1]}, {"DATA": {"FRAMES": 8}}, {"x": 1})
    assert read["names"] == ["a", "b"]


def test_arrays_of_numpy_are_weights_like_any(written):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    read = written({"state_dict": {"a": kernel, "b": kernel.T, "c": kernel.astype(">f8"), "d": np.float16(kernel[0])}})
    weights = model_weights(read, "file")
    assert torch.equal(weights["a"], torch.tensor(kernel))
    assert torch.equal(weights["b"], torch.tensor(kernel).T)
    assert torch.equal(weights["c"], torch.tensor(kernel).double())
    assert torch.equal(weights["d"], torch.tensor([0.0, 1.0, 2.0], dtype=torch.float16))


def test_other_objects_are_named_and_not_made(written):
    Spy.made = 0
    read = written(
        {
            "model": {"weight": torch.ones(3)},
            "settings": Settings(),
            "colour": Colour.RED,
            "date": datetime.datetime(2020, 1, 1),
            "spies": [Spy()],
            "class": Settings,
            "objects": np.array([{}], dtype=object),
        }
    )
    assert Spy.made == 0
    assert torch.equal(model_weights(read, "file")["weight"], torch.ones(3))
    assert repr(read["settings"]) == f"<{__name__}.Settings, not read>"
    assert "Colour" in repr(read["colour"])
    assert repr(read["date"]) == "<datetime.datetime, not read>"
    assert "not read" in repr(read["class"])
    assert "not read" in repr(read["spies"])
    assert "not read" in repr(read["objects"])


def test_what_holds_itself_is_read(written):
    loop = [Settings()]
    loop.append(loop)
    read = written({"model": {"weight": torch.ones(3)}, "loop": loop})
    assert read["loop"][1] is read["loop"]


@pytest.mark.parametrize("content", [{"model": nn.Linear(2, 2)}, nn.Linear(2, 2)], ids=["under a key", "alone"])
def test_a_network_with_its_code_is_refused(written, content):
    with pytest.raises(WeightsError, match=r"Python object.*run code"):
        model_weights(written(content), "file")


class Commands:
    """Calls the operating system when it is unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("echo harm",)


def test_a_call_of_the_operating_system_is_refused(written, capfd):
    with pytest.raises(WeightsError, match=r"would run code from the file \(GLOBAL \w+.system"):
        written({"model": {"weight": torch.ones(3)}, "extra": Commands()})
    assert "harm" not in capfd.readouterr().out


def test_another_protocol_is_named(tmp_path):
    path = str(tmp_path / "model.pth")
    torch.save({"model": {"weight": torch.ones(3)}}, path, pickle_protocol=4)
    with pytest.raises(WeightsError, match="another protocol"):
        read_checkpoint(path)
