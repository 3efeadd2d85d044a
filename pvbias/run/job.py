"""The main job: train a model, test it, measure its bias, write the report, as a configuration says."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from ..clips import ORIGINAL
from ..config import complete, save_cfg
from ..config.lists import configured_streams
from ..config.loading import import_all
from ..data import (
    BadVideo,
    BadVideoLog,
    VideoSource,
    build_source,
    forget,
    look_up,
)
from ..data.labels import check_labels, check_same_kind
from ..data.lookup import check_attributes
from ..data.streams import build_stream, is_labelled
from ..data.workers import refuse_in_import
from ..distributed import barrier, is_main_process
from ..engine import identify, newest_checkpoint, refuse_another_training, train
from ..engine.hooks import Validate
from ..engine.identity import Identity
from ..engine.metric_log import FILE_NAME as TRAIN_LOG
from ..engine.seeding import seed_everything
from ..errors import ConfigError
from ..evaluation import Accuracy, Evaluator, Result, measure_shard, run_evaluators
from ..evaluation.runner import check_needs
from ..models import Recognizer, build_recognizer
from ..registries import EVALUATOR
from ..report import TRAINING, read_training, write_report, write_results
from ..report.console import headline_table
from ..report.folder import read_document, remove_files
from ..runtime import Settings, choose_settings
from ..shard import Shard
from .description import describe_run, describe_sampling, describe_views
from .log import kept_log, log_known_issues
from .paths import check_output_dir, check_paths, weights_source
from .starting_weights import (
    RANDOM,
    TRAINED,
    changed_on_the_way,
    load,
    load_and_account,
    num_classes_of,
    with_class_names,
)

logger = logging.getLogger(__name__)


def run(cfg: CfgNode) -> None:
    """Do what ``TRAIN.ENABLE``, ``TEST.ENABLE`` and ``BIAS.ENABLE`` ask for; call in every process of the run.

    Writes into ``OUTPUT_DIR``: ``config.yaml``, ``loaded_weights.json`` (what became of each key of the checkpoint that
    the run starts from), ``checkpoints/`` and ``train_log.jsonl`` (training), ``results.json``, ``tables/``,
    ``images/``, ``per_video.npz`` and ``report.html`` (testing, measuring), ``predictions.npz`` (testing),
    ``bad_videos.jsonl``, ``log.txt`` (what is logged, attempt after attempt);
    ``partial/``, which a measurement that was killed goes on from, until the results are there. Results of the same
    model that are there already are removed before it is measured again.

    Args:
        cfg: a checked configuration (:func:`pvbias.config.load_cfg`), not completed.

    Raises:
        PvbiasError: see :mod:`pvbias.errors`; ConfigError where ``OUTPUT_DIR`` holds another training, or results of
            another model.
    """
    refuse_in_import()
    import_all(cfg)  # a process that has the configuration from another one knows none
    measuring = cfg.TEST.ENABLE or cfg.BIAS.ENABLE
    if not (cfg.TRAIN.ENABLE or measuring):
        raise ConfigError("TRAIN.ENABLE, TEST.ENABLE and BIAS.ENABLE are all False: there is nothing to do")
    check_output_dir(cfg.OUTPUT_DIR)
    started = time.time()
    source = weights_source(cfg)
    check_paths(cfg, source)
    cfg = with_class_names(cfg, source)
    cfg = complete(cfg, num_classes=num_classes_of(cfg, source))
    sources = _labelled_sources(cfg)
    identity: Identity = {}
    if cfg.TRAIN.ENABLE:
        identity = identify(cfg, {split: videos for split, videos in sources.items() if split != "test"})
        refuse_another_training(cfg, identity)
    if measuring:
        _refuse_other_results(cfg, cfg.MODEL.MODEL_NAME, TRAINED if cfg.TRAIN.ENABLE else source or RANDOM)
    # Nothing in the folder has been changed so far.
    with kept_log(cfg.OUTPUT_DIR):
        _train_and_measure(cfg, source, sources, identity, started)


def _train_and_measure(
    cfg: CfgNode, source: str, sources: Mapping[str, VideoSource], identity: Identity, started: float
) -> None:
    """The rest of :func:`run` with a completed configuration; ``source``: of the weights that it starts from."""
    measuring = cfg.TEST.ENABLE or cfg.BIAS.ENABLE
    log_known_issues(cfg)
    _prepare_folder(cfg)
    for split, videos in sources.items():
        _look_up(cfg, videos, split)

    # Processes are started with this seed, and Python's own are not: the same weights either way.
    seed_everything(cfg.RNG_SEED)
    recognizer = build_recognizer(cfg)
    if cfg.TRAIN.ENABLE and measuring:  # what cannot be measured is said before the training
        test = sources["test"]
        check_needs(test, _evaluators(cfg, recognizer, test.class_names, _evaluator_names(cfg)))
    weights = load_and_account(cfg, recognizer, source, judged_by=_judges(cfg, recognizer))
    if measuring and is_main_process():
        remove_files(cfg.OUTPUT_DIR)
    if cfg.TRAIN.ENABLE:
        validate = _validation(cfg, recognizer, sources.get("val"))
        streams = {name: sources[name] for name in configured_streams(cfg)}
        trained = train(cfg, recognizer, sources["train"], streams=streams, validate=validate, identity=identity)
        weights["training"] = trained.objective
        weights["weights"] = f"{TRAINED}, from {weights['weights']}"
        weights["cautions"] += changed_on_the_way(trained.history)
    if measuring:
        _measure_and_write(cfg, recognizer, sources["test"], weights, started)


def run_shard(cfg: CfgNode, shard: Shard) -> None:
    """Evaluate a shard of the test split, in one process, while others evaluate theirs; :func:`run` with the same
    configuration then evaluates what is left and writes the results, the same as without shards.

    Writes into ``OUTPUT_DIR/partial``.

    Args:
        cfg: a checked configuration (:func:`pvbias.config.load_cfg`), not completed.
        shard: which part.

    Raises:
        PvbiasError: see :mod:`pvbias.errors`; ConfigError for a configuration that trains.
    """
    import_all(cfg)
    if cfg.TRAIN.ENABLE or not (cfg.TEST.ENABLE or cfg.BIAS.ENABLE):
        raise ConfigError(
            "Only a measurement is done in parts: set TRAIN.ENABLE to False, and TEST.ENABLE or BIAS.ENABLE to True."
        )
    check_output_dir(cfg.OUTPUT_DIR)
    weights = weights_source(cfg)
    check_paths(cfg, weights)
    cfg = with_class_names(cfg, weights)
    cfg = complete(cfg, num_classes=num_classes_of(cfg, weights))
    _refuse_other_results(cfg, cfg.MODEL.MODEL_NAME, weights or RANDOM)
    source = build_source(cfg, "test")
    _check_test(cfg, source)
    recognizer = build_recognizer(cfg)
    if weights:
        load(cfg, recognizer, weights, judged_by=_judges(cfg, recognizer))
    settings = choose_settings(cfg, recognizer, training=False)
    settings.place(recognizer)
    evaluators = _evaluators(cfg, recognizer, source.class_names, _evaluator_names(cfg))
    measure_shard(cfg, recognizer, source, evaluators, shard, settings=settings, keep=_partial(cfg))


def measure(cfg: CfgNode, recognizer: Recognizer) -> dict[str, Result]:
    """Evaluate a recognizer that exists already, such as a network of your own in :meth:`.Recognizer.wrap`.

    What ``TEST.ENABLE`` and ``BIAS.ENABLE`` ask for, on the test split, as :func:`run` does it for a model that it
    builds; it writes the same files into ``OUTPUT_DIR``. What the configuration says of a model to build, of weights
    to load and of training has no part in it. Keys of ``DATA`` that are None are filled from ``recognizer.clip_spec``.

    Args:
        cfg: a checked configuration (:func:`pvbias.config.load_cfg`), not completed. ``MODEL.MODEL_NAME`` may be empty:
            the report then has the name of the network's class.
        recognizer: with its weights. It is moved to the device and into the memory format chosen for measuring.

    Returns:
        Results by evaluator name (in several processes: in the main one only).

    Raises:
        PvbiasError: see :mod:`pvbias.errors`.
    """
    refuse_in_import()
    import_all(cfg)
    started = time.time()
    if not (cfg.TEST.ENABLE or cfg.BIAS.ENABLE):
        raise ConfigError("TEST.ENABLE and BIAS.ENABLE are both False: there is nothing to measure")
    check_output_dir(cfg.OUTPUT_DIR)
    spec, classes = recognizer.clip_spec, recognizer.num_classes
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAIN.ENABLE = False
    cfg = complete(cfg, num_classes=classes, clip_spec=spec)
    for key, given, own in (
        ("DATA.MEAN", list(cfg.DATA.MEAN), list(spec.mean)),
        ("DATA.STD", list(cfg.DATA.STD), list(spec.std)),
        ("MODEL.NUM_CLASSES", cfg.MODEL.NUM_CLASSES, classes),
    ):
        if given != own:
            raise ConfigError(f"{key} = {given}, but that of the recognizer is {own}: leave the key out.")
    weights = {"weights": "those that the recognizer had", "load_summary": ""}
    _refuse_other_results(cfg, _model_name(cfg, recognizer), weights["weights"])
    with kept_log(cfg.OUTPUT_DIR):
        log_known_issues(cfg)
        _prepare_folder(cfg)
        source = build_source(cfg, "test")
        _check_test(cfg, source)
        _look_up(cfg, source, "test")
        if is_main_process():
            remove_files(cfg.OUTPUT_DIR)
        return _measure_and_write(cfg, recognizer, source, weights, started)


def _prepare_folder(cfg: CfgNode) -> None:
    """Save the configuration in ``OUTPUT_DIR`` and forget the bad videos of what is read anew; in all processes."""
    if is_main_process():
        save_cfg(cfg, cfg.OUTPUT_DIR)
        forget(cfg.OUTPUT_DIR, _splits_read_anew(cfg))
    barrier()


def _labelled_sources(cfg: CfgNode) -> dict[str, VideoSource]:
    """The videos of each split and stream that has a part in the run; labels are the model's classes."""
    wanted = {
        "train": cfg.TRAIN.ENABLE,
        "val": cfg.TRAIN.ENABLE and cfg.TRAIN.EVAL_PERIOD > 0,
        "test": cfg.TEST.ENABLE or cfg.BIAS.ENABLE,
    }
    sources = {split: build_source(cfg, split) for split, is_wanted in wanted.items() if is_wanted}
    if cfg.TRAIN.ENABLE:
        sources |= {name: build_stream(cfg, name) for name in configured_streams(cfg)}
    for split, videos in sources.items():
        if not is_labelled(cfg, split):
            continue
        if split == "test":
            _check_test(cfg, videos)
        else:
            check_labels(cfg, videos)
        if "train" in sources and videos is not sources["train"]:
            check_same_kind(cfg, sources["train"], videos)
    return sources


