"""Results of protocols on disk, as those of any run: ``results.json``, CSV tables, values of each video."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import numpy as np

from pvbias.evaluation import Result
from pvbias.features import Features
from pvbias.report import RunResults, write_results
from pvbias.versions import versions

from .metrics import EVALUATOR


def write_record(
    folder: Path,
    result: Result,
    train: Features | None,
    test: Features,
    *,
    name: str,
    config: str,
    episodes: int = 0,
    command: str = "",
) -> None:
    """Write the result of one protocol on the features of one network.

    What a figure is the mean of is kept where that is a value for each labelled video, or, of few-shot accuracy, for
    each episode, so that networks can be compared video by video and episode by episode.

    Args:
        folder: made when missing.
        result: of the protocol.
        train, test: the features.
        name: of the network, for readers.
        config: the protocol and its settings, YAML.
        episodes: how many episodes figures are means over; 0: they are over videos.
        command: the command line.
    """
    found, first = test.fingerprint, next(iter(test.arrays.values()))
    write_results(
        folder,
        RunResults(
            name=name,
            model=found.model,
            weights=found.weights,
            num_classes=max(len(test.class_names), 1),
            class_names=list(test.class_names),
            num_videos=len(test),
            data=found.videos + (f" (fitted to {train.fingerprint.videos})" if train is not None else ""),
            data_fingerprint=_digest(train, test),
            label_fingerprints=[_digest_of(test.labels.tolist()), ""],
            views=f"{first.shape[1]} of each video" if first.views is None else "as many as a video has",
            settings=dict(found.settings),
            config=config,
            versions=versions(),
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            command=command,
            results={EVALUATOR: result},
            videos=_units(episodes, test),
        ),
    )


def _units(episodes: int, test: Features) -> dict[str, bool]:
    """Keys of what figures are means over: the videos, and whether they have labels; or the episodes."""
    if episodes:
        videos = _digest_of(test.names)[:8]  # episodes of other videos are others
        return {f"episode {number} of {videos}": True for number in range(episodes)}
    labelled = np.ones(len(test), np.bool_) if test.labels.ndim == 2 else test.labels >= 0
    keys = dict(zip(test.names, labelled.tolist(), strict=True))
    return keys if len(keys) == len(test) else {f"{name}\t{n}": bool(labelled[n]) for n, name in enumerate(test.names)}


def _digest(train: Features | None, test: Features) -> str:
    return _digest_of([(each.names, each.labels.tolist()) for each in (train, test) if each is not None])


def _digest_of(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()
