"""The folder of a run's results: what is written there is listed, so that new results replace it and leave other files
alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import Content, write_atomically

#: What the files are in; whole wherever it exists, and so is what it names.
RESULTS = "results.json"
PAGE = "report.html"
#: Lists the files, also those of results that were not finished.
LIST = ".written.json"


def write_files(folder: str | Path, files: Mapping[str, Content], *, later: Iterable[str] = ()) -> None:
    """Write results in place of those that are there.

    Each file is written under a temporary name and renamed, ``results.json`` last; an earlier one goes first. Killed
    in between, this leaves nothing that the next call does not take away.

    Args:
        folder: made when missing.
        files: content by path, relative to the folder.
        later: what the caller writes afterwards.
    """
    folder = Path(folder)
    names = {*files, *later}
    _list(folder, earlier := _listed(folder) | names)
    _remove(folder, [RESULTS, *sorted(earlier - set(files))])
    for name in sorted(files, key=lambda name: name == RESULTS):
        write_atomically(folder / name, files[name])
    _list(folder, names)


def remove_files(folder: str | Path) -> None:
    """Remove the results that are there, if any."""
    folder = Path(folder)
    listed = _listed(folder)
    if listed:
        _list(folder, listed)
        _remove(folder, [RESULTS, *sorted(listed), LIST])


def read_document(folder: str | Path) -> dict[str, Any]:
    """Read ``results.json``; empty where it is not there.

    Raises:
        ConfigError: it is of another program.
    """
    file = Path(folder) / RESULTS
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError):
        document = None
    if not isinstance(document, dict) or not str(document.get("format")).startswith("pvbias-"):
        raise ConfigError(f"{file} was not written by pvbias, and would be overwritten: give another folder.")
    return document


def refuse_run(folder: str | Path) -> None:
    """Raise ConfigError where the folder holds the results of a run, which others would replace."""
    if "run" in read_document(folder):
        raise ConfigError(f"{folder} holds the results of a run, and its page would be lost: give another folder.")


def _listed(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / LIST).read_bytes()))
    except FileNotFoundError:
        pass
    # Results of a pvbias that made no list say themselves what there is, but for the tables' names as files.
    document = read_document(folder)
    if not document:
        return set()
    found = {RESULTS, PAGE, "predictions.npz", "tables/figures.csv"}
    for evaluator, result in document.get("results", {}).items():
        found |= set(result["images"].values()) | {f"tables/{evaluator}_{name}.csv" for name in result["tables"]}
    return found


def _list(folder: Path, names: Iterable[str]) -> None:
    write_atomically(folder / LIST, json.dumps(sorted(names), indent=0).encode())


def _remove(folder: Path, names: Iterable[str]) -> None:
    inside = folder.resolve()
    for name in names:
        file = (folder / name).resolve()
        if file.is_relative_to(inside):  # a list that came with somebody's folder may say anything
            file.unlink(missing_ok=True)
            if file.parent != inside and file.parent.is_dir() and not any(file.parent.iterdir()):
                file.parent.rmdir()
