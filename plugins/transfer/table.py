"""The table of networks x data sets x protocols: cells on disk, computed one by one or as parts; their differences."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pvbias.data.class_map import read_class_map
from pvbias.errors import ConfigError, DataError, did_you_mean
from pvbias.evaluation import Figure, Result
from pvbias.evaluation.statistics import paired_difference
from pvbias.features import Features, read_features
from pvbias.features.folder import MANIFEST
from pvbias.report import RunResults, write_results
from pvbias.report.results import FILE_NAME, read_results, read_videos
from pvbias.shard import Shard
from pvbias.versions import versions

from .few_shot import episode_interval
from .generalization import DomainGeneralization
from .measured import Measured
from .metrics import EVALUATOR
from .protocols import PROTOCOLS, TransferProtocol
from .records import write_record
from .scores import BOOTSTRAP
from .settings import make

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One protocol on one data set, of one network.

    Attributes:
        model, data, name: of the network, the data set and the protocol, as the configuration has them.
        protocol: with its settings.
        train, test: folders of features; None where the protocol has no need for them.
        folder: of the record.
    """

    model: str
    data: str
    name: str
    protocol: TransferProtocol
    train: Path | None
    test: Path | None
    folder: Path

    @property
    def configuration(self) -> str:
        """What the record depends on, the version of pvbias too, YAML: a record of another one is made anew."""
        asked: dict[str, Any] = {"protocol": repr(self.protocol), "pvbias": versions(["pvbias"])["pvbias"]}
        for part, folder in (("train", self.train), ("test", self.test)):
            if folder is not None:
                asked[part] = {"features": str(folder), "fingerprint": _digest(folder)}
        if isinstance(self.protocol, Measured):
            file = Path(self.protocol.run, FILE_NAME)
            if not file.is_file():
                raise DataError(f"{self.protocol.run} has no {FILE_NAME}: measure it with TEST.ENABLE.")
            asked["run"] = hashlib.sha256(file.read_bytes()).hexdigest()
        if isinstance(self.protocol, DomainGeneralization) and self.protocol.class_map:
            asked["class_map"] = list(map(list, read_class_map(self.protocol.class_map).pairs))
        return yaml.safe_dump(asked)

    def is_done(self) -> bool:
        """Whether the record is there, of this configuration."""
        if not (self.folder / FILE_NAME).exists():
            return False
        return read_results(self.folder).config == self.configuration

    def compute(self) -> None:
        """Evaluate the protocol, and write the record."""
        train, test = (None if folder is None else _features(folder) for folder in (self.train, self.test))
        result = self.protocol.evaluate(train, test)
        if test is None:
            assert isinstance(self.protocol, Measured)
            run = read_videos(self.protocol.run)
            changed = {"name": self.model, "results": {EVALUATOR: result}, "config": self.configuration}
            write_results(self.folder, replace(run, attributes={}, **changed))
        else:
            episodes = getattr(self.protocol, "episodes", 0)
            write_record(
                self.folder, result, train, test, name=self.model, config=self.configuration, episodes=episodes
            )


@dataclass(frozen=True, kw_only=True)
class TransferTable:
    """A table, as its configuration says.

    ::

        models:                                  # the first is what the others are compared with
          baseline: features/baseline            # folders of features below it
          drl: features/drl
        data:
          ucf101: {train: ucf101_train1, test: ucf101_test1}
        protocols:
          linear probe: {protocol: probe}        # and any of its settings
          5-way: {protocol: few_shot, shots: [1, 5], data: [ucf101]}

    Attributes:
        models: folders by name.
        data: folders of features by split, by name; ``list`` and ``path_prefix`` are those of the test videos, for
            pictures of them.
        cells: models x data sets x protocols, in the order of the configuration.
    """

    models: Mapping[str, str]
    data: Mapping[str, Mapping[str, str]]
    cells: Sequence[Cell]

    def compute(self, shard: Shard | None = None) -> None:
        """Compute the cells that are missing; of a shard every n-th of them all.

        Raises:
            DataError: features are missing.
        """
        mine = self.cells if shard is None else self.cells[shard.index :: shard.count]
        for number, cell in enumerate(mine, start=1):
            if not cell.is_done():
                logger.info("%d of %d: %s, %s, %s", number, len(mine), cell.model, cell.data, cell.name)
                cell.compute()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each figure of each cell, with the difference to the first network.

        The interval of a difference is that of paired differences, video by video or episode by episode, where both
        have values of the same ones; else there is none.
        """
        found = []
        firsts: dict[tuple[str, str], RunResults] = {}
        for cell in self.cells:  # the first network's comes before the others'
            run = read_videos(cell.folder)
            first = firsts.setdefault((cell.data, cell.name), run)
            for figure in run.results[EVALUATOR].figures:
                low, high = figure.interval or (None, None)
                row: dict[str, Any] = {
                    "data": cell.data,
                    "protocol": cell.name,
                    "figure": figure.name,
                    "clips": figure.variant,
                }
                row |= {"model": cell.model, "value": figure.value, "low": low, "high": high, "count": figure.count}
                row |= _difference(first, run, figure) if first is not run else _NO_DIFFERENCE
                found.append(row | {"note": figure.note})
        return found

    def results(self) -> Iterator[tuple[Cell, Result]]:
        """The cells and their results."""
        for cell in self.cells:
            yield cell, read_results(cell.folder).results[EVALUATOR]


#: What is said of a data set.
_DATA = ("train", "test", "list", "path_prefix")

_NO_DIFFERENCE = {"difference": None, "difference_low": None, "difference_high": None}


def read_table(path: str | Path, out: str | Path) -> TransferTable:
    """Read the configuration of a table.

    Args:
        path: YAML, see :class:`TransferTable`. Folders are relative to where the command is called.
        out: folder of the records.

    Raises:
        ConfigError: it is not there, or says something that has no meaning.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    parts = ("models", "data", "protocols")
    if not isinstance(content, dict) or any(not isinstance(content.get(part), dict) for part in parts):
        raise ConfigError(f"{path}: a table has {', '.join(parts)}, each with an entry a line by name.")
    for key in content:
        if key not in parts:
            raise ConfigError(f"{path}: there is no {key!r}. {did_you_mean(key, parts)}")
    models, data = content["models"], {name: splits or {} for name, splits in content["data"].items()}
    for part in parts:
        for name in content[part]:
            _check_text(name, f"{path}: {part} has the name")
    for name, folder in models.items():
        _check_text(folder, f"{path}: models.{name} has the folder")
    for name, splits in data.items():
        if not isinstance(splits, dict):
            raise ConfigError(
                f"{path}: data.{name} is {splits!r}, and not folders by split, {{train: ..., test: ...}}."
            )
        for key, value in splits.items():
            if key not in _DATA:
                raise ConfigError(f"{path}: data.{name} has no {key!r}. {did_you_mean(key, _DATA)}")
            _check_text(value, f"{path}: data.{name}.{key} is")
    cells = []
    for name, settings in content["protocols"].items():
        kind, only, settings = _protocol(path, name, settings)
        for each in only if only is not None else data:
            if each not in data:
                raise ConfigError(f"{path}: protocols.{name}.data has {each!r}. {did_you_mean(each, data)}")
            for model, folder in models.items():
                cells.append(_cell(path, name, kind, settings, model, folder, each, data[each], Path(out)))
    return TransferTable(models=models, data=data, cells=cells)


