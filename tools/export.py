"""Write a trained model as its original code loads it: the classifier alone, no decoders, students or optimizers."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from pvbias.engine import newest_checkpoint
from pvbias.errors import ConfigError, WeightsError
from pvbias.models import ZooModel, find_model
from pvbias.plugin_loading import load_plugins
from pvbias.zoo import atomic_save, match, model_weights, read_checkpoint, save_safetensors

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  # the newest checkpoint of a run; then hub.x3d_s(...).load_state_dict(torch.load(FILE)["model_state"])
  pvbias export runs/mine --to pytorchvideo
  # one checkpoint, as TEST.CHECKPOINT_FILE_PATH of SlowFast, whose configuration names the same PTV model
  pvbias export runs/mine/checkpoints/checkpoint_epoch_00010.pyth --to slowfast -o mine.pyth

targets, all of which the original code loads with strict=True:
  pytorchvideo  {"model_state": state dict}
  slowfast      the same, with the `model.` that SlowFast's PTV models have before each name
  torchvision   a state dict
  state_dict    the same, for models of any zoo: what the code that classic_models are named after loads
  safetensors   a state dict in that format, for models of any zoo
  transformers  a folder for from_pretrained: config.json, model.safetensors, the image processor's settings"""

#: Target -> the zoo whose models its reader has (empty: any), and the extension of its files.
TARGETS = {
    "pytorchvideo": ("pytorchvideo", ".pyth"),
    "slowfast": ("pytorchvideo", ".pyth"),
    "torchvision": ("torchvision", ".pth"),
    "state_dict": ("", ".pth"),
    "safetensors": ("", ".safetensors"),
    "transformers": ("transformers", ""),
}


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias export",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of a run (its newest checkpoint), or a checkpoint of one")
    parser.add_argument("--to", required=True, choices=TARGETS, help="whose code is to load it")
    parser.add_argument("-o", "--out", metavar="FILE", help="file to write (default: MODEL_TARGET.EXTENSION in RUN)")
    args = parser.parse_args(argv)
    print(export(Path(args.run), args.to, args.out and Path(args.out)))
    return 0


def export(run: Path, target: str, out: Path | None = None) -> Path:
    """Write a run's model for other code, and load it into the bare zoo model with ``strict=True`` to make sure.

    Args:
        run: a run's folder, or a checkpoint with its configuration.
        target: one of :data:`TARGETS`.
        out: file (or folder) to write; None: named after model and target, in the folder (or beside the checkpoint).

    Returns:
        The file, or the folder.

    Raises:
        ConfigError: the model is of a zoo that the target does not have, or was trained with another normalisation than
            the target would keep.
        WeightsError: there is no checkpoint, it has no configuration, or it is of another model.
    """
    path = newest_checkpoint(str(run)) if run.is_dir() else run
    if path is None:
        raise WeightsError(
            f"{str(run)!r} has no whole checkpoint below checkpoints/. Give the folder of a training run."
        )
    checkpoint = read_checkpoint(str(path))
    cfg = _config(checkpoint.get("cfg"), path)
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
    weights = model_weights(checkpoint, str(path))
    bare = model.build(
        num_classes=cfg.MODEL.NUM_CLASSES, num_frames=cfg.DATA.NUM_FRAMES, crop_size=cfg.DATA.TRAIN_CROP_SIZE
    )
    try:
        bare.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{str(path)!r} is not of the model that its own configuration names: {error}") from error

    out = out or (run if run.is_dir() else run.parent) / f"{cfg.MODEL.MODEL_NAME}_{target}{extension}"
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
    """What the model's own library keeps of it, which may give its weights other names."""
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
