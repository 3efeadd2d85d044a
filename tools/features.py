"""Extract features of a list of videos once: embeddings, any layer, logits, of clips as they are and modulated."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fvcore.common.config import CfgNode

from pvbias.checkpoint_files import find_checkpoints
from pvbias.errors import ConfigError
from pvbias.lazy import Later, many_imports
from pvbias.storage.addresses import absolute, on_a_disk

from .options import add_list_format
from .submit import add_cluster_options, submit_parts

EXAMPLES = """examples:
  # embeddings and logits of a zoo checkpoint, one view of each video
  pvbias features --model x3d_s --weights zoo://pytorchvideo/x3d_s/kinetics400 --data train.csv --out features/train
  # a network that was trained here, on the videos of its own test split, or on others
  pvbias features runs/mine --out features/mine_test
  pvbias features runs/mine --data ucf101/test1.csv --out features/mine_ucf101
  # an inner layer beside them, on clips that are shuffled and reversed, too: what is there already is not decoded again
  pvbias features runs/mine --data ucf101/test1.csv --out features/mine_ucf101 \\
      --layers embedding blocks.3 --modulations original shuffle reverse
  # as a Slurm array of 16 jobs
  pvbias features runs/mine --data train.csv --out /shared/me/train --array 16 --set SLURM.PARTITION gpu

OUT is read with pvbias.features.read_features, its .npy files with numpy.load (pvbias/features/README.md).
Interrupted (Ctrl-C, SIGTERM, a kill), the same command goes on with the videos that are missing."""

_PART, _LAST = Later("pvbias.features.extraction", "extract_shard"), Later("pvbias.features.extraction", "extract")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if bool(args.run) == bool(args.model):
        parser.error("give the folder of a run, or --model")
    if args.run and args.weights:
        parser.error("a run has weights of its own: give --model with other --weights")
    if args.data and args.split != "test":
        parser.error("--split is of a run's own videos: with --data, leave it out")
    if args.array is not None:
        return submit_parts(_configuration(args), args, part=_PART, last=_LAST)
    # Imported here: `--help` and a mistake in the command line do not wait for torch.
    with many_imports():
        from pvbias.engine import launch
        from pvbias.features.extraction import extract

        cfg = _configuration(args)
    launch(extract, cfg)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias features",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder of a run: its newest checkpoint, its clips")
    parser.add_argument("--model", help="in place of a run: an architecture, a name from `pvbias list models`")
    parser.add_argument("--weights", default="", help="of --model: a path, a URL or zoo://...; none: random ones")
    parser.add_argument("--data", help="annotation file or folder of videos (default: the run's own)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="of a run's own videos")
    parser.add_argument("--out", required=True, type=on_a_disk, help="folder for the features")
    parser.add_argument(
        "--layers", nargs="+", metavar="NAME", help="embedding (default), and dotted names of inner modules"
    )
    parser.add_argument(
        "--modulations", nargs="+", metavar="SPEC", help="of `pvbias list modulations` (default: original)"
    )
    parser.add_argument(
        "--pool",
        choices=("all", "space", "none"),
        help="what is averaged of a layer with positions: all (default); space, which leaves time; none",
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), help="of the numbers on disk (default float32)")
    parser.add_argument("--path-prefix", default="", help="folder that relative paths in the list start from")
    add_list_format(parser)
    parser.add_argument(
        "--labels-start-at", type=int, choices=(0, 1), help="number of the first class, where it is in doubt"
    )
    parser.add_argument(
        "--class-names",
        default="",
        metavar="FILE",
        help="one class name a line: their order numbers the classes of a list with names (default: sorted)",
    )
    parser.add_argument(
        "--labels-from",
        metavar="ATTRIBUTE",
        help="that names all classes of a video, with ; between them, where videos may have several",
    )
    parser.add_argument("--clips", type=int, help="clips of a video (default 1; of a run, those of its tests)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops of a clip (default 1; of a run, likewise)")
    parser.add_argument("--batch-size", type=int, help="views in a forward pass")
    parser.add_argument("--workers", type=int, help="decoding processes")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    group = parser.add_argument_group("as an array of jobs (pvbias/cluster/README.md)")
    group.add_argument("--array", type=int, metavar="N", help="N jobs, each with its part of the videos")
    add_cluster_options(group)
    return parser


def _configuration(args: argparse.Namespace) -> CfgNode:
    from pvbias.config.remembered import load_cfg  # with torch where it has to be

    keys = {
        "TRAIN.ENABLE": False,
        "TEST.ENABLE": True,
        "BIAS.ENABLE": False,
        "OUTPUT_DIR": args.out,
        "FEATURES.SPLIT": args.split,
    }
    if args.run:
        keys["TEST.CHECKPOINT_FILE_PATH"] = _weights_of(Path(args.run))
    else:
        keys |= {
            "MODEL.MODEL_NAME": args.model,
            "TEST.CHECKPOINT_FILE_PATH": args.weights,
            "TEST.NUM_ENSEMBLE_VIEWS": 1,
            "TEST.NUM_SPATIAL_CROPS": 1,
        }
    if args.data:
        # Its classes are its own: neither the run's list nor its weights number them.
        keys |= {
            "TEST.DATASET": "videos",
            "DATA.TEST_SPLIT": absolute(args.data),
            "DATA.PATH_TO_DATA_DIR": "",
            "DATA.TRAIN_SPLIT": "",
            "DATA.PATH_PREFIX": args.path_prefix,
            "DATA.LIST_FORMAT": args.list_format,
            "DATA.CLASS_NAMES_FILE": args.class_names,
        }
    optional = {
        "PLUGINS": args.plugins or None,
        "FEATURES.LAYERS": args.layers,
        "FEATURES.MODULATIONS": args.modulations,
        "FEATURES.POOL": args.pool,
        "FEATURES.DTYPE": args.dtype,
        "FEATURES.LABELS_FROM": args.labels_from,
        "DATA.LABELS_START_AT": args.labels_start_at,
        "TEST.NUM_ENSEMBLE_VIEWS": args.clips,
        "TEST.NUM_SPATIAL_CROPS": args.crops,
        "TEST.BATCH_SIZE": args.batch_size,
        "DATA_LOADER.NUM_WORKERS": args.workers,
    }
    keys |= {key: value for key, value in optional.items() if value is not None}
    overrides = [text for key, value in keys.items() for text in (key, str(value))]
    return load_cfg(Path(args.run) / "config.yaml" if args.run else None, [*overrides, *args.keys])


def _weights_of(run: Path) -> str:
    """The newest checkpoint of a run; of one that did not train the weights that it measured."""
    from pvbias.config import load_cfg

    if not (run / "config.yaml").exists():
        raise ConfigError(f"{str(run)!r} is no folder of a run: it has no config.yaml. Give --model and --weights.")
    if find_checkpoints(str(run)):
        from pvbias.engine import newest_checkpoint  # with torch

        return str(newest_checkpoint(str(run)) or "")
    cfg = load_cfg(run / "config.yaml")
    return cfg.TEST.CHECKPOINT_FILE_PATH or cfg.TRAIN.CHECKPOINT_FILE_PATH
