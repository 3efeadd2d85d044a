"""Early checks for missing files and impossible labels, before anything is decoded or trained."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from ..distributed import all_gather_objects, is_main_process
from ..errors import DataError, did_you_mean
from ..video.video import BadVideoError
from .bad_videos import BadVideo, BadVideoLog, count_causes
from .record_list import RecordSubset, field_of
from .records import VideoSource, check_label, is_possible

logger = logging.getLogger(__name__)


def look_up(source: VideoSource, log: BadVideoLog, *, split: str, num_classes: int | None = None) -> None:
    """Raise DataError where too many videos are missing or have labels of no class; to be called by all processes
    together.

    Where no more than ``log.max_fraction`` of them are missing or have a label out of range, nothing is listed: each
    is met, and listed, in its turn.

    Args:
        source: the videos; those that know no files (generated ones) are all there.
        log: lists them before the run ends.
        split: for the list.
        num_classes: K; None: labels are not looked at.

    Raises:
        DataError: more are bad than allowed. In all processes alike.
    """
    bad = all_gather_objects(list(_bad_videos(source, split, num_classes)) if is_main_process() else [])[0]
    total = len(source.records)
    if len(bad) <= log.max_fraction * total:
        return
    if is_main_process():
        log.add(*bad)
    examples = "".join(f"\n  {video}" for video in bad[:5])
    raise DataError(
        f"{len(bad)} of the {total} videos of {source.description} cannot be used ({count_causes(bad)}), more than "
        f"DATA.MAX_BAD_FRACTION = {log.max_fraction:g} allows. Nothing was decoded. Relative paths start from "
        f"DATA.PATH_PREFIX (--path-prefix), or from the list's own folder. All of them are in {log.path}:{examples}"
    )


def check_attributes(sources: Sequence[VideoSource], names: Sequence[str], asked_by: str) -> None:
    """Raise where no video has an attribute that is asked for; warn where some lack it.

    Args:
        sources: the videos.
        names: of the attributes.
        asked_by: what asks for them, for messages: a key, an evaluator.

    Raises:
        DataError: none has it.
    """
    if not names:
        return
    counts = Counter(name for source in sources for record in source.records for name in record.attributes)
    total = sum(len(source.records) for source in sources)
    listed = " or ".join(source.description for source in sources)
    for name in names:
        if not counts[name]:
            known = did_you_mean(name, counts) if counts else "Its videos have no attributes."
            raise DataError(f"{asked_by} asks for {name!r}, and no video of {listed} has it. {known}")
        if counts[name] < total and is_main_process():
            logger.warning(
                "%s asks for %r, and %d of the %d videos of %s do not have it.",
                *(asked_by, name, total - counts[name], total, listed),
            )


def find_missing(source: VideoSource) -> list[int]:
    """Numbers of the records whose file or folder is missing; none for a source without files, which has no
    ``missing()``."""
    return source.missing() if hasattr(source, "missing") else []


def _bad_videos(source: VideoSource, split: str, num_classes: int | None) -> Iterator[BadVideo]:
    records, missing = source.records, set(find_missing(source))
    labels = field_of(records, "label")
    # Of a million labels there are few different ones.
    wrong = set() if num_classes is None else {label for label in {*labels} if not is_possible(label, num_classes)}
    mislabelled = [index for index, label in enumerate(labels) if label in wrong] if wrong else []
    bad = sorted({*missing, *mislabelled})
    for index, record in zip(bad, RecordSubset(records, bad), strict=True):
        try:
            if index in missing:
                raise BadVideoError("missing", f"there is no file {record.path}")
            check_label(record.label, num_classes or 0)
        except BadVideoError as error:
            yield BadVideo.of(index, record, error, split)
