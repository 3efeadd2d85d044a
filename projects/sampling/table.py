"""Compare the frames that pvbias takes with those that each model zoo's own code takes, model by model."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode
from references import Clips, Reference, Video, hara, pytorchvideo, slowfast, torchvision, tsm
from tabulate import tabulate

from pvbias.config import complete, load_cfg
from pvbias.data.sampling import sampling_rule
from pvbias.registries import MODEL

#: Lengths in frames and frame rates of the videos, and numbers of test clips.
LENGTHS = (5, 16, 40, 100, 250, 299, 300, 301)
RATES = (Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60))
VIEWS = (1, 2, 3, 5, 10, 30)


def videos() -> Iterator[Video]:
    """Every length at every rate."""
    return (Video(length, rate) for rate in RATES for length in LENGTHS)


def own_frames(cfg: CfgNode, video: Video) -> np.ndarray:
    """Numbers of the frames ``(clips, T)`` that pvbias takes of a video."""
    timestamps = np.array([float(number / video.fps) for number in range(video.num_frames)])
    times = sampling_rule(cfg).test_clips(0.0, float(video.duration), timestamps)
    return np.searchsorted(timestamps, times + 1e-6, side="right") - 1


def configured(model: str, views: int, *keys: str) -> CfgNode:
    """The completed configuration of a model's own clips."""
    overrides = ["MODEL.MODEL_NAME", model, "TEST.NUM_ENSEMBLE_VIEWS", str(views), "TRAIN.ENABLE", "False", *keys]
    return complete(load_cfg(overrides=overrides), num_classes=400)


def compare(model: str, reference: Reference, *keys: str) -> tuple[str, int, int, str]:
    """The rule, how many test clips the reference has taken, how many of them are others here, and an example."""
    compared = other = 0
    for views in VIEWS:
        cfg = configured(model, views, *keys)
        data = cfg.DATA
        for video in videos():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torchvision: videos that are too short
                expected = reference(video, Clips(data.NUM_FRAMES, data.SAMPLING_RATE, data.TARGET_FPS, views))
            if expected is None:
                continue
            found = own_frames(cfg, video)
            compared += len(expected)
            same = found.shape == expected.shape
            other += int((found != expected).any(1).sum()) if same else len(expected)
    first = own_frames(configured(model, 1, *keys), Video(300, Fraction(30)))[0].tolist()
    shown = ", ".join(map(str, first[:4])) + (", ..., " + str(first[-1]) if len(first) > 4 else "")
    return data.TEMPORAL_SAMPLING, compared, other, shown


def rows(checkouts: Path) -> Iterator[tuple[object, ...]]:
    """A row for each model, and for each of the weights that were trained in another way."""
    load_cfg()  # imports the plugins
    zoos = {"pytorchvideo": pytorchvideo, "torchvision": torchvision}
    for name, model in MODEL:
        if model.zoo in zoos:
            yield name, *compare(name, zoos[model.zoo])
        elif model.clip_spec.sampling == "hara":
            yield name, *compare(name, hara(checkouts / "3D-ResNets-PyTorch"))
        elif model.clip_spec.sampling == "tsn":
            segments = tsm(checkouts / "temporal-shift-module", dense=False)
            dense = tsm(checkouts / "temporal-shift-module", dense=True)
            yield name, *compare(name, segments)
            for weights, entry in model.weights.items():
                if entry.clips:
                    address = f"zoo://{model.zoo}/{name}/{weights}"
                    reference = dense if entry.clips.get("sampling") == "tsm_dense" else segments
                    yield f"{name}/{weights}", *compare(name, reference, "TEST.CHECKPOINT_FILE_PATH", address)
    for family in ("PTVResNet", "PTVSlowFast", "PTVX3D", "PTVMViT"):
        yield (
            family,
            *compare(family, slowfast(checkouts / "SlowFast"), *(("SLOWFAST.ALPHA", "4") if "Fast" in family else ())),
        )
    offset = ("DATA.USE_OFFSET_SAMPLING", "True")
    yield f"PTVMViT, {offset[0]}", *compare("PTVMViT", slowfast(checkouts / "SlowFast", use_offset=True), *offset)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", type=Path, help="folder of SlowFast, 3D-ResNets-PyTorch, temporal-shift-module")
    headers = ("model", "rule", "test clips", "other frames", "first test clip of one, 300 frames at 30 fps")
    print(tabulate(rows(parser.parse_args().checkouts), headers=headers, tablefmt="github"))


if __name__ == "__main__":
    main()
