"""The weights that a run starts from: their address, class names and number of classes, and loading."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from ..data import build_source, count_classes
from ..data.labels import check_first_label, check_order, checkpoint_names, same_names
from ..distributed import is_main_process
from ..engine import otherwise_trained
from ..engine.checkpoint import is_training_checkpoint
from ..errors import WeightsError
from ..files import write_atomically
from ..models import Recognizer, find_model
from ..zoo import LoadReport, count_head_classes, fetch, load_extra_heads, load_weights, model_weights, peek_checkpoint
from ..zoo.configurations import other_clips, own_configuration
from ..zoo.heads import refuse_random_head

logger = logging.getLogger(__name__)

#: Where weights come from, in words.
TRAINED, RANDOM = "trained in this run", "random initialisation"

_LOADED = "loaded_weights.json"


def _checksum(cfg: CfgNode, source: str) -> str:
    """The SHA-256 that the configuration gives for a checkpoint, if it does."""
    return cfg.TRAIN.CHECKPOINT_SHA256 if source == cfg.TRAIN.CHECKPOINT_FILE_PATH else ""


def with_class_names(cfg: CfgNode, source: str) -> CfgNode:
    """The configuration, with the checkpoint for DATA.CLASS_NAMES_FILE where it knows the names of its outputs and
    keeps them: when it is measured, or trained further on a list of just these classes.

    Raises:
        ConfigError: DATA.CLASS_NAMES_FILE has them in another order, and the checkpoint is measured.
    """
    if not source or not (names := checkpoint_names(source, _checksum(cfg, source))):
        return cfg
    if cfg.DATA.CLASS_NAMES_FILE:
        if not cfg.TRAIN.ENABLE:
            check_order(cfg.DATA.CLASS_NAMES_FILE, names, source)
        return cfg
    if cfg.TRAIN.ENABLE and not same_names(build_source(cfg, "train").class_names, names):
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA.CLASS_NAMES_FILE = source
    return cfg


def num_classes_of(cfg: CfgNode, source: str) -> int:
    """The number of classes, where the configuration does not say: the training data's, else the checkpoint's, or the
    test data's."""
    if cfg.MODEL.NUM_CLASSES is not None:
        return cfg.MODEL.NUM_CLASSES
    if cfg.TRAIN.ENABLE or not source:
        videos = build_source(cfg, "train" if cfg.TRAIN.ENABLE else "test")
        counted = count_classes(videos)
        check_first_label(cfg, videos, counted - 1)
        return counted
    classes = head_classes(cfg, source)
    if classes is None:
        head = find_model(cfg).head
        raise WeightsError(
            f"{source!r} has no final projection for {cfg.MODEL.MODEL_NAME} ({head}.weight), so nothing says how "
            "many classes it tells apart. `pvbias inspect` shows which models it fits. A backbone alone is something "
            "to train from (`pvbias run`)."
        )
    return classes


def head_classes(cfg: CfgNode, source: str) -> int | None:
    """The number of classes of a checkpoint's final projection; None: it has none for this model."""
    path = fetch(source, _checksum(cfg, source))
    weights = model_weights(peek_checkpoint(path), path, cfg.CHECKPOINT.STATE_KEY)
    return count_head_classes(weights, find_model(cfg))


def load_and_account(cfg: CfgNode, recognizer: Recognizer, source: str, *, judged_by: Sequence[str]) -> dict[str, Any]:
    """Load the weights that the run starts from, and record what became of each key.

    Args:
        cfg, recognizer, source, judged_by: as of :func:`load`; ``source`` may be empty.

    Returns:
        What the results say of the weights.
    """
    if not source:
        if is_main_process():
            (Path(cfg.OUTPUT_DIR) / _LOADED).unlink(missing_ok=True)
        return {"weights": RANDOM, "load_summary": "", "cautions": []}
    return account(cfg, load(cfg, recognizer, source, judged_by=judged_by), source)


