"""Extraction of features: one pass over the videos of a list, for the layers and modulations that are not there yet."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode

from ..config import complete, save_cfg
from ..config.effects import effects, flat
from ..config.keys import Effect
from ..config.loading import import_all
from ..data import BadVideoLog, RecordSubset, VideoRecord, VideoSource, build_source, forget, list_fingerprints, look_up
from ..data.attributes import Attribute
from ..data.labels import checkpoint_names
from ..data.workers import refuse_in_import
from ..distributed import barrier, is_main_process
from ..engine.seeding import seed_everything
from ..errors import ConfigError, DataError
from ..evaluation import measure_shard, run_evaluators
from ..evaluation.partial import weights_fingerprint
from ..models import Recognizer, build_recognizer
from ..run.description import describe_sampling, describe_views
from ..run.log import kept_log, log_known_issues
from ..run.paths import check_output_dir, check_paths, weights_source
from ..run.starting_weights import RANDOM, account, head_classes, load, num_classes_of
from ..runtime import Settings, choose_settings
from ..shard import Shard
from ..video.video import Video
from .folder import (
    LOGITS,
    MANIFEST,
    Features,
    Fingerprint,
    Key,
    Label,
    read_features,
    write_manifest,
    write_videos,
    write_views,
)
from .labels import Labels, labels_of
from .writer import FeatureWriter

logger = logging.getLogger(__name__)

#: In the folder of the features, until they are there.
_PARTIAL = "partial"


def extract(cfg: CfgNode) -> None:
    """Extract features of the videos of FEATURES.SPLIT into ``OUTPUT_DIR``; call in every process of the run.

    What is there already, of the same network, videos and settings, is kept and not computed again; labels, attributes
    and class names are those of the list as it is now. Killed, the same call goes on.

    Args:
        cfg: a checked configuration (:func:`pvbias.config.load_cfg`), not completed. Weights are those of
            TEST.CHECKPOINT_FILE_PATH, and random where that and TRAIN.CHECKPOINT_FILE_PATH are empty.

    Raises:
        PvbiasError: see :mod:`pvbias.errors`; DataError where ``OUTPUT_DIR`` has features of another network or list,
            or made with other settings.
    """
    refuse_in_import()
    work = _prepare(cfg)
    with kept_log(work.cfg.OUTPUT_DIR):
        _extract(work)


def extract_shard(cfg: CfgNode, shard: Shard) -> None:
    """Extract features of a shard of the videos, in one process, while others do theirs; :func:`extract` with the same
    configuration then does what is left and puts all in order, the same as without shards.

    Args:
        cfg: as for :func:`extract`.
        shard: which part.

    Raises:
        PvbiasError: see :mod:`pvbias.errors`.
    """
    work = _prepare(cfg)
    if work.missing:
        measure_shard(
            work.cfg,
            work.recognizer,
            _Unlabelled(work.source),
            {"features": work.writer()},
            shard,
            settings=work.settings,
            keep=work.folder / _PARTIAL,
            split=work.cfg.FEATURES.SPLIT,
        )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be done.

    Attributes:
        cfg: completed.
        recognizer: with its weights, on its device.
        source: of the videos.
        labels: of them.
        settings: of this machine.
        fingerprint: of the features.
        logit_names: names of the classes that the logits are of; empty: not known.
        existing: features that are there already.
        missing: the arrays to compute.
    """

    cfg: CfgNode
    recognizer: Recognizer
    source: VideoSource
    labels: Labels
    settings: Settings
    fingerprint: Fingerprint
    logit_names: Sequence[str]
    existing: Features | None
    missing: Sequence[Key]

    @property
    def folder(self) -> Path:
        return Path(self.cfg.OUTPUT_DIR)

    def writer(self) -> FeatureWriter:
        parts = self.folder / _PARTIAL / "arrays"
        return FeatureWriter(self.cfg, self.recognizer, self.missing, parts, self.folder)


