"""The model family ``Transformers``: video classifiers in folders of the Hugging Face hub."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.config.keys import Effect, declare
from pvbias.errors import ConfigError
from pvbias.models import ModelFamily, ZooModel
from pvbias.registries import MODEL_FAMILY
from pvbias.zoo import fetch

from .folders import PROCESSORS, Folder, is_video_classifier, read_folder
from .hub import SCHEME

ZOO = "transformers"


def add_config(cfg: CfgNode) -> None:
    """Keys of the family."""
    declare(
        cfg,
        "TRANSFORMERS.CONFIG",
        "",
        "Folder, or hf:// address, whose config.json and image processor say what the model is; weights in it are not "
        "read. Empty: those of the weights that are measured or trained from.",
        effect=Effect.CONTENT,
    )


def configure(cfg: CfgNode) -> ZooModel:
    """The model of a folder of the Hugging Face hub: VideoMAE, TimeSformer, ViViT, V-JEPA 2."""
    path = _described_by(cfg)
    folder = read_folder(path if Path(path).is_dir() else fetch(path))
    return ZooModel(
        zoo=ZOO,
        build=partial(build, folder),
        clip_spec=folder.clip_spec,
        head="classifier",
        pathways=frames_first,
        fixed_size=not folder.architecture.any_side,
        save=partial(save, folder),
    )


def _described_by(cfg: CfgNode) -> str:
    """The folder, or the hub's address, that says what the model is."""
    keys = ["TEST.CHECKPOINT_FILE_PATH", "TRAIN.CHECKPOINT_FILE_PATH"]
    keys = ["TRANSFORMERS.CONFIG", *(reversed(keys) if cfg.TRAIN.ENABLE else keys)]
    given = {
        key: str(Path(source).expanduser()) if "://" not in source else source
        for key in keys
        if (source := _value(cfg, key))
    }
    for key, source in given.items():
        if source.startswith(SCHEME) or Path(source).is_dir():
            return source
        if key == "TRANSFORMERS.CONFIG":
            break
    listed = ", ".join(f"{key} = {source!r}" for key, source in given.items()) or "none of them is set"
    raise ConfigError(
        f"MODEL.MODEL_NAME {FAMILY!r}: nothing says what the model is. Give a folder with a config.json, or "
        f"{SCHEME}OWNER/NAME, as the weights or as TRANSFORMERS.CONFIG ({listed})."
    )


def _value(cfg: CfgNode, key: str) -> str:
    group, name = key.split(".")
    return cfg[group][name]


def build(folder: Folder, *, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """The network that a folder's ``config.json`` describes, with random weights and logits as its output.

    Args:
        folder: as read.
        num_classes: K; where it is not that of the folder, names of classes are left out of the network's ``config``.
        num_frames, crop_size: of the training clips, the crop in pixels.

    Raises:
        ConfigError: it takes no such clips, or transformers is not installed or does not have it.
    """
    architecture, spec = folder.architecture, folder.clip_spec
    for key, size, own, free in (
        ("DATA.NUM_FRAMES", num_frames, spec.num_frames, architecture.any_frames),
        ("DATA.TRAIN_CROP_SIZE", crop_size, spec.crop_size, architecture.any_side),
    ):
        if size != own and not free:
            raise ConfigError(f"{key} = {size}: {architecture.name} of {str(folder.path)!r} takes {own} only.")
    transformers = import_transformers()
    if not hasattr(transformers, architecture.name):
        raise ConfigError(
            f"transformers {transformers.__version__} has no {architecture.name}: install a newer one, "
            "`pip install --upgrade transformers`."
        )
    network_class = getattr(transformers, architecture.name)
    config = network_class.config_class.from_dict(dict(folder.config))
    if config.num_labels != num_classes:
        config.num_labels = num_classes
    module = network_class(config)
    module.register_forward_hook(_logits)
    return module


def save(folder: Folder, module: Any, out: Path, class_names: Sequence[str]) -> None:
    """Write a network as transformers does, with the settings of the image processor that its folder had.

    Args:
        folder: which it was built from.
        module: as :func:`build` gives it, with its weights.
        out: folder to write.
        class_names: of its outputs; empty: not known.
    """
    if class_names:
        module.config.id2label = dict(enumerate(class_names))
        module.config.label2id = {name: number for number, name in enumerate(class_names)}
    module.save_pretrained(out)
    for name in PROCESSORS:
        if (folder.path / name).is_file():
            shutil.copyfile(folder.path / name, out / name)


def import_transformers() -> ModuleType:
    """transformers.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ConfigError(
            f"Hugging Face's models need transformers, which cannot be imported ({error}): "
            "`pip install 'pvbias[transformers]'`."
        ) from error


def frames_first(clip: Tensor) -> Tensor:
    """``(N, C, T, H, W) -> (N, T, C, H, W)``, as all of transformers' video models take it."""
    return clip.transpose(1, 2)


def _logits(module: nn.Module, args: Any, output: Any) -> Tensor:
    """Take the logits out of a network's output (as a hook, which changes neither the network's class nor its
    weights)."""
    return output.logits


FAMILY = "Transformers"
MODEL_FAMILY.register(
    ModelFamily(add_config=add_config, configure=configure, recognises=is_video_classifier), name=FAMILY
)