def _check_test(cfg: CfgNode, source: VideoSource) -> None:
    """Raise where the test videos cannot be evaluated as they are described."""
    check_labels(cfg, source)
    check_attributes([source], cfg.BIAS.BREAK_DOWN_BY, "BIAS.BREAK_DOWN_BY")


def _look_up(cfg: CfgNode, source: VideoSource, split: str) -> None:
    """Raise DataError where too many of the videos of a split are missing; in all processes."""
    if cfg.DATA.MODALITY != "flow":  # where nothing but their optical flow is read
        log = BadVideoLog(cfg.OUTPUT_DIR, cfg.DATA.MAX_BAD_FRACTION)
        classes = cfg.MODEL.NUM_CLASSES if is_labelled(cfg, split) else None
        look_up(source, log, split=split, num_classes=classes)


def _measure_and_write(
    cfg: CfgNode, recognizer: Recognizer, source: VideoSource, weights: Mapping[str, Any], started: float
) -> dict[str, Result]:
    settings = choose_settings(cfg, recognizer, training=False)
    settings.place(recognizer)
    bad_log = BadVideoLog(cfg.OUTPUT_DIR, cfg.DATA.MAX_BAD_FRACTION)
    if is_main_process():
        logger.info(
            "Clips: %s (%s); %s of %d pixels, of frames whose short side is %d",
            *(describe_sampling(cfg), cfg.DATA.TEMPORAL_SAMPLING, describe_views(cfg)),
            *(cfg.DATA.TEST_CROP_SIZE, cfg.DATA.TEST_SHORT_SIDE),
        )
    results = _measure(cfg, recognizer, source, _evaluator_names(cfg), settings, bad_log, keep=_partial(cfg))
    bad, counts = bad_log.videos(), bad_log.summary()
    measured = counts["read"] - counts["bad"]
    if is_main_process():
        model = {"model": _model_name(cfg, recognizer), **weights}
        _write(cfg, source, results, settings.describe(recognizer), measured, bad, model, started)
        shutil.rmtree(_partial(cfg), ignore_errors=True)
    return results