def _prepare(cfg: CfgNode) -> _Work:
    """Find out what is to be done; nothing is written."""
    import_all(cfg)
    if cfg.TRAIN.ENABLE:
        raise ConfigError("Features are extracted from a network that is there: set TRAIN.ENABLE to False.")
    folder = Path(cfg.OUTPUT_DIR)
    check_output_dir(folder)
    taken = next((each for each in ("results.json", "checkpoints") if (folder / each).exists()), None)
    if taken:
        raise ConfigError(f"OUTPUT_DIR = {cfg.OUTPUT_DIR!r} is the folder of a run ({taken}): give features their own.")
    weights = weights_source(cfg)
    check_paths(cfg, weights)
    classes = cfg.MODEL.NUM_CLASSES
    if classes is None:
        classes = head_classes(cfg, weights) if weights else num_classes_of(cfg, weights)
    has_head = classes is not None
    cfg = complete(cfg, num_classes=classes or 2)  # of a head that nothing is made of
    source = build_source(cfg, cfg.FEATURES.SPLIT)
    labels = labels_of(source, cfg.FEATURES.LABELS_FROM)
    seed_everything(cfg.RNG_SEED)  # the weights where nothing is loaded
    recognizer = build_recognizer(cfg)
    if weights:
        report = load(cfg, recognizer, weights, judged_by=())
        has_head = report.head_loaded
        account(cfg, report, weights)
    settings = choose_settings(cfg, recognizer, training=False)
    settings.place(recognizer)
    layers = list(dict.fromkeys([*cfg.FEATURES.LAYERS, *([LOGITS] if has_head else [])]))
    if not has_head and is_main_process():
        logger.warning("%s does not fill the final projection: there are no logits among the features.", weights)
    wanted = [(layer, modulation) for layer in layers for modulation in dict.fromkeys(cfg.FEATURES.MODULATIONS)]
    fingerprint = Fingerprint(
        model=cfg.MODEL.MODEL_NAME,
        weights=weights or f"{RANDOM}, RNG_SEED {cfg.RNG_SEED}",
        weights_digest=weights_fingerprint(recognizer),
        videos=source.description,
        videos_digest=_videos_digest(source),
        settings=_settings(cfg, settings),
    )
    existing = read_features(folder) if (folder / MANIFEST).exists() else None
    if existing is not None:
        _refuse_other(folder, existing.fingerprint, fingerprint)
    return _Work(
        cfg=cfg,
        recognizer=recognizer,
        source=source,
        labels=labels,
        settings=settings,
        fingerprint=fingerprint,
        logit_names=checkpoint_names(weights) if weights and has_head else (),
        existing=existing,
        missing=[key for key in wanted if existing is None or key not in existing.arrays],
    )


def _extract(work: _Work) -> None:
    cfg, folder, existing = work.cfg, work.folder, work.existing
    log_known_issues(cfg)
    shards: dict[Key, list[str]] = {}
    numbers, views = np.empty(0, np.int64), None
    if existing is not None:
        shards = {key: found.files for key, found in existing.arrays.items()}
        numbers, views = existing.numbers, next(iter(existing.arrays.values())).views
        if is_main_process():
            logger.info("There already: %s. To compute: %s.", _listed([*shards]), _listed(work.missing) or "nothing")
    if work.missing:
        barrier()  # all have looked at what is there
        if is_main_process():
            save_cfg(cfg, cfg.OUTPUT_DIR)
            forget(folder, {cfg.FEATURES.SPLIT})
        barrier()
        bad_log = BadVideoLog(folder, cfg.DATA.MAX_BAD_FRACTION)
        look_up(work.source, bad_log, split=cfg.FEATURES.SPLIT)
        writer = work.writer()
        run_evaluators(
            cfg,
            work.recognizer,
            _Unlabelled(work.source),
            {"features": writer},
            settings=work.settings,
            bad_log=bad_log,
            split=cfg.FEATURES.SPLIT,
            keep=folder / _PARTIAL,
        )
        if is_main_process():
            if existing is not None:
                _refuse_other_videos(work, existing, writer)
            shards |= writer.shards
            numbers = writer.videos
            views = writer.views if len(np.unique(writer.views)) > 1 else None
    if is_main_process():
        if views is not None:
            write_views(folder, views)
        write_videos(folder, _lines(work, numbers))
        write_manifest(
            folder,
            shards,
            num_classes=work.labels.num_classes,
            class_names=work.labels.class_names,
            logit_names=work.logit_names,
            fingerprint=work.fingerprint,
            uneven=views is not None,
            versions=existing.versions if existing is not None else None,
        )
        shutil.rmtree(folder / _PARTIAL, ignore_errors=True)
        logger.info("Features of %d videos: %s", len(numbers), folder)
    barrier()


