"""Description of a run in its results: data, sampling, settings, versions, command."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from ..clips import ORIGINAL
from ..data import BadVideo, RecordSubset, VideoRecord, VideoSource, set_fingerprints, video_key
from ..data.sampling import sampling_rule
from ..evaluation import Result
from ..modalities import RGB_AND_FLOW
from ..report import RunResults
from ..report.breakdown import BREAKDOWN, break_down
from ..report.words import counted
from ..versions import versions


def describe_run(
    cfg: CfgNode,
    source: VideoSource,
    results: Mapping[str, Result],
    *,
    settings: Mapping[str, str],
    measured: int,
    bad: Sequence[BadVideo],
    model: Mapping[str, Any],
    started: float,
) -> RunResults:
    """The results of a run with everything that says what was evaluated how.

    Args:
        cfg: completed configuration.
        source: the test videos.
        results: by evaluator.
        settings: that the recognizer was measured with (:meth:`pvbias.runtime.Settings.describe`).
        measured: number of videos.
        bad: those that were left out.
        model: further fields of :class:`RunResults`: what was measured, with which weights.
        started: when the run began, seconds since the epoch.
    """
    same = set_fingerprints(source)
    records = _measured_records(source, bad, measured)
    attributes = {name: [record.attributes.get(name) for record in records] for name in cfg.BIAS.BREAK_DOWN_BY}
    results = dict(results)
    if attributes:
        labelled = [record.label is not None for record in records]
        bootstrap = {"samples": cfg.BIAS.BOOTSTRAP_SAMPLES, "seed": cfg.RNG_SEED}
        results[BREAKDOWN] = break_down(results, attributes, labelled, **bootstrap)
    cautions = [*_of_modality(cfg), *_of_precision(settings["precision"])]
    videos = _told_apart(records)
    return RunResults(
        name=Path(cfg.OUTPUT_DIR).resolve().name,
        num_classes=cfg.MODEL.NUM_CLASSES,
        class_names=list(source.class_names),
        num_videos=measured,
        bad_videos=[asdict(video) for video in bad],
        data=source.description,
        data_fingerprint=same.videos,
        label_fingerprints=[same.label_numbers, same.label_names],
        sampling=describe_sampling(cfg),
        clip_seconds=sampling_rule(cfg).span,
        views=describe_views(cfg),
        precision=settings["precision"],
        settings=dict(settings),
        seed=cfg.RNG_SEED,
        config=cfg.dump(),
        versions=versions(),
        date=datetime.fromtimestamp(started).astimezone().isoformat(timespec="seconds"),
        duration_seconds=time.time() - started,
        command=shlex.join(sys.argv),
        results=results,
        videos=videos,
        attributes=attributes if videos else {},
        **{**model, "cautions": [*model.get("cautions", ()), *cautions]},
    )


def _of_precision(precision: str) -> list[str]:
    """A caution about figures in a number format that is measured in on purpose, in exchange for speed."""
    if precision != "tf32":
        return []
    return [
        "The forward passes were in TF32: fp32, but convolutions and matrix products round what they multiply to 11 "
        "significant bits. Scores differ a little from those in fp32, the format of runs that do not ask for another."
    ]


def _of_modality(cfg: CfgNode) -> list[str]:
    """A caution about figures on modulated clips for clips that are not RGB."""
    if cfg.DATA.MODALITY == RGB_AND_FLOW:
        return [
            "The clips show optical flow beside RGB, and each frame keeps its own: a frozen clip repeats the picture "
            "and the motion of one moment, and a shuffled one has those of all moments in another order. Figures on "
            "these say how much a model needs of the course of the motion, and not what it sees without any."
        ]
    if cfg.DATA.MODALITY != "flow":
        return []
    return [
        "The clips show optical flow, each frame of which is motion itself. A frozen clip repeats the motion of one "
        "moment, and a shuffled one has that of all moments in another order: figures on these say how much a model "
        "needs of the course of the motion, and not what it sees without any."
    ]


def describe_sampling(cfg: CfgNode) -> str:
    """Describe the frames of a clip."""
    frames, modulation = sampling_rule(cfg).words, cfg.DATA.MODULATION
    return frames if modulation == ORIGINAL else f"{frames}, each clip as {modulation}"


def describe_views(cfg: CfgNode) -> str:
    """Describe the views of a video."""
    crops = "centre crop" if cfg.TEST.NUM_SPATIAL_CROPS == 1 else f"{cfg.TEST.NUM_SPATIAL_CROPS} crops"
    if cfg.DATA.TEMPORAL_SAMPLING == "windows":
        return f"all windows, {cfg.DATA.WINDOW_STRIDE} frames apart, {crops}"
    return f"{counted(cfg.TEST.NUM_ENSEMBLE_VIEWS, 'clip')}, {crops}"


def _measured_records(source: VideoSource, bad: Sequence[BadVideo], measured: int) -> Sequence[VideoRecord]:
    """The records of the videos that were evaluated; none where their number differs."""
    left_out = {video.index for video in bad if video.split == "test"}
    numbers = [number for number in range(len(source.records)) if number not in left_out]
    return RecordSubset(source.records, numbers) if len(numbers) == measured else ()


def _told_apart(records: Sequence[VideoRecord]) -> dict[str, bool]:
    """Keys of the videos, and whether they have a label; nothing where keys do not tell them apart, since a list has a
    video twice."""
    keys = {video_key(record): record.label is not None for record in records}
    return keys if len(keys) == len(records) else {}