def _model_name(cfg: CfgNode, recognizer: Recognizer) -> str:
    return cfg.MODEL.MODEL_NAME or type(recognizer.module).__name__


def _refuse_other_results(cfg: CfgNode, model: str, weights: str) -> None:
    """Raise ConfigError where ``OUTPUT_DIR`` holds results of another model: evaluating again replaces the results, and
    is meant for the same model, or for a training's own folder. In all processes."""
    document = read_document(cfg.OUTPUT_DIR)
    folder = Path(cfg.OUTPUT_DIR)
    if document and "run" not in document:
        raise ConfigError(f"OUTPUT_DIR = {cfg.OUTPUT_DIR!r} holds results that are not a run's: give another folder.")
    before = document.get("run")
    if before and (before["model"], _origin(before["weights"], folder)) != (model, _origin(weights, folder)):
        raise ConfigError(
            f"OUTPUT_DIR = {cfg.OUTPUT_DIR!r} holds results of another model: of {before['model']} with the weights "
            f"{before['weights']!r}, and now {model} with the weights {weights!r} would be measured. Give another "
            "folder, or remove that one."
        )
    barrier()  # nobody changes the folder before all have looked


def _origin(weights: str, folder: Path) -> str:
    """The origin of weights, for comparison: those of the folder's own training are the same ones."""
    path = Path(weights).expanduser().resolve()
    if weights.startswith(TRAINED) or path.is_relative_to((folder / "checkpoints").resolve()):
        return TRAINED
    return str(path) if path.exists() else weights


