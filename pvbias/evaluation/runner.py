"""One pass over the videos that feeds all evaluators."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fvcore.common.config import CfgNode
from tqdm import tqdm

from ..clips import Rearrangement
from ..context import Context
from ..data import (
    BadVideoLog,
    TestLoader,
    VideoSource,
    build_test_loader,
)
from ..data.lookup import check_attributes
from ..data.sharding import assign_chunks, split_into_chunks
from ..data.tracks import build_tracks
from ..distributed import all_gather_objects, gather_objects, get_rank, get_world_size, is_main_process
from ..errors import ConfigError, DataError
from ..models.evaluation_mode import evaluation_mode
from ..models.recognizer import Recognizer
from ..needs import union
from ..shard import Shard
from .chunks import measure_chunks
from .evaluator import Evaluator
from .partial import ChunkResult, ChunkWriter, measurement_fingerprint, read_chunks
from .results import Result
from .rows import Rows

if TYPE_CHECKING:
    from ..runtime import Settings

logger = logging.getLogger(__name__)

#: Videos whose rows are sent from one process to another at a time.
_ROWS_AT_ONCE = 1000


def run_evaluators(
    cfg: CfgNode,
    recognizer: Recognizer,
    source: VideoSource,
    evaluators: Mapping[str, Evaluator],
    *,
    settings: Settings,
    bad_log: BadVideoLog,
    split: str = "test",
    progress: bool = True,
    keep: str | Path | None = None,
) -> dict[str, Result]:
    """Run all evaluators in one pass: each video is decoded once, each modulation of its views goes through the model
    once.

    ::

        videos -> views (V, C, T, H, W) uint8 -> packed into batches of TEST.BATCH_SIZE views, across a chunk's videos
          -> on the device: each modulation that any evaluator needs -> logits (V, K) and features -> each evaluator

    Modulations that only rearrange frames share the stages of the model that see one frame at a time.
    Nothing is opened where no evaluator needs clips. All processes of a run must call this together. The figures are
    the same, bit for bit, for any number of loader workers, and for any number of processes that compute with as many
    threads each.

    Args:
        cfg: completed configuration.
        recognizer: already placed on the device (``settings.place``). Measured in evaluation mode, without gradients;
            its own mode is restored.
        source: the videos.
        evaluators: by the name their results go under.
        settings: of this machine.
        bad_log: takes the videos that cannot be used.
        split: of the source, for the list of bad videos.
        progress: show a progress bar (main process only).
        keep: folder in which each chunk of the videos is kept as soon as it is through (:mod:`.partial`). A
            measurement that was killed goes on from there, with any number of processes, to the figures that it would
            have had. It is the caller's to delete. None: nothing is kept.

    Returns:
        Results by evaluator name, over the videos of all processes, in the main process; nothing in the others.

    Raises:
        DataError: too many bad videos, no good one, a label that the model has no class for, or an attribute that an
            evaluator needs and no video has.
        WeightsError: the model gives logits that are not finite.
    """
    check_needs(source, evaluators)
    consumers = {name: evaluator for name, evaluator in evaluators.items() if evaluator.needs.modulations}
    for evaluator in evaluators.values():
        evaluator.reset()
        evaluator.rows = Rows(cfg.OUTPUT_DIR)
    context = Context(cfg, settings, measured=source)
    with evaluation_mode(recognizer):
        for evaluator in evaluators.values():
            evaluator.prepare(context)
    needs = union(evaluator.needs for evaluator in consumers.values())
    tracks = tuple(dict.fromkeys(name for evaluator in consumers.values() for name in evaluator.tracks()))
    recognizer.check_features(needs.features)
    if not consumers:
        return {name: evaluator.evaluate() for name, evaluator in evaluators.items()} if is_main_process() else {}
    folder = None
    if keep is not None and is_main_process():
        folder = _kept_in(keep, split, measurement_fingerprint(cfg, recognizer, source, consumers, settings))
    folder, done, measured = _take_up(folder, consumers, bad_log)
    rank, world_size = get_rank(), get_world_size()
    loader = build_test_loader(cfg, source, rank=rank, world_size=world_size, split=split, tracks=tracks, done=done)
    progress_bar = _progress_bar(loader, shown=progress and is_main_process())
    with progress_bar as bar, ChunkWriter(folder) as writer, evaluation_mode(recognizer):
        for part in measure_chunks(cfg, recognizer, loader, consumers, settings, bar):
            _note(part, bad_log)
            measured += part.good
            writer.write(part)
    bad_log.check()
    if not sum(all_gather_objects(measured)):
        raise DataError("There is nothing to measure: no video of the test split could be used.")
    _merge(consumers)
    if not is_main_process():
        return {}
    return {name: evaluator.evaluate() for name, evaluator in evaluators.items()}


def measure_shard(
    cfg: CfgNode,
    recognizer: Recognizer,
    source: VideoSource,
    evaluators: Mapping[str, Evaluator],
    shard: Shard,
    *,
    settings: Settings,
    keep: str | Path,
    split: str = "test",
) -> None:
    """Evaluate a shard of the videos, which :func:`run_evaluators` with the same arguments then finds in ``keep``.

    In one process without any connection to those that measure the other parts. What an earlier attempt has kept there
    is not measured again.

    Raises:
        ConfigError: an evaluator has to get ready first, and each process would do that for itself.
        DataError: a label that the model has no class for, or an attribute that an evaluator needs and no video has.
        WeightsError: the model gives logits that are not finite.
    """
    check_needs(source, evaluators)
    consumers = {name: evaluator for name, evaluator in evaluators.items() if evaluator.needs.modulations}
    for name, evaluator in consumers.items():
        evaluator.reset()
        evaluator.rows = Rows(cfg.OUTPUT_DIR)
        if evaluator.needs.splits:
            raise ConfigError(
                f"{name} trains something before it measures, which several jobs cannot share: take it out of "
                "BIAS.EVALUATORS, and measure it in one job with another OUTPUT_DIR."
            )
    if not consumers:
        return
    with evaluation_mode(recognizer):
        for evaluator in consumers.values():
            evaluator.prepare(Context(cfg, settings, measured=source))
    folder = _kept_in(keep, split, measurement_fingerprint(cfg, recognizer, source, consumers, settings))
    # Not of what is left: how much that is changes while the jobs begin.
    assigned = assign_chunks(cfg, source.records, split_into_chunks(cfg, source.records), shard.count)
    others = {chunk.start for index, chunks in enumerate(assigned) if index != shard.index for chunk in chunks}
    done = others | {part.first for part in _kept_parts(folder, consumers, others)}
    needs = union(evaluator.needs for evaluator in consumers.values())
    tracks = tuple(dict.fromkeys(name for evaluator in consumers.values() for name in evaluator.tracks()))
    recognizer.check_features(needs.features)
    loader = build_test_loader(cfg, source, rank=0, world_size=1, split=split, tracks=tracks, done=done)
    with _progress_bar(loader) as bar, ChunkWriter(folder) as writer, evaluation_mode(recognizer):
        for part in measure_chunks(cfg, recognizer, loader, consumers, settings, bar):
            writer.write(part)


def check_needs(source: VideoSource, evaluators: Mapping[str, Evaluator]) -> None:
    """Raise ConfigError where evaluators need modulations that do not exist, or not for clips so short or of their
    modality, or tracks that the videos do not have, and DataError where they need attributes that none of the videos
    has; warn where some lack them."""
    for name, evaluator in evaluators.items():
        for each in evaluator.modulations().values():
            each.check_modality(evaluator.cfg.DATA.MODALITY)
            if isinstance(each, Rearrangement):
                each.frames(evaluator.cfg.DATA.NUM_FRAMES, [0])
        build_tracks(evaluator.cfg, source, evaluator.tracks())
        check_attributes([source], evaluator.needs.attributes, f"The evaluator {name!r}")


def _kept_in(keep: str | Path, split: str, fingerprint: str) -> Path:
    return Path(keep) / f"{split}-{fingerprint}"


def _progress_bar(loader: TestLoader, shown: bool = True) -> tqdm:
    # A line every half minute is enough in a log file.
    pace = {} if sys.stderr.isatty() else {"mininterval": 30.0}
    return tqdm(total=len(loader), desc="measuring", unit="video", disable=not shown, **pace)


def _take_up(
    folder: Path | None, evaluators: Mapping[str, Evaluator], bad_log: BadVideoLog
) -> tuple[Path | None, set[int], int]:
    """Resume from what an earlier attempt has kept: its rows and bad videos become the main process's.

    Args:
        folder: in the main process: where that is, and where this attempt's are to go; None: nothing is kept.

    Returns:
        The folder, and the first indices of the chunks that are through, both in all processes; how many good videos
        this process has taken over.
    """
    done: set[int] = set()
    good = 0
    if folder is not None:
        for part in _kept_parts(folder, evaluators):
            done.add(part.first)
            for name, rows in part.rows.items():
                evaluators[name].rows.update(rows)
            _note(part, bad_log)
            good += part.good
        if done:
            logger.info("%d videos have been measured before: going on from %s", good, folder)
        elif any(folder.parent.glob("*/*.parts")):
            logger.info("%s is of other weights, videos, keys or code: measuring starts anew.", folder.parent)
    folder, done = all_gather_objects((folder, done))[0]
    return folder, done, good


def _kept_parts(
    folder: Path, evaluators: Mapping[str, Evaluator], others: Collection[int] = ()
) -> Iterator[ChunkResult]:
    """The chunks that an earlier attempt has kept and that are still whole.

    Args:
        others: first indices of chunks that are not asked for.
    """
    for part in read_chunks(folder):
        if part.first not in others and all(
            evaluators[name].is_there(row) for name, rows in part.rows.items() for row in rows.values()
        ):
            yield part


def _note(part: ChunkResult, bad_log: BadVideoLog) -> None:
    bad_log.seen(part.good)
    for video in part.bad:
        bad_log.add(video)


def _merge(evaluators: Mapping[str, Evaluator]) -> None:
    """Gather the rows of all processes in the main process, sorted by video index; the others have none left."""
    for name, evaluator in evaluators.items():
        own = np.array(sorted(evaluator.rows), dtype=np.int64)
        everywhere = gather_objects(own)
        videos, processes = np.unique(np.concatenate([own[:0], *everywhere]), return_counts=True)
        twice, most = all_gather_objects((videos[processes > 1][:5].tolist(), max(map(len, everywhere), default=0)))[0]
        if twice:
            raise RuntimeError(f"Evaluator {name!r} has rows of videos {twice} from two processes.")
        # In pieces: no process holds more than its own rows and a piece twice.
        for start in range(0, most, _ROWS_AT_ONCE):
            mine = () if is_main_process() else own[start : start + _ROWS_AT_ONCE].tolist()
            for rows in gather_objects({index: evaluator.rows[index] for index in mine}):
                evaluator.rows.update(rows)
        if not is_main_process():
            evaluator.rows = {}
        elif isinstance(evaluator.rows, dict):
            evaluator.rows = dict(sorted(evaluator.rows.items()))