def _check_text(value: object, what: str) -> None:
    """Raise ConfigError where YAML has read something else than a text: `no` is false, and `12:30` a number."""
    if not isinstance(value, str):
        raise ConfigError(f"{what} {value!r}, as YAML reads it, and not a text: put it in quotes.")


def _protocol(path: str | Path, name: str, given: Any) -> tuple[str, Sequence[str] | None, dict[str, Any]]:
    if not isinstance(given, dict) or "protocol" not in given:
        raise ConfigError(f"{path}: protocols.{name} names no protocol: {', '.join(PROTOCOLS)}.")
    settings = dict(given)
    kind, only = settings.pop("protocol"), settings.pop("data", None)
    _check_text(kind, f"{path}: protocols.{name} has the protocol")
    only = [only] if isinstance(only, str) else only
    if only is not None and not (isinstance(only, list) and all(isinstance(each, str) for each in only)):
        raise ConfigError(f"{path}: protocols.{name}.data is {only!r}, and not a list of data sets.")
    return kind, only, settings


def _cell(
    path: str | Path,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    model: str,
    folder: str,
    data: str,
    splits: Mapping[str, str],
    out: Path,
) -> Cell:
    asked = dict(settings)
    if isinstance(asked.get("run"), str):
        asked["run"] = asked["run"].replace("{model}", model).replace("{data}", data)
    protocol: TransferProtocol = make(PROTOCOLS, kind, asked, "protocol")
    parts = {}
    for part in ("train", "test"):
        if part in protocol.needs and part not in splits:
            raise ConfigError(f"{path}: data.{data} has no {part!r}, and protocols.{name} ({kind}) needs it.")
        parts[part] = Path(folder, splits[part]) if part in protocol.needs else None
    return Cell(
        model=model,
        data=data,
        name=name,
        protocol=protocol,
        folder=out.joinpath("cells", *(_file_name(each) for each in (model, data, name))),
        **parts,
    )


def _file_name(name: str) -> str:
    """A name as one of a folder, another for each."""
    safe = "".join(letter if letter.isalnum() or letter in "-+=,_" else "_" for letter in name)
    return safe if safe == name else f"{safe}.{hashlib.sha256(name.encode()).hexdigest()[:6]}"


@lru_cache(maxsize=4)
def _features(folder: Path) -> Features:
    return read_features(folder)


def _digest(folder: Path) -> str:
    """Of what features are of, and of the labels."""
    features = _features(folder)
    # Features of other programs have no digest of their network: they are told by when they were written.
    written = "" if features.fingerprint.weights_digest else (folder / MANIFEST).stat().st_mtime_ns
    described = (features.fingerprint, written, features.names, features.labels.tolist(), features.class_names)
    return hashlib.sha256(repr((described, sorted(features.attributes.items()))).encode()).hexdigest()


def _difference(first: RunResults, run: RunResults, figure: Figure) -> dict[str, Any]:
    """A figure less the first network's, with the paired interval."""
    key = (figure.name, figure.variant)
    before = next((each for each in first.results[EVALUATOR].figures if (each.name, each.variant) == key), None)
    if before is None or before.value is None or figure.value is None:
        return _NO_DIFFERENCE
    difference: dict[str, Any] = _NO_DIFFERENCE | {"difference": figure.value - before.value}
    mine, theirs = figure.values, before.values
    if mine is None or theirs is None or list(first.videos.items()) != list(run.videos.items()):
        return difference
    if first.label_fingerprints != run.label_fingerprints:
        raise DataError(f"{first.name} and {run.name} give the same videos of {run.data} other labels.")
    known = ~np.isnan(mine)
    if next(iter(run.videos)).startswith("episode "):
        interval = episode_interval(mine - theirs)
    else:
        interval = paired_difference(theirs[known], mine[known], proportion=True, **BOOTSTRAP).interval
    if interval is not None:
        difference |= {"difference_low": 100 * interval[0], "difference_high": 100 * interval[1]}
    return difference