def _partial(cfg: CfgNode) -> Path:
    """The folder of partial results, from which a killed evaluation resumes."""
    return Path(cfg.OUTPUT_DIR) / "partial"


def _splits_read_anew(cfg: CfgNode) -> set[str]:
    splits = {"test"} if cfg.TEST.ENABLE or cfg.BIAS.ENABLE else set()
    if cfg.TRAIN.ENABLE and not (cfg.TRAIN.AUTO_RESUME and newest_checkpoint(cfg.OUTPUT_DIR)):
        splits |= {"train", "val", *configured_streams(cfg)}
    return splits


def _evaluator_names(cfg: CfgNode) -> list[str]:
    return (["accuracy"] if cfg.TEST.ENABLE else []) + (list(cfg.BIAS.EVALUATORS) if cfg.BIAS.ENABLE else [])


def _judges(cfg: CfgNode, recognizer: Recognizer) -> list[str]:
    """Names of the evaluators that read the predictions of the weights as they are loaded."""
    if cfg.TRAIN.ENABLE:
        return []
    evaluators = _evaluators(cfg, recognizer, (), _evaluator_names(cfg))
    return [name for name, evaluator in evaluators.items() if evaluator.needs.modulations]


def _evaluators(
    cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str], names: Sequence[str]
) -> dict[str, Evaluator]:
    made: dict[str, Evaluator] = {name: EVALUATOR.get(name)(cfg, recognizer, class_names) for name in names}
    if "accuracy" in made:
        # It keeps the predictions: all that the figures of predictions are made of.
        judging = [each for each in made.values() if each.of_predictions]
        wanted = [modulation.spec for each in judging for modulation in each.modulations().values()]
        made["accuracy"].kept = tuple(variant for variant in dict.fromkeys(wanted) if variant != ORIGINAL)
        for name, each in made.items():
            if name != "accuracy" and isinstance(each, Accuracy):
                each.keeps_predictions = False
    return made


def _measure(
    cfg: CfgNode,
    recognizer: Recognizer,
    source: VideoSource,
    names: list[str],
    settings: Settings,
    bad_log: BadVideoLog,
    split: str = "test",
    keep: Path | None = None,
) -> dict[str, Result]:
    evaluators = _evaluators(cfg, recognizer, source.class_names, names)
    return run_evaluators(
        cfg, recognizer, source, evaluators, settings=settings, bad_log=bad_log, split=split, keep=keep
    )


def _validation(cfg: CfgNode, recognizer: Recognizer, source: VideoSource | None) -> Validate | None:
    """The validation that the trainer calls every ``TRAIN.EVAL_PERIOD`` epochs: video-level accuracy on the validation
    split."""
    if source is None:
        return None
    settings = choose_settings(cfg, recognizer, training=False)

    def validate() -> Mapping[str, float]:
        bad_log = BadVideoLog(cfg.OUTPUT_DIR, cfg.DATA.MAX_BAD_FRACTION)
        results = _measure(cfg, recognizer, source, ["accuracy"], settings, bad_log, split="val")
        return {
            figure.name: figure.value
            for result in results.values()
            for figure in result.figures
            if figure.level == "video" and figure.value is not None
        }

    return validate


def _write(
    cfg: CfgNode,
    source: VideoSource,
    results: dict[str, Result],
    settings: Mapping[str, str],
    measured: int,
    bad: Sequence[BadVideo],
    model: Mapping[str, Any],
    started: float,
) -> None:
    trained = read_training(Path(cfg.OUTPUT_DIR) / TRAIN_LOG)
    if trained is not None and _origin(model["weights"], Path(cfg.OUTPUT_DIR)) == TRAINED:
        results = {**results, TRAINING: trained}
    described = describe_run(
        cfg, source, results, settings=settings, measured=measured, bad=bad, model=model, started=started
    )
    write_results(cfg.OUTPUT_DIR, described)
    page = write_report(cfg.OUTPUT_DIR)
    logger.info("Results: %s\n\n%s\n", page, headline_table([described]))