def account(cfg: CfgNode, report: LoadReport, source: str) -> dict[str, Any]:
    """Record what became of each key of a checkpoint; return what the results say of the weights."""
    if is_main_process():
        logger.info("%s", report)
        text = json.dumps(report.to_dict(), indent=1) + "\n"
        write_atomically(Path(cfg.OUTPUT_DIR) / _LOADED, text.encode())
    cautions, training = [report.caution] if report.caution else [], ""
    if not cfg.TRAIN.ENABLE:
        checkpoint = peek_checkpoint(report.path)
        cautions += _without_flow(cfg, report)
        cautions += _other_clips(cfg, source, checkpoint) + changed_on_the_way(checkpoint.get("history", ()))
        if is_training_checkpoint(checkpoint):
            training = own_configuration(checkpoint).get("OBJECTIVE.NAME", "")
            cautions += _other_training(cfg, source, checkpoint)
    return {"weights": source, "load_summary": str(report), "cautions": cautions, "training": training}


def _without_flow(cfg: CfgNode, report: LoadReport) -> list[str]:
    """A caution for the page: the weights are of a network on RGB, and the model sees optical flow."""
    if not report.averaged or cfg.DATA.MODALITY == "rgb":
        return []
    caution = (
        f"{report.source} has weights on RGB, averaged for optical flow ({', '.join(report.averaged)}): nothing has "
        "trained them to see it. They are something to train from."
    )
    if is_main_process():
        logger.warning("%s", caution)
    return [caution]


def _other_training(cfg: CfgNode, source: str, checkpoint: Mapping[str, Any]) -> list[str]:
    """A caution for the page: the run's configuration is not the one by which the weights in its own folder were
    trained."""
    if not Path(source).resolve().is_relative_to((Path(cfg.OUTPUT_DIR) / "checkpoints").resolve()):
        return []  # what a configuration says of training, it then says of nothing
    changes = otherwise_trained(cfg, checkpoint)
    if not changes:
        return []
    caution = (
        "The weights are those that the folder holds, and were not trained as the configuration on this page says. "
        f"{'; '.join(changes)}."
    )
    if is_main_process():
        logger.warning("%s", caution)
    return [caution]


def _other_clips(cfg: CfgNode, source: str, checkpoint: Mapping[str, Any]) -> list[str]:
    """A caution for the page: a checkpoint's own configuration has other clips than are evaluated."""
    other = other_clips(checkpoint, cfg.DATA)
    if not other:
        return []
    listed = "; ".join(f"{key} {theirs} (here {ours})" for key, (theirs, ours) in other.items())
    caution = (
        f"The configuration in {source} has other clips than are measured: {listed}. To measure on those that it was "
        "trained on, set these keys; `pvbias inspect` writes the command."
    )
    if is_main_process():
        logger.warning("%s", caution)
    return [caution]


def changed_on_the_way(history: Sequence[str]) -> list[str]:
    """A caution for the page: the history of a training, as :class:`pvbias.engine.TrainSummary` and checkpoints have
    it."""
    if not history:
        return []
    return [
        f"The training did not go on as it had begun ({'; '.join(history)}): from beginning to end in the one way or "
        "in the other it would have given other weights."
    ]


def load(cfg: CfgNode, recognizer: Recognizer, source: str, *, judged_by: Sequence[str]) -> LoadReport:
    """Load a checkpoint as the configuration says, for measuring with the weights of extra heads; in a training these
    begin anew.

    Args:
        cfg: completed configuration.
        recognizer: to load it into.
        source: of the weights.
        judged_by: names of the evaluators that read the recognizer's predictions, without any training before.

    Raises:
        WeightsError: it does not fit, or nothing has trained the head that is to be judged.
    """
    report = load_weights(
        recognizer,
        source,
        sha256=_checksum(cfg, source),
        min_match=cfg.CHECKPOINT.MIN_MATCH,
        state_key=cfg.CHECKPOINT.STATE_KEY,
    )
    if judged_by:
        refuse_random_head(recognizer, report, judged_by)
    checkpoint = peek_checkpoint(report.path)
    if not cfg.TRAIN.ENABLE:
        load_extra_heads(recognizer, checkpoint, source)
    elif checkpoint.get("extra_heads") and is_main_process():
        names = ", ".join(sorted({key.rpartition("_head.")[0] for key in checkpoint["extra_heads"]}))
        logger.warning(
            "%s has heads beside the model's own (%s), which a training does not take over: %s.",
            source,
            names,
            "those of MODEL.EXTRA_HEADS start from random weights"
            if len(recognizer.extra_heads)
            else "it has none without MODEL.EXTRA_HEADS",
        )
    return report
