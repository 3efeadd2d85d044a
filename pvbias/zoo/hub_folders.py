"""Model folders of the Hugging Face hub: ``config.json`` beside weights in one file, or in several and an index.

Read without the hub's packages. What the architecture is, a plugin has to know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import WeightsError

#: Files of weights, and the indices that say which of several files has which weight; the first that is there is read.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def weights_file(folder: str | Path) -> Path | None:
    """The file of weights in a folder, the first of :data:`FILES`; None: it has none."""
    return next((path for name in FILES if (path := Path(folder) / name).is_file()), None)


def read_folder(folder: str, read_file: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Read a folder: ``state_dict``, ``config`` (of ``config.json``) and, where that names them, ``class_names``.

    Args:
        folder: with one of :data:`FILES`.
        read_file: reads one file of weights.

    Raises:
        WeightsError: no such file, one that is missing or lacks what the index says, or no JSON.
    """
    first = weights_file(folder)
    if first is None:
        raise WeightsError(f"{folder!r} is a folder without weights: it has none of {', '.join(FILES)}.")
    weights = _sharded(first, read_file) if first.suffix == ".json" else read_file(str(first))
    config_file = Path(folder) / "config.json"
    config = read_json(config_file) if config_file.is_file() else {}
    names = class_names(config)
    return {"state_dict": weights, "config": config, **({"class_names": names} if names else {})}


def class_names(config: Mapping[str, Any]) -> list[str]:
    """The names of the outputs in ``id2label`` of a ``config.json``; empty: there are none but LABEL_0, LABEL_1, ..."""
    labels = config.get("id2label")
    if not isinstance(labels, Mapping) or sorted(map(str, labels)) != sorted(map(str, range(len(labels)))):
        return []
    by_number = {int(number): str(label) for number, label in labels.items()}
    names = [by_number[number] for number in range(len(by_number))]
    return [] if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WeightsError: it cannot be read, or holds no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no JSON
        raise WeightsError(f"{str(path)!r} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{str(path)!r} holds a {type(content).__name__}, not an object.")
    return content


def _sharded(index: Path, read_file: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise WeightsError(f"{str(index)!r} has no weight_map, which says which file has which weight.")
    weights: dict[str, Any] = {}
    for place in dict.fromkeys(places.values()):
        path = index.parent / place
        if Path(place).name != place or not path.is_file():
            raise WeightsError(f"{str(path)!r} is not there, but {str(index)!r} names it. Fetch the whole folder.")
        content = read_file(str(path))
        missing = [name for name, other in places.items() if other == place and name not in content]
        if missing:
            raise WeightsError(
                f"{str(path)!r} lacks {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if missing[1:] else "")
                + f", which {str(index)!r} says it has. Fetch it again."
            )
        weights |= content
    return weights
