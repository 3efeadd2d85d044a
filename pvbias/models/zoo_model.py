"""Catalogue entries of models: architecture, clips and published weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode
from torch import nn

from ..clips import ClipSpec, Pathways, single_pathway


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A published checkpoint.

    Attributes:
        url: where it is.
        num_classes: of its head.
        top1: published top-1 accuracy in percent, where there is one.
        sha256: of the file, where known; verified after fetching.
        class_names: of its outputs, in order; empty: not known.
        clips: attributes in which the clips that it was trained on differ from the model's ``clip_spec``.
    """

    url: str
    num_classes: int
    top1: float | None = None
    sha256: str = ""
    class_names: Sequence[str] = ()
    clips: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(f"{self.url}: {len(self.class_names)} class names for {self.num_classes} classes")


@dataclass(frozen=True, kw_only=True, eq=False)
class ZooModel:
    """One architecture of a zoo; registered in MODEL under its zoo name.

    Attributes:
        zoo: name of the zoo, the first part of ``zoo://<zoo>/<model>/<weights>``.
        build: ``build(num_classes=, num_frames=, crop_size=)`` gives the bare zoo module for clips of that size,
            returning logits. Raises ConfigError for sizes that the architecture cannot take.
        clip_spec: the clips its checkpoints were trained on.
        head: dotted name of the final projection inside the module.
        pathways: packs a clip into the module's input.
        weights: published checkpoints by name (usually the training set, ``kinetics400``).
        fixed_size: a module takes crops of ``crop_size`` only, and no larger ones in testing.
        stages: dotted name, inside the module, of the list of modules that, applied one after another, are the whole
            module (PyTorchVideo's ``blocks``); one pathway only. Empty: it is not made that way.
        tap: dotted name, inside the module, of what gives the feature maps that others start from (decoders): far
            enough inside that they stand for a good part of the network, and not so far that nothing is left of where
            things are. Empty: whoever needs one looks for it.
        save: ``save(module, folder, class_names)`` writes a built module with its weights, and the names of its classes
            where they are known, as a folder that the library it comes from loads. None: that loads files of weights.
        completed_keys: values of a family's keys that were left open, as its weights say: a run's configuration, and
            the checkpoints it writes, then say them by themselves.
    """

    zoo: str
    build: Callable[..., nn.Module]
    clip_spec: ClipSpec
    head: str
    pathways: Pathways = single_pathway
    weights: Mapping[str, Weights] = field(default_factory=dict)
    fixed_size: bool = False
    stages: str = ""
    tap: str = ""
    save: Callable[[nn.Module, Path, Sequence[str]], None] | None = None
    completed_keys: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """Architectures that keys of the configuration describe, rather than a name.

    Registered in MODEL_FAMILY. Its keys are part of the configuration of those runs only whose MODEL.MODEL_NAME is the
    family's name.

    Attributes:
        add_config: ``add_config(cfg)`` adds the family's keys, with their defaults.
        configure: ``configure(cfg)`` gives the architecture that they describe, and the clips it takes where the keys
            under DATA leave that open (None). Raises ConfigError for values that describe none. Its docstring's first
            sentence is what ``pvbias list model_families`` says of the family.
        recognises: ``recognises(path)`` tells whether fetched weights say themselves which of its architectures they
            are of; ``TEST.CHECKPOINT_FILE_PATH`` alone then describes it. None: weights never do.
    """

    add_config: Callable[[CfgNode], None]
    configure: Callable[[CfgNode], ZooModel]
    recognises: Callable[[str], bool] | None = None