def _lines(work: _Work, numbers: np.ndarray) -> Iterator[tuple[int, str, Label, Mapping[str, Attribute]]]:
    records = RecordSubset(work.source.records, numbers)
    for number, record in zip(numbers.tolist(), records, strict=True):
        yield number, record.name, work.labels.of(record), record.attributes


def _listed(keys: Sequence[Key]) -> str:
    return ", ".join(f"{layer} on {modulation} clips" for layer, modulation in keys)


def _videos_digest(source: VideoSource) -> str:
    """Fingerprint of a list without its labels, 16 hexadecimal digits."""
    found = list_fingerprints(_Unlabelled(source))
    return "-".join(digest[:8] for digest in found.values())


#: Keys of DATA that are of training alone.
_OF_TRAINING = ("DATA.TRAIN_", "DATA.RANDOM_FLIP", "DATA.MASK_DIR", "DATA.STREAMS")


def _settings(cfg: CfgNode, settings: Settings) -> dict[str, str]:
    """What features depend on beside network and videos: in words, and the keys."""
    declared = effects(cfg)
    matters = (Effect.EVERYTHING, Effect.VIEWS)
    keys = {
        key: str(value)
        for key, value in flat(cfg)
        if key.split(".")[0] in ("DATA", "TEST")
        and declared.get(key, Effect.EVERYTHING) in matters
        and not key.startswith(_OF_TRAINING)
    }
    return {
        "sampling": describe_sampling(cfg),
        "views": describe_views(cfg),
        "precision": settings.precision,
        "RNG_SEED": str(cfg.RNG_SEED),
        "FEATURES.POOL": cfg.FEATURES.POOL,
        "FEATURES.DTYPE": cfg.FEATURES.DTYPE,
        **keys,
    }


def _refuse_other(folder: Path, there: Fingerprint, now: Fingerprint) -> None:
    """Raise DataError where a folder has features of something else."""
    changed = []
    if there.network != now.network:
        changed.append(
            f"of {there.model} with the weights {there.weights!r} ({there.weights_digest}), and now it is {now.model} "
            f"with {now.weights!r} ({now.weights_digest})"
        )
    if there.videos_digest != now.videos_digest:
        changed.append(
            f"of the videos of {there.videos!r} ({there.videos_digest}), and now they are those of {now.videos!r} "
            f"({now.videos_digest}: other names, parts, sizes or order)"
        )
    for name in dict.fromkeys([*there.settings, *now.settings]):
        if there.settings.get(name) != now.settings.get(name):
            changed.append(f"with {name} {there.settings.get(name)}, and now it is {now.settings.get(name)}")
    if changed:
        raise DataError(f"{folder} has features {'; '.join(changed)}. Give another folder, or remove that one.")


def _refuse_other_videos(work: _Work, existing: Features, writer: FeatureWriter) -> None:
    """Raise DataError where other videos could be used than those that there are features of."""
    changed = sorted({*existing.numbers.tolist()} ^ {*writer.videos.tolist()})
    if changed:
        names = [work.source.records[number].name for number in changed[:5]]
        raise DataError(
            f"{work.folder} has features of {len(existing)} videos, and now {len(writer.videos)} could be used: "
            f"different are {names}. See {work.folder / 'bad_videos.jsonl'}; mend the videos, or give another folder."
        )


class _Unlabelled:
    """The same videos without labels and class names, which need not be the network's, and on which no feature
    depends."""

    class_names: Sequence[str] = ()

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self.records: Sequence[VideoRecord] = RecordSubset(source.records, range(len(source.records)), labelled=False)

    @property
    def description(self) -> str:
        return self._source.description

    def open(self, record: VideoRecord) -> Video:
        return self._source.open(record)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):  # also while it is unpickled
            raise AttributeError(name)
        return getattr(self._source, name)  # what some sources have beside, such as flow
