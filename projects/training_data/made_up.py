"""Hara's study on made-up videos: does the log ratio of a source data set predict what it is worth on another one?

python projects/training_data/made_up.py --out runs/training_data
python projects/training_data/made_up.py --in-process --places-dir data/scenes --faces-dir data/faces

trains what is missing and writes `made_up.md` below `--out`; a run whose results are there is not repeated, so an
interrupted study goes on where it was. `--dry-run` prints the commands of the runs that can be made now, one a line.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pvbias.errors import ConfigError
from pvbias.report.results import RunResults
from pvbias.run.study import Run, Study, add_arguments, figure_value, interval, rank_correlation, start, text
from pvbias.tools.main import guard

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "made_up.yaml"

#: Training videos of a source where all have the same, and of a fine-grained one where bias and size are confounded: in
#: the paper the largest sets are generic.
MATCHED, SMALL = 1000, 500

BRUSH, PLACES = "brush_mnist", "places_faces_mnist"
#: Side of what moves, pixels.
SIDES = {BRUSH: 8, PLACES: 10}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set to pre-train on.

    Attributes:
        name: of its runs.
        dataset: in DATASET.
        label: DECOUPLED.LABEL.
        rho: how far appearance gives the motion away, in training and in testing.
        kind: "generic" where appearance alone tells the label, "fine-grained" where motion alone does, else "mixed".
        videos: training videos.
    """

    name: str
    dataset: str
    label: str
    rho: float = 0.0
    kind: str
    videos: int = MATCHED

    @property
    def overrides(self) -> tuple[str, ...]:
        """Its configuration, without the seed of its videos."""
        keys = ("DECOUPLED.RHO", f"{self.rho:g}", "DECOUPLED.CONTEXT", "train")
        return (*videos_of(self.dataset, self.label), *keys, "DECOUPLED.TRAIN_VIDEOS", str(self.videos))


def videos_of(dataset: str, label: str) -> tuple[str, ...]:
    """The configuration of a data set."""
    keys = ("TRAIN.DATASET", dataset, "TEST.DATASET", dataset, "DECOUPLED.LABEL", label)
    return (*keys, "DECOUPLED.BRUSH_SIZE", str(SIDES[dataset]))


#: All of one size.
SOURCES = (
    Source(name="places_appearance", dataset=PLACES, label="appearance", kind="generic"),
    Source(name="places_motion_rho1", dataset=PLACES, label="motion", rho=1.0, kind="generic"),
    Source(name="places_joint", dataset=PLACES, label="joint", kind="mixed"),
    Source(name="places_motion_rho0.5", dataset=PLACES, label="motion", rho=0.5, kind="mixed"),
    Source(name="places_motion", dataset=PLACES, label="motion", kind="fine-grained"),
    Source(name="brush_joint", dataset=BRUSH, label="joint", kind="mixed"),
    Source(name="brush_motion_rho1", dataset=BRUSH, label="motion", rho=1.0, kind="mixed"),
    Source(name="brush_motion", dataset=BRUSH, label="motion", kind="fine-grained"),
)
#: The fine-grained ones once more, smaller.
SMALLER = {
    source.name: replace(source, name=f"{source.name}_small", videos=SMALL)
    for source in SOURCES
    if source.kind == "fine-grained"
}
#: Those whose videos are of the targets' kind.
OVER_PLACES = tuple(source for source in SOURCES if source.dataset == PLACES)
SETS = {"matched": SOURCES, "unmatched": tuple(SMALLER.get(source.name, source) for source in SOURCES)}

