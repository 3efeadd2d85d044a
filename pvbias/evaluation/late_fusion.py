"""Late fusion: the weighted mean of several models' predictions on the same videos, evaluated like a model."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..clips import FREEZE_FRAMES, ORIGINAL, ClipSpec, Freeze
from ..config import get_cfg, load_cfg
from ..errors import DataError
from ..models import Outputs, Recognizer
from ..registries import EVALUATOR, MODULATION
from .accuracy import Accuracy, top_k_credit
from .evaluator import Evaluator, VideoViews
from .results import Figure, Predictions, Result
from .rows import RowArray, Rows, joint_row_blocks, row_blocks
from .statistics import difference_figure, mean_figures

#: Of the smallest probability above zero in float32.
_LEAST_LOG = math.log(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One of the runs that are fused.

    Attributes:
        name: of the run, which tells it from the others.
        weight: of its predictions, above 0.
        predictions: of its model for its videos.
        results: of its evaluators, by name.
    """

    name: str
    weight: float
    predictions: Predictions
    results: Mapping[str, Result]


def on_common_videos(streams: Sequence[Stream], *, folder: Path | None = None) -> list[Stream]:
    """Reduce the runs' predictions to the videos that all of them have, in the first one's order.

    Args:
        streams: of all their videos.
        folder: for what does not fit into memory; None: the system's for temporary files.

    Raises:
        DataError: they tell other classes apart, give a video other labels, have no video in common, or none of those
            has a label.
    """
    first = streams[0]
    for stream in streams[1:]:
        _check_classes(first, stream)
    places = [{key: place for place, key in enumerate(_keys(stream.predictions.names))} for stream in streams]
    common = [key for key in places[0] if all(key in others for others in places[1:])]
    if not common:
        shown = "; ".join(f"{stream.name}: {stream.predictions.names[0]!r}, ..." for stream in streams)
        raise DataError(f"The runs have no video in common, there is nothing to fuse. They call them: {shown}")
    selected = [
        replace(stream, predictions=_select(stream.predictions, [place[key] for key in common], folder))
        for stream, place in zip(streams, places, strict=True)
    ]
    labels = selected[0].predictions.labels
    for stream in selected[1:]:
        differing = np.flatnonzero(stream.predictions.labels != labels)
        if len(differing):
            video = differing[0]
            raise DataError(
                f"{len(differing)} videos have other labels in {stream.name} than in {first.name}: "
                f"{stream.predictions.names[video]!r} has {stream.predictions.labels[video]} and {labels[video]} "
                "(-1: none). Measure both with the same annotation."
            )
    if (labels < 0).all():
        raise DataError(f"None of the {len(common)} videos that all runs have has a label: there is no accuracy.")
    return selected


def fuse(streams: Sequence[Stream], *, folder: Path | None = None) -> Predictions:
    """Average the runs' class probabilities by weight, ``sum_i w_i p_i / sum_i w_i``, on common videos: on original
    clips, and on those modulated clips that all runs have predictions of.

    Args:
        streams: on common videos.
        folder: for what does not fit into memory; None: the system's for temporary files.
    """
    total = sum(stream.weight for stream in streams)
    first = streams[0].predictions
    common = [name for name in first.variants if all(name in stream.predictions.variants for stream in streams)]
    shares = [math.log(stream.weight / total) for stream in streams]

    def mean(*blocks: np.ndarray) -> np.ndarray:
        weighted = [stream.weight * block.astype(np.float64) for stream, block in zip(streams, blocks, strict=True)]
        return np.sum(weighted, axis=0) / total

    def log_of_mean(*blocks: np.ndarray) -> np.ndarray:
        weighted = [share + block.astype(np.float64) for share, block in zip(shares, blocks, strict=True)]
        return np.logaddexp.reduce(weighted)

    def by_blocks(function: Callable[..., np.ndarray], arrays: Sequence[np.ndarray]) -> np.ndarray:
        fused = RowArray(folder)
        for blocks in joint_row_blocks(arrays):
            fused.append(*function(*blocks).astype(np.float32))
        return fused.array()

    return Predictions(
        names=first.names,
        labels=first.labels,
        probabilities=by_blocks(mean, [stream.predictions.probabilities for stream in streams]),
        class_names=max((stream.predictions.class_names for stream in streams), key=len),
        variants={
            name: by_blocks(log_of_mean, [stream.predictions.variants[name] for stream in streams]) for name in common
        },
    )


