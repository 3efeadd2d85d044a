"""Counts what would make the host wait for a GPU, without one: tensors are on torch's device without values, "meta"."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")
ATEN = torch.ops.aten
ROOT = str(Path(__file__).parents[1])
#: They make a tensor of values in Python, and copy it to the device, which waits.
_MAKERS = {torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy}
#: The size of what they give depends on values, or it is no tensor.
_OF_VALUES = ("equal", "nonzero", "masked_select", "unique", "_unique2", "unique_dim", "bincount")
#: In inference mode operators come here that are made of others: the second ones.
_READS = ("_local_scalar_dense", "item", "is_nonzero")
_COPIES = ("_to_copy", "to")
_FUSED = ("_fused_sgd_", "_fused_adam_", "_fused_adamw_")


class Waits(TorchDispatchMode):
    """Context that counts, of all work inside, what touches tensors on the device.

    Attributes:
        waits: the places at which the host would wait, in words; values that are read there are 1.
        events: "copy" where a copy to the host is queued without waiting for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.events: list[str] = []
        self._makers = _Makers(self)

    def __enter__(self) -> Waits:
        self._makers.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._makers.__exit__(*error)

    def note(self, what: str) -> None:
        """Count one, at the nearest line of the project."""
        lines = [line for line in traceback.extract_stack() if line.filename.startswith(ROOT)]
        place = next(line for line in reversed(lines) if line.filename != __file__)
        self.waits.append(f"{what} in {place.filename.removeprefix(ROOT)}:{place.lineno}: {place.line}")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        on_device = any(tensor.device == DEVICE for tensor in tensors)
        name = function.name().removeprefix("aten::").split(".")[0]
        if name in _READS and on_device:
            self.note("a value is read")
            return 1.0 if args[0].is_floating_point() else args[0].dtype == torch.bool or 1
        if name in _COPIES:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.device)]
            there, quick = (given or [args[0].device])[0], kwargs.get("non_blocking") or args[3:4] == (True,)
            if args[0].device != there:
                self._copied(to_host=there != DEVICE, quick=quick)
                if there != DEVICE:
                    return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        elif function is ATEN.copy_.default and args[0].device != args[1].device:
            self._copied(to_host=args[0].device != DEVICE, quick=args[2:] == (True,) or kwargs.get("non_blocking"))
            return args[0]
        elif name in _FUSED:
            return None  # which torch has for devices with values only
        elif name in _OF_VALUES and on_device:
            self.note(name)
        elif name in ("index", "index_put", "index_put_") and args[0].device == DEVICE:
            indices = [index for index in args[1] if index is not None]
            is_filled = name != "index" and args[2].numel() == 1  # which torch does without asking where
            if any(index.dtype == torch.bool and index.device == DEVICE for index in indices) and not is_filled:
                self.note("values chosen by a mask")
            if any(index.device != DEVICE for index in indices):
                self.note("indices are copied to the device")
        return function(*args, **kwargs)

    def _copied(self, *, to_host: bool, quick: bool) -> None:
        if not quick:
            self.note(f"a copy to the {'host' if to_host else 'device'}")
        elif to_host:
            self.events.append("copy")


class _Makers(TorchFunctionMode):
    """Sees what torch makes on the device from values in Python, which is no operator."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _MAKERS and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            self._waits.note("values in Python are copied to the device")
        return function(*args, **kwargs)