#: Labels of the targets, and their training videos: enough for random weights to learn something of them. The videos
#: are Places+Faces+MNIST, with other places than the sources' where there are pictures of enough.
TARGETS = {"motion": 300, "appearance": 800}
#: Fine-tuning from random weights.
SCRATCH = "scratch"


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of places and faces, of other places for the sources than for the targets.

    Attributes:
        sources, targets: ``KEY VALUE ...`` for each; empty: procedural ones, of the same places for both.
    """

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    @classmethod
    def share(cls, out: Path, places: str, faces: str) -> Pictures:
        """Share the classes of a folder of places (DECOUPLED.PLACES_DIR) by links below ``out``.

        Raises:
            ConfigError: there is no such folder.
        """
        keys = ("DECOUPLED.FACES_DIR", str(Path(faces).resolve())) if faces else ()
        if not places:
            return cls(sources=keys, targets=keys)
        root = Path(places).resolve()
        if not root.is_dir():
            raise ConfigError(f"--places-dir {places!r} is no folder.")
        splits = ("train", "test") if (root / "train").is_dir() and (root / "test").is_dir() else ("",)
        classes = sorted(entry.name for entry in (root / splits[0]).iterdir() if entry.is_dir())
        middle = len(classes) // 2
        shares = []
        for name, taken in (("sources", classes[:middle]), ("targets", classes[middle:])):
            for split in splits:
                folder = out / "places" / name / split
                folder.mkdir(parents=True, exist_ok=True)
                for each in taken:
                    with suppress(FileExistsError):
                        (folder / each).symlink_to(root / split / each)
            shares.append((*keys, "DECOUPLED.PLACES_DIR", str((out / "places" / name).resolve())))
        return cls(sources=shares[0], targets=shares[1])


def source_runs(seed: int, pictures: Pictures) -> dict[str, Run]:
    """Pre-training on each source, by its name."""
    return {
        source.name: Run(
            name=source.name,
            seed=seed,
            config=CONFIG,
            overrides=(*source.overrides, *pictures.sources, "DECOUPLED.SEED", str(2 * seed)),
        )
        for source in (*SOURCES, *SMALLER.values())
    }


def target_runs(study: Study, seed: int, pictures: Pictures) -> dict[tuple[str, str], Run]:
    """Fine-tuning on each target, by source and target: from random weights, and from the sources that are done."""
    starts = {name: study.checkpoint(run) for name, run in source_runs(seed, pictures).items()}
    videos = (*pictures.targets, "DECOUPLED.SEED", str(2 * seed + 1))
    return {
        (name, target): Run(
            name=f"{target}_after_{name}",
            seed=seed,
            config=CONFIG,
            overrides=(
                *videos_of(PLACES, target),
                *videos,
                *("DECOUPLED.TRAIN_VIDEOS", str(count), "BIAS.ENABLE", "False"),
                *(start(weights) if weights else ()),
            ),
        )
        for name, weights in {SCRATCH: "", **starts}.items()
        for target, count in TARGETS.items()
        if weights or name == SCRATCH
    }


#: Percent or log ratios, one a seed, in order.
Values = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the runs of a source gave, by seed.

    Attributes:
        original, shuffled: accuracy on its own test videos, percent; empty for :data:`SCRATCH`.
        transfer: accuracy on each of TARGETS after fine-tuning, percent.
    """

    original: Values
    shuffled: Values
    transfer: Mapping[str, Values]

    @property
    def log_ratio(self) -> Values:
        """Eq. 1: ``ln(A / A_shuffled)``; infinite where shuffled clips are never recognized."""
        with np.errstate(divide="ignore"):
            return np.log(self.original) - np.log(self.shuffled)


def measure(study: Study, seeds: Sequence[int], pictures: Pictures) -> dict[str, Measured]:
    """Pre-train on each source, fine-tune on each target, seed by seed; what is missing of it. With ``study.dry_run``
    nothing is measured."""
    figures: dict[tuple[str, str], list[float]] = {}
    for seed in seeds:
        sources = source_runs(seed, pictures)
        results = study.finish(list(sources.values()))
        tuned = target_runs(study, seed, pictures)
        transfers = study.finish(list(tuned.values()))
        if study.dry_run:
            continue
        for name, run in zip(sources, results, strict=True):
            for variant in ("original", "shuffle"):
                figures.setdefault((name, variant), []).append(_top1(run, "modulated_accuracy", variant))
        for key, run in zip(tuned, transfers, strict=True):
            figures.setdefault(key, []).append(_top1(run, "accuracy", "original"))
    names = dict.fromkeys(name for name, _ in figures)
    values = {key: np.array(found) for key, found in figures.items()}
    none = np.array([])
    return {
        name: Measured(
            original=values.get((name, "original"), none),
            shuffled=values.get((name, "shuffle"), none),
            transfer={target: values[name, target] for target in TARGETS},
        )
        for name in names
    }


def _top1(run: RunResults, evaluator: str, variant: str) -> float:
    return figure_value(run, evaluator, "top1", variant, levels=("video",))


def sources_table(measured: Mapping[str, Measured]) -> str:
    """A row a source: accuracy, shuffled accuracy, log ratio, and accuracy on the targets after fine-tuning."""
    heads = ("source", "kind", "videos", "accuracy (%)", "shuffled (%)", "log ratio")
    lines = _head(*heads, *(f"to {target} (%)" for target in TARGETS))
    for source in (*SOURCES, *SMALLER.values()):
        each = measured[source.name]
        ratio = text(each.log_ratio, 2) if np.isfinite(each.log_ratio).all() else "infinite with a seed"
        cells = (source.name, source.kind, str(source.videos), text(each.original, 1), text(each.shuffled, 1), ratio)
        lines.append(_row(*cells, *(text(each.transfer[target], 1) for target in TARGETS)))
    transfer = measured[SCRATCH].transfer
    lines.append(_row("random weights", "", "", "", "", "", *(text(transfer[target], 1) for target in TARGETS)))
    return "\n".join(lines)


