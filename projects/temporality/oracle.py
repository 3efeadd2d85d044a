"""The dynamic score of an oracle beside the bias of its data set: equal for one student, whichever it is.

python projects/temporality/oracle.py --out runs/oracle

Li and Vasconcelos (Improving Video Model Transfer with Dynamic Representation Learning, section 3.3): a classifier f*
that is right about every video has the dynamic score ``gamma(f*, p_D) = gamma(p_D)`` (eq. 2 and 5). Made-up videos have
such a classifier: the brush's way is compared with the trajectories of all digits, and its picture with all pictures of
digits, number by number. All else is `pvbias run` with the evaluators dynamic_score_distill and dataset_bias. Each
trains its own student, from the same weights on the same clips in the same order: what the two come to differs by how
far rounding takes two trainings apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from PIL import Image
from torch import Tensor, nn

from pvbias.clips import ClipSpec
from pvbias.errors import DataError
from pvbias.models import ModelFamily, ZooModel
from pvbias.plugins.decoupled_videos.mnist import load_digits
from pvbias.plugins.decoupled_videos.plan import SPLITS
from pvbias.plugins.decoupled_videos.rendering import Format
from pvbias.plugins.decoupled_videos.trajectories import PATHS, positions
from pvbias.registries import MODEL_FAMILY
from pvbias.report.results import RunResults
from pvbias.run.study import Run, Study, add_arguments, find_figure
from pvbias.tools.main import guard

#: The logit of the right class, all others being 0: its probability is 1 in single precision.
CERTAIN = 1e4

#: (title, evaluator, figure, variant) of the columns.
COLUMNS = (
    ("accuracy of f*", "modulated_accuracy", "top1", "original"),
    ("gamma(f*)", "dynamic_score_distill", "dynamic_score", "distill"),
    ("gamma(p_D)", "dataset_bias", "dataset_bias", "original"),
    ("accuracy of f_s", "dataset_bias", "student_top1", "original"),
)


class BrushOracle(nn.Module):
    """The classifier that is right about every BrushMNIST video all of whose frames it sees.

    Args:
        cfg: a complete configuration; what is under DECOUPLED describes the videos.

    Raises:
        DataError: two digits of different classes move, or look, the same.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.label = cfg.DECOUPLED.LABEL
        self.num_classes = 100 if self.label == "joint" else 10
        self.certain = nn.Linear(self.num_classes, self.num_classes, bias=False)
        nn.init.eye_(self.certain.weight).data.mul_(CERTAIN)
        self.motions: dict[bytes, int] = {}
        self.brushes: dict[bytes, int] = {}
        format = Format.from_cfg(cfg, brush_share=1 / 8)
        follow = PATHS[cfg.DECOUPLED.TRAJECTORIES]
        for image, label in _digits(cfg.DECOUPLED.MNIST_DIR):
            way = format.corners(positions([follow(image, label)], format.frames))
            brush = np.asarray(Image.fromarray(image).resize((format.brush_size,) * 2, Image.Resampling.BILINEAR))
            for known, key in ((self.motions, _way(way)), (self.brushes, _picture(brush))):
                if known.setdefault(key, label) != label:
                    raise DataError(
                        f"A {label} and a {known[key]} cannot be told apart. Give DECOUPLED.SIZE more pixels."
                    )

    def forward(self, clips: Tensor) -> Tensor:
        """``(N, 3, T, H, W)`` in [0, 1] -> logits ``(N, K)``; all the same where it does not know the digits."""
        videos = (clips[:, 0] * 255).round().to("cpu", torch.uint8).numpy()
        known = torch.zeros(len(videos), self.num_classes)
        for row, video in zip(known, videos, strict=True):
            label = self._classify(video)
            if label is not None:
                row[label] = 1
        return self.certain(known.to(clips))

    def _classify(self, video: np.ndarray) -> int | None:
        ink = video > 0
        if not ink.any():  # what a network is looked into with
            return None
        # Where the ink begins, in each frame: as far from the brush's corner in all of them.
        corners = np.stack([ink.any(axis=1).argmax(axis=1), ink.any(axis=2).argmax(axis=1)], axis=1)
        motion, appearance = self.motions.get(_way(corners)), self.brushes.get(_picture(video[0]))
        if self.label == "joint":
            return None if motion is None or appearance is None else 10 * appearance + motion
        return motion if self.label == "motion" else appearance


def _digits(folder: str) -> Iterator[tuple[np.ndarray, int]]:
    """(image, label) of all digits of all splits."""
    for split in SPLITS:
        digits = load_digits(folder, split)
        yield from zip(digits.images, digits.labels.tolist(), strict=True)


def _way(corners: np.ndarray) -> bytes:
    """Identify a trajectory by its places ``(T, 2)`` relative to the first one."""
    return (corners - corners[0]).astype(np.int16).tobytes()


def _picture(frame: np.ndarray) -> bytes:
    """Identify a picture ``(H, W)`` by its ink, wherever that is."""
    rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
    ink = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return repr(ink.shape).encode() + ink.tobytes()


def configure(cfg: CfgNode) -> ZooModel:
    """The oracle of the videos under DECOUPLED."""
    frames, size = cfg.DECOUPLED.FRAMES, cfg.DECOUPLED.SIZE
    spec = ClipSpec(num_frames=frames, sampling_rate=1, crop_size=size, test_crop_size=size, short_side=size)
    spec = spec.replace(fps=cfg.DECOUPLED.FPS, mean=(0.0,) * 3, std=(1.0,) * 3)
    return ZooModel(zoo="temporality", build=lambda **_: BrushOracle(cfg), clip_spec=spec, head="certain")


if "brush_oracle" not in MODEL_FAMILY:
    MODEL_FAMILY.register(ModelFamily(add_config=lambda cfg: None, configure=configure), name="brush_oracle")


def table(runs: dict[str, list[RunResults]], seeds: Sequence[int]) -> str:
    """The figures of each label, a row for each seed."""
    lines = [f"| label | seed | {' | '.join(title for title, *_ in COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for label, found in runs.items():
        for seed, run in zip(seeds, found, strict=True):
            figures = [find_figure(run, *where, levels=("clip",)) for _, *where in COLUMNS]
            cells = [
                f"{figure.value:.6f} nats" if figure.unit == "nats" else f"{figure.value:.1f} %" for figure in figures
            ]
            lines.append(f"| {label} | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--labels", nargs="+", default=["motion", "appearance"], choices=["joint", "motion", "appearance"]
    )
    add_arguments(parser, out="runs/oracle", seeds=(0,))
    arguments = parser.parse_args(argv)
    # In this process: no other knows the oracle.
    study = Study(out=arguments.out, extra=tuple(arguments.set), in_process=True, dry_run=arguments.dry_run)
    config = Path(__file__).with_suffix(".yaml")
    runs = {
        label: study.finish(
            [
                Run(name=label, seed=seed, config=config, overrides=("DECOUPLED.LABEL", label))
                for seed in arguments.seeds
            ]
        )
        for label in arguments.labels
    }
    if not arguments.dry_run:
        text = table(runs, arguments.seeds)
        (arguments.out / "oracle.md").write_text(text + "\n", encoding="utf-8")
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