def evaluate_accuracy(
    streams: Sequence[Stream], fused: Predictions, left_out: Sequence[int], *, seed: int
) -> dict[str, Result]:
    """Accuracy of the fused predictions, as "accuracy", and beside that of each run, as "late_fusion".

    Intervals are over the common videos; that of a gain is of the paired difference.

    Args:
        streams: on common videos; those without a label are left out.
        fused: their fusion.
        left_out: how many videos of each run are not common.
        seed: of the bootstrap.
    """
    ks = (1, 5) if fused.probabilities.shape[1] > 5 else (1,)
    credits = [_credits(predictions, ks) for predictions in (*(stream.predictions for stream in streams), fused)]
    best = max(range(len(streams)), key=lambda number: credits[number][:, 0].mean())
    note = f"of the {len(fused.names)} videos that all runs have" if any(left_out) else ""
    accuracy = [Figure(name=f"top{k}", value=None, unit="%", level="video", note=note) for k in ks]
    over = f"points over {streams[best].name}, of the runs the best on these videos"
    bootstrap = {"samples": get_cfg().BIAS.BOOTSTRAP_SAMPLES, "seed": seed}
    figures = mean_figures(accuracy * len(credits), np.column_stack(credits), **bootstrap)
    for k, before, after in zip(ks, credits[best].T, credits[-1].T, strict=True):
        gain = Figure(name=f"top{k}_gain", value=None, unit="points", level="video", note=over)
        figures.append(difference_figure(gain, before, after, **bootstrap))
    rows: list[dict[str, object]] = [
        {"run": stream.name, "weight": stream.weight, "left_out": count}
        for stream, count in zip(streams, left_out, strict=True)
    ]
    rows += [{"run": name, "weight": None, "left_out": None} for name in ("fused", f"gain over {streams[best].name}")]
    for number, row in enumerate(rows):
        for k, figure in zip(ks, figures[number * len(ks) :], strict=False):
            low, high = figure.interval or (None, None)
            row |= {f"top{k}": figure.value, f"top{k}_low": low, f"top{k}_high": high}
    return {
        "accuracy": Result(figures=figures[-2 * len(ks) : -len(ks)], predictions=fused),
        "late_fusion": Result(figures=figures[-len(ks) :], tables={"runs": rows}),
    }


def evaluate_predictions(
    streams: Sequence[Stream], fused: Predictions, *, seed: int, folder: Path | None = None
) -> dict[str, Result]:
    """Run the evaluators of predictions, but for accuracy, that all runs have results of, on the fused predictions.

    Each evaluator gets the fused predictions as those of one view; its figures of video level are what they would be of
    a model that says the same.
    """
    cfg = load_cfg()
    cfg.RNG_SEED = seed
    frames = {Freeze(frame=frame).spec: frame for frame in FREEZE_FRAMES}
    cfg.BIAS.FREEZE_FRAME = next((frames[spec] for spec in fused.variants if spec in frames), cfg.BIAS.FREEZE_FRAME)
    draws = [draw.spec for draw in Freeze(frame="random").draws(len(fused.variants))]
    cfg.BIAS.FREEZE_DRAWS = max(sum(1 for _ in itertools.takewhile(fused.variants.__contains__, draws)), 1)
    names = [name for name in streams[0].results if all(name in stream.results for stream in streams[1:])]
    results = {}
    for name in names:
        if name == "accuracy" or name not in EVALUATOR:
            continue
        measured = dict.fromkeys(figure.variant for figure in streams[0].results[name].figures)
        cfg.BIAS.MODULATIONS = [spec for spec in measured if spec in fused.variants and _is_registered(spec)]
        evaluator: Evaluator = EVALUATOR.get(name)(cfg, _classifier(fused.probabilities.shape[1]), fused.class_names)
        if not evaluator.of_predictions:
            continue
        evaluator.rows = Rows(folder)
        if isinstance(evaluator, Accuracy):
            evaluator.keeps_predictions = False
        asked = [modulation.spec for modulation in evaluator.modulations().values()]
        missing = [spec for spec in asked if spec not in (ORIGINAL, *fused.variants)]
        if missing:
            reason = (
                f"Not all runs have kept their predictions on {', '.join(missing)} clips: measure them again, with "
                "TEST.ENABLE and with one BIAS.FREEZE_FRAME and BIAS.FREEZE_DRAWS."
            )
            results[name] = Result(not_applicable=reason)
        else:
            results[name] = _of_fused(evaluator, fused)
    return results