def correlations(
    measured: Mapping[str, Measured], sets: Mapping[str, Sequence[Source]]
) -> dict[tuple[str, str], Values]:
    """Spearman's correlation over the sources of log ratio and accuracy on a target, for each seed; by set and target.

    Sources whose shuffled clips are never recognized come first in rank.
    """
    return {
        (name, target): np.array(
            [
                rank_correlation(
                    [measured[source.name].log_ratio[number] for source in sources],
                    [measured[source.name].transfer[target][number] for source in sources],
                )[0]
                for number in range(len(measured[SCRATCH].transfer[target]))
            ]
        )
        for name, sources in sets.items()
        for target in TARGETS
    }


def correlations_table(measured: Mapping[str, Measured]) -> str:
    """Rank correlations: mean over the seeds with its interval, and that of the seeds' means with its p value."""
    lines = _head("sources", "target", "by seed", "of the seeds' means", "p (exact)")
    sets = SETS | {"matched, over places": OVER_PLACES}
    for (name, target), values in correlations(measured, sets).items():
        rho, p = rank_correlation(
            [measured[source.name].log_ratio.mean() for source in sets[name]],
            [measured[source.name].transfer[target].mean() for source in sets[name]],
        )
        lines.append(_row(name, target, text(values, 2, sign="+"), f"{rho:+.2f}", f"{p:.3f}"))
    return "\n".join(lines)


def conclusions(measured: Mapping[str, Measured]) -> list[tuple[str, Values]]:
    """Claims, each with what is above 0 where it holds, by seed.

    (i) to (iii) are the paper's, of its two kinds of sources; the others are of the log ratio itself, and of size.
    """
    correlated = correlations(measured, SETS)
    scratch = measured[SCRATCH].transfer
    claims: list[tuple[str, Values]] = []
    for name, sources in SETS.items():
        kinds = {
            kind: [measured[source.name] for source in sources if source.kind == kind]
            for kind in ("generic", "fine-grained")
        }
        ratios = {kind: np.mean([each.log_ratio for each in of_kind], axis=0) for kind, of_kind in kinds.items()}
        worth = {
            (kind, target): np.mean([each.transfer[target] for each in of_kind], axis=0)
            for kind, of_kind in kinds.items()
            for target in TARGETS
        }
        gained = {target: worth["fine-grained", target] - scratch[target] for target in TARGETS}
        better = {target: worth["fine-grained", target] - worth["generic", target] for target in TARGETS}
        claims += [
            (f"(i) {name}: log ratios of fine-grained sources are larger", ratios["fine-grained"] - ratios["generic"]),
            (
                f"(ii) {name}: what fine-grained sources teach is motion: over random weights they gain more points on "
                "motion than on appearance",
                gained["motion"] - gained["appearance"],
            ),
            (f"(iii) {name}: fine-grained sources are better for motion, points", better["motion"]),
            (f"(iii) {name}: generic sources are better for appearance, points", -better["appearance"]),
            (f"{name}: a larger log ratio goes with more on motion, rank correlation", correlated[name, "motion"]),
            (f"{name}: ... and with less on appearance, the sign reversed", -correlated[name, "appearance"]),
        ]
    for target in TARGETS:
        less = [measured[name].transfer[target] - measured[few.name].transfer[target] for name, few in SMALLER.items()]
        claims.append((f"half the videos make fine-grained sources worse for {target}, points", np.mean(less, axis=0)))
    return claims


def said(values: Values) -> str:
    """Whether a claim is held, by what is above 0 where it is: the 95 % interval over the seeds (Student's t)."""
    mean, half = interval(values)
    if not math.isfinite(half) or abs(mean) <= half:
        return "cannot be told"
    return "held" if mean > 0 else "not held: it is the other way round"


def conclusions_table(measured: Mapping[str, Measured]) -> str:
    """A row a claim: the difference or correlation, and whether it is held."""
    lines = _head("claim", "mean and 95 % interval over seeds", "")
    return "\n".join(
        [*lines, *(_row(claim, text(values, 2, sign="+"), said(values)) for claim, values in conclusions(measured))]
    )


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, out="runs/training_data", seeds=range(5))
    parser.add_argument("--places-dir", default="", help="pictures of places, a folder a class (default: procedural)")
    parser.add_argument("--faces-dir", default="", help="pictures of faces (default: procedural)")
    arguments = parser.parse_args(argv)
    study = Study.from_args(arguments)
    pictures = Pictures.share(arguments.out, arguments.places_dir, arguments.faces_dir)
    measured = measure(study, arguments.seeds, pictures)
    if not arguments.dry_run:
        tables = (sources_table(measured), correlations_table(measured), conclusions_table(measured))
        page = "\n\n".join(tables) + "\n"
        (arguments.out / "made_up.md").write_text(page, encoding="utf-8")
        print(f"\n{page}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main, sys.argv[1:]))
