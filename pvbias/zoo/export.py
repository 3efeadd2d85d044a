"""Export of a trained model for its original code: the classifier alone, without decoders, students or optimizers."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from ..errors import ConfigError, WeightsError
from ..models import ZooModel, find_model
from ..plugin_loading import load_plugins
from .matching import match
from .reading import read_checkpoint
from .saving import atomic_save, save_safetensors
from .weight_sets import model_weights

logger = logging.getLogger(__name__)

#: Target -> the zoo whose models its reader has (empty: any), and the extension of its files.
TARGETS = {
    "pytorchvideo": ("pytorchvideo", ".pyth"),
    "slowfast": ("pytorchvideo", ".pyth"),
    "torchvision": ("torchvision", ".pth"),
    "state_dict": ("", ".pth"),
    "safetensors": ("", ".safetensors"),
    "transformers": ("transformers", ""),
}


def export(checkpoint_file: Path, target: str, out: Path | None = None, *, folder: Path | None = None) -> Path:
    """Write a checkpoint's model for other code, and load it into the bare zoo model with ``strict=True`` to make sure.

    Args:
        checkpoint_file: a training checkpoint, with its configuration.
        target: one of :data:`TARGETS`.
        out: file (or folder) to write; None: ``MODEL_TARGET.EXTENSION`` in ``folder``.
        folder: None: the checkpoint's.

    Returns:
        The file, or the folder.

    Raises:
        ConfigError: the model is of a zoo that the target does not have, or was trained with another normalisation than
            the target would keep.
        WeightsError: the checkpoint has no configuration, or is of another model.
    """
    checkpoint = read_checkpoint(str(checkpoint_file))
    cfg = _config(checkpoint.get("cfg"), checkpoint_file)
    load_plugins(cfg.PLUGINS)
    model = find_model(cfg)
    zoo, extension = TARGETS[target]
    if zoo not in ("", model.zoo):
        suitable = [name for name, (other, _) in TARGETS.items() if other in ("", model.zoo)]
        raise ConfigError(
            f"--to {target}: {cfg.MODEL.MODEL_NAME} is a model of the zoo {model.zoo!r}, which {target} does not have. "
            f"Choose {' or '.join(suitable)}."
        )
    if checkpoint.get("extra_heads"):
        logger.warning("The heads of MODEL.EXTRA_HEADS are left out: the original code has none.")
    weights = model_weights(checkpoint, str(checkpoint_file))
    bare = model.build(
        num_classes=cfg.MODEL.NUM_CLASSES, num_frames=cfg.DATA.NUM_FRAMES, crop_size=cfg.DATA.TRAIN_CROP_SIZE
    )
    try:
        bare.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{str(checkpoint_file)!r} is not of the model that its own configuration names: {error}"
        ) from error

    out = out or (folder or checkpoint_file.parent) / f"{cfg.MODEL.MODEL_NAME}_{target}{extension}"
    if not extension and model.save is not None:
        _check_normalisation(cfg, model)
        _write_folder(model, bare, out, checkpoint.get("class_names") or ())
    else:
        _write_file(target, bare, weights, out)
    return out


def _check_normalisation(cfg: CfgNode, model: ZooModel) -> None:
    """Raise ConfigError where the image processor that goes with the weights would normalise clips as nobody did in
    training."""
    for key, trained, own in (
        ("DATA.MEAN", cfg.DATA.MEAN, model.clip_spec.mean),
        ("DATA.STD", cfg.DATA.STD, model.clip_spec.std),
    ):
        if not all(math.isclose(one, other, abs_tol=1e-6) for one, other in zip(trained, own, strict=True)):
            raise ConfigError(
                f"{cfg.MODEL.MODEL_NAME} was trained with {key} {list(trained)}, but the image processor of the folder "
                f"that it was built from has {list(own)}, and would go into the new folder. Write the weights alone "
                "(--to safetensors), and an image processor with the first values."
            )


def _write_folder(model: ZooModel, bare: nn.Module, out: Path, class_names: Sequence[str]) -> None:
    """Write a folder with the model's own library, which may give its weights other names, and read it back."""
    assert model.save is not None
    model.save(bare, out, class_names)
    written = match(model_weights(read_checkpoint(str(out)), str(out)), bare, model.head)
    missing = sorted(set(bare.state_dict()) - set(written.fitting))
    if missing:
        raise WeightsError(f"{str(out)!r} lacks {', '.join(missing)}, which its own library did not write.")
    bare.load_state_dict(dict(written.converted.weights), strict=True)


def _write_file(target: str, bare: nn.Module, weights: Mapping[str, Tensor], out: Path) -> None:
    # SlowFast reads an optimizer's state, too, where a file has an epoch: these have none and start at the first.
    prefix = "model." if target == "slowfast" else ""
    named = {prefix + name: value for name, value in weights.items()}
    if target == "safetensors":
        save_safetensors(named, out)
    else:
        atomic_save(named if target in ("torchvision", "state_dict") else {"model_state": named}, out)
    written = model_weights(read_checkpoint(str(out)), str(out))
    bare.load_state_dict({name.removeprefix(prefix): value for name, value in written.items()}, strict=True)


def _config(text: object, path: Path) -> CfgNode:
    """The configuration in a checkpoint of a run."""
    tree = None
    if isinstance(text, str):
        with contextlib.suppress(yaml.YAMLError):  # SlowFast's have Python's tuples
            tree = yaml.safe_load(text)
    if not isinstance(tree, dict) or not {"PLUGINS", "MODEL", "DATA"} <= tree.keys():
        raise WeightsError(
            f"{str(path)!r} has no configuration of pvbias, which says what the model is. Give the folder of the run, "
            "or one of its checkpoints."
        )
    return CfgNode(tree)
