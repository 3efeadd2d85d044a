"""``hf://OWNER/NAME``: a folder of the Hugging Face hub, fetched once into its own cache."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

from pvbias.errors import WeightsError
from pvbias.registries import SOURCE
from pvbias.zoo.hub_folders import weights_file

SCHEME = "hf://"

#: What of a folder is fetched; files of weights in the old format only where there are no others.
_FILES = ["*.json", "*.safetensors"]
_OLD_FILES = ["*.json", "pytorch_model*.bin"]


@SOURCE.register(name="hf")
def fetch_folder(source: str) -> str:
    """The local folder of ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION``.

    A folder that is whole in the hub's cache (``$HF_HOME``) is used without asking the hub.

    Raises:
        WeightsError: it cannot be had.
    """
    named = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", source)
    if not named:
        raise WeightsError(f"Weights {source!r} are not of the form hf://OWNER/NAME or hf://OWNER/NAME@REVISION.")
    try:
        hub = importlib.import_module("huggingface_hub")
        errors = importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise WeightsError(
            f"Weights {source!r}: the hub's own package cannot be imported ({error}): "
            "`pip install 'pvbias[transformers]'`."
        ) from error
    repository, revision = named[1], named[2]
    for patterns in (_FILES, _OLD_FILES):
        try:
            folder = hub.snapshot_download(
                repository, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        except (errors.LocalEntryNotFoundError, FileNotFoundError):
            continue
        if _is_whole(Path(folder)):
            return folder
    try:
        for patterns in (_FILES, _OLD_FILES):
            folder = hub.snapshot_download(repository, revision=revision, allow_patterns=patterns)
            if _is_whole(Path(folder)):
                return folder
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{source} cannot be fetched: {type(error).__name__}: {reason} On a machine without internet, fetch the "
            "folder elsewhere (`hf download`) and give its path."
        ) from error
    raise WeightsError(
        f"{source} has no config.json with weights in the form of PyTorch (those of JAX are no use here)."
    )


def _is_whole(folder: Path) -> bool:
    first = weights_file(folder)
    if first is None or not (folder / "config.json").is_file():
        return False
    if first.suffix != ".json":
        return True
    places = json.loads(first.read_text(encoding="utf-8")).get("weight_map", {})
    return all((folder / place).is_file() for place in places.values())
