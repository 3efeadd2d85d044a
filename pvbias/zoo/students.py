"""Classifiers of single frames that others have trained: of scenes, say."""

from __future__ import annotations

from fvcore.common.config import CfgNode
from torch import nn

from ..errors import ConfigError
from ..registries import STUDENT
from .loading import load_module_weights


def trained_student(cfg: CfgNode, section: str, num_classes: int) -> nn.Module:
    """Build a frozen classifier of single frames that others have trained, its final projection, too, such as one of
    scenes.

    Args:
        cfg: completed configuration.
        section: of it; the section's ``CLASSIFIER`` is a name in the STUDENT registry, ``CHECKPOINT_FILE_PATH`` has
            the weights (of torchvision's layout, a wrapper's ``module.`` before the names or not).
        num_classes: K.

    Raises:
        ConfigError: no weights are named, they are of another number of classes, or the student is no image classifier.
        WeightsError: they cannot be had or do not fit.
    """
    options = cfg[section]
    own = cfg.clone()
    own.defrost()
    own.STUDENT.NAME, own.STUDENT.CHECKPOINT_FILE_PATH = options.CLASSIFIER, ""
    student: nn.Module = STUDENT.get(options.CLASSIFIER)(own, num_classes)
    key, head = f"{section}.CLASSIFIER", getattr(student, "head_name", "")
    if not head or not options.CHECKPOINT_FILE_PATH:
        raise ConfigError(
            f"{key} = {options.CLASSIFIER!r} has to be a trained image classifier: give its weights in "
            f"{section}.CHECKPOINT_FILE_PATH, and the name of one of torchvision's, or of a SpatialStudent."
        )
    network: nn.Module = student.classifier  # type: ignore[assignment]
    report = load_module_weights(network, head, options.CHECKPOINT_FILE_PATH, min_match=1.0, key=key)
    if not report.head_loaded:
        raise ConfigError(
            f"{key}: the classifier in {options.CHECKPOINT_FILE_PATH} tells another number of classes apart than "
            f"{num_classes}."
        )
    return student.requires_grad_(False)
