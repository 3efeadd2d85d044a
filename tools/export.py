"""Write a trained model as its original code loads it: the classifier alone, no decoders, students or optimizers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pvbias.engine import newest_checkpoint
from pvbias.errors import WeightsError
from pvbias.storage.addresses import on_a_disk
from pvbias.zoo.export import TARGETS, export

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


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias export",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="folder of a run (its newest checkpoint), or a checkpoint of one")
    parser.add_argument("--to", required=True, choices=TARGETS, help="whose code is to load it")
    parser.add_argument(
        "-o", "--out", metavar="FILE", type=on_a_disk, help="file to write (default: MODEL_TARGET.EXTENSION in RUN)"
    )
    args = parser.parse_args(argv)
    run = Path(args.run)
    checkpoint = newest_checkpoint(str(run)) if run.is_dir() else run
    if checkpoint is None:
        raise WeightsError(
            f"{str(run)!r} has no whole checkpoint below checkpoints/. Give the folder of a training run."
        )
    folder = run if run.is_dir() else None
    print(export(checkpoint, args.to, args.out and Path(args.out), folder=folder))
    return 0