def _is_registered(spec: str) -> bool:
    """Whether a modulation is known; not so in results of a plugin that is not announced."""
    return spec.partition("(")[0] in MODULATION


def _of_fused(evaluator: Evaluator, fused: Predictions) -> Result:
    """Run an evaluator of predictions on fused ones; its figures of video level."""
    nothing = torch.empty(1, 3, 0, 0, 0, dtype=torch.uint8)
    spread = {ORIGINAL: fused.probabilities, **fused.variants}
    videos = enumerate(zip(fused.names, fused.labels.tolist(), strict=True))
    for blocks in joint_row_blocks([*spread.values()]):
        logs = {name: _logarithms(name, block) for name, block in zip(spread, blocks, strict=True)}
        for place, (index, (name, label)) in enumerate(itertools.islice(videos, len(blocks[0]))):
            video = VideoViews(index=index, name=name, label=None if label < 0 else label, clips=nothing)
            outputs = {
                spec: Outputs({"": logs[modulation.spec][place, None]})
                for spec, modulation in evaluator.modulations().items()
            }
            evaluator.process(video, outputs)
    result = evaluator.evaluate()
    result.predictions = None
    result.figures = [figure for figure in result.figures if figure.level != "clip"]
    result.tables = {
        table: [row for row in rows if row.get("level") != "clip"] for table, rows in result.tables.items()
    }
    return result


def _logarithms(name: str, values: np.ndarray) -> torch.Tensor:
    """Logarithms of predictions of one modulation; a probability of zero is as small as float32 has them, so that a
    logarithm is finite."""
    with np.errstate(divide="ignore"):
        logs = np.log(values.astype(np.float64)) if name == ORIGINAL else values
    return torch.from_numpy(np.maximum(logs, _LEAST_LOG))


def _classifier(classes: int) -> Recognizer:
    """A placeholder, which evaluators ask for the number of classes."""
    spec = ClipSpec(num_frames=1, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
    return Recognizer(torch.nn.Sequential(torch.nn.Linear(1, classes)), clip_spec=spec, head="0")


def _keys(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Keys of a run's videos: the name, and the number among how many that share it (parts of one video)."""
    counts, seen = Counter(names), Counter[str]()
    keys = []
    for name in names:
        keys.append((name, seen[name], counts[name]))
        seen[name] += 1
    return keys


def _select(predictions: Predictions, places: Sequence[int], folder: Path | None) -> Predictions:
    if len(places) == len(predictions.names) and all(number == place for number, place in enumerate(places)):
        return predictions

    def selected(values: np.ndarray) -> np.ndarray:
        rows = RowArray(folder)
        for place in places:
            rows.append(values[place])
        return rows.array()

    return Predictions(
        names=[predictions.names[place] for place in places],
        labels=predictions.labels[places],
        probabilities=selected(predictions.probabilities),
        class_names=predictions.class_names,
        variants={name: selected(values) for name, values in predictions.variants.items()},
    )


def _check_classes(first: Stream, stream: Stream) -> None:
    ours, theirs = first.predictions, stream.predictions
    if ours.probabilities.shape[1] != theirs.probabilities.shape[1]:
        raise DataError(
            f"{first.name} tells {ours.probabilities.shape[1]} classes apart and {stream.name} "
            f"{theirs.probabilities.shape[1]}: only predictions of the same classes can be fused."
        )
    # Names are left out where one of the runs has none.
    for number, (own, other) in enumerate(zip(ours.class_names, theirs.class_names, strict=False)):
        if own != other:
            raise DataError(
                f"Class {number} is {own!r} in {first.name} and {other!r} in {stream.name}: only predictions of the "
                "same classes can be fused. Measure both with the same annotation, or one DATA.CLASS_NAMES_FILE."
            )


def _credits(predictions: Predictions, ks: Sequence[int]) -> np.ndarray:
    """Top-k credit of each labelled video: ``(videos, len(ks))``, in [0, 1]."""
    credits, begin = [], 0
    for block in row_blocks(predictions.probabilities):
        labels = predictions.labels[begin : begin + len(block)]
        begin += len(block)
        labelled = labels >= 0
        scores, chosen = torch.from_numpy(block[labelled]), torch.from_numpy(labels[labelled])
        credits.append(np.stack([top_k_credit(scores, chosen, k).numpy() for k in ks], axis=1))
    return np.concatenate(credits)
