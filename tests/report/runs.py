"""Results as a run would have them, for the tests of the report."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from pvbias.evaluation import Figure, Result
from pvbias.evaluation.statistics import log_ratio, mean_figures
from pvbias.report import RunResults

BOOTSTRAP = {"samples": 2000, "seed": 0}

VARIANTS = ("original", "shuffle", "reverse", "freeze_middle")


def accuracy_figures(values: dict[str, float], *, count: int = 1000, half_width: float = 1.0) -> list[Figure]:
    """Top-1 at both levels and the log ratio of shuffled clips."""
    figures = [
        Figure(
            name="top1", value=value, unit="%", level=level, variant=variant, count=count,
            interval=(value - half_width, value + half_width),
        )
        for level in ("video", "clip")
        for variant, value in values.items()
    ]  # fmt: skip
    original, shuffled = values["original"], values["shuffle"]
    ratio = math.log(original / shuffled) if shuffled else None
    note = "" if shuffled else "undefined (zero denominator)"
    figures.append(
        Figure(
            name="log_ratio", value=ratio, unit="log ratio", level="video", variant="shuffle", count=count, note=note
        )
    )
    return figures


def class_rows(accuracies: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """(original, shuffled) by class name."""
    return [
        {"class": number, "class_name": name, "level": level, "videos": 10, "top1_original": a, "top1_shuffle": b}
        for number, (name, (a, b)) in enumerate(accuracies.items())
        for level in ("clip", "video")
    ]


def jpeg() -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (12, 4), (200, 30, 30)).save(file, "JPEG")
    return file.getvalue()


def labelled_run(name: str = "run", **changes: Any) -> RunResults:
    """A run with everything that the built-in evaluators report."""
    layers = [{"depth": d, "layer": f"blocks.{d}.conv", "kernel": "3x1x1"} for d in (1, 2, 3)]
    samples = [
        {
            "video": "a/clip.mp4",
            "label": "run",
            "variant": variant,
            "predicted": "run",
            "probability": 0.75,
            "image": "s.jpg",
        }
        for variant in VARIANTS
    ]
    scores = [
        Figure(
            name="dynamic_score", value=1.5, unit="nats", level="video", variant="freeze_middle", interval=(1.2, 1.8)
        ),
        Figure(name="dynamic_score", value=0.05, unit="nats", level="video", variant="shuffle"),
        Figure(name="agreement", value=40.0, unit="%", level="video", variant="freeze_middle"),
    ]
    run = RunResults(
        name=name,
        model="x3d_xs",
        num_classes=4,
        num_videos=1000,
        data_fingerprint="f1",
        class_names=["run", "walk", "sit", "stand"],
        bad_videos=[{"name": "b/broken.mp4", "cause": "no video stream", "detail": "audio only"}],
        sampling="4 frames over 1 s",
        clip_seconds=1.0,
        views="2 clips, centre crop",
        precision="fp32",
        settings={"device": "cpu", "threads": 2},
        config="MODEL:\n  MODEL_NAME: x3d_xs\n",
        versions={"python": "3.11.0"},
        results={
            "modulated_accuracy": Result(
                figures=accuracy_figures({"original": 64.3, "shuffle": 32.7, "reverse": 60.0, "freeze_middle": 50.0}),
                tables={
                    "per_class": class_rows({"run": (90, 20), "walk": (60, 55), "sit": (70, 40), "stand": (37, 16)})
                },
            ),
            "dynamic_score": Result(figures=scores),
            "asdt": Result(tables={"layers": [row | {"asdt": 0.1 / row["depth"]} for row in layers]}),
            "self_convolution": Result(tables={"layers": [row | {"temporal_share": 25.0} for row in layers]}),
            "sample_clips": Result(tables={"samples": samples}, images={"s.jpg": jpeg()}),
        },
    )
    return dataclasses.replace(run, **changes)


def with_students(run: RunResults, *, distilled: float, bias: float) -> RunResults:
    """... and of the evaluators that train students of single frames."""
    training = [{"epoch": 1, "training_loss": 1.2, "held_out_loss": 0.875, "best": True}]
    figures = {
        "dynamic_score_distill": [
            Figure(name="dynamic_score", value=distilled, unit="nats", level="video", variant="distill"),
            Figure(name="agreement", value=75.0, unit="%", level="video", variant="distill"),
        ],
        "dataset_bias": [
            Figure(name="dataset_bias", value=bias, unit="nats", level="video", interval=(bias - 0.1, bias + 0.1)),
            Figure(name="student_top1", value=60.0, unit="%", level="video"),
        ],
    }
    for evaluator, found in figures.items():
        run.results[evaluator] = Result(figures=found, tables={"student_training": training})
    return run


def unlabelled_run() -> RunResults:
    """A run on videos without labels, of a model without temporal convolutions."""
    run = labelled_run("unlabelled", bad_videos=[])
    run.results["modulated_accuracy"] = Result(not_applicable="None of the 12 videos has a label.")
    run.results["asdt"] = Result(not_applicable="The model has no convolution over time.")
    del run.results["self_convolution"]
    return run


def measured(name, *, original, shuffled, score=None, **changes):
    """A run of which it is known whether each video was right, and its dynamic score (nats)."""
    credits = np.array([original, shuffled], float).T
    levels = ("clip", "video")
    templates = [
        Figure(name="top1", value=None, unit="%", level=level, variant=variant)
        for level in levels
        for variant in ("original", "shuffle")
    ]
    figures = mean_figures(templates, np.hstack([credits, credits]), **BOOTSTRAP)
    ratio = log_ratio(*credits.T, **BOOTSTRAP)
    figures += [
        Figure(
            name="log_ratio",
            value=ratio.value,
            unit="log ratio",
            level=level,
            variant="shuffle",
            interval=ratio.interval,
            note=ratio.note,
        )
        for level in levels
    ]
    results = {"modulated_accuracy": Result(figures=figures)}
    if score is not None:
        template = Figure(name="dynamic_score", value=None, unit="nats", level="video", variant="shuffle")
        results["dynamic_score"] = Result(
            figures=mean_figures([template], np.array(score, float)[:, None], **BOOTSTRAP)
        )
    videos = {f"test/{number}.mp4": True for number in range(len(original))}
    known = {"bad_videos": [], "num_videos": len(original), "videos": videos, "label_fingerprints": ["n1", "c1"]}
    return labelled_run(name, results=results, **known | changes)


def right(count, of):
    """The first so many videos."""
    return [1] * count + [0] * (of - count)


def sure(name, frozen, **changes):
    """50 videos of which the model is as sure as ``frozen`` when they are, measured by the plugin of conftest.py."""
    templates = [
        Figure(name="sureness", value=None, unit="%", level="video", variant=variant)
        for variant in ("freeze_middle", "reverse")
    ]
    values = [[frozen + (0.02 if number % 2 else -0.02), 0.5] for number in range(50)]
    result = Result(
        figures=mean_figures(templates, np.array(values), samples=200, seed=0),
        tables={"moments": [{"moment": "<b>third</b>"}]},
    )
    videos = {f"{number}.mp4": True for number in range(50)}
    return labelled_run(name, results={"sureness": result}, videos=videos, bad_videos=[], **changes)
