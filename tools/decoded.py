"""Show the decoded flow and reversed frames of test clips beside the true ones, from a finished Rev2Net training."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from pvbias.config import complete, load_cfg
from pvbias.data import BadVideo, VideoSource, build_source, build_test_loader
from pvbias.data.flow import find_flow
from pvbias.engine import build_objective, newest_checkpoint
from pvbias.errors import ConfigError, DataError, WeightsError
from pvbias.models import build_recognizer
from pvbias.plugins.rev2net import Rev2Net
from pvbias.plugins.rev2net.page import DecodedClip, write_decoded
from pvbias.storage.addresses import on_a_disk
from pvbias.video import BadVideoError
from pvbias.zoo import read_checkpoint

logger = logging.getLogger(__name__)

EXAMPLES = """examples:
  pvbias decoded runs/rev2net --out runs/rev2net/decoded
  # other videos than the run was tested on
  pvbias decoded runs/rev2net --out decoded/ --clips 8 --set DATA.TEST_SPLIT other.csv DATA.FLOW_DIR other_flow

The page is OUT/decoded.html. True flow is that of DATA.FLOW_DIR, or the data set's own where it has one."""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.clips < 1:
        parser.error(f"--clips {args.clips}: give one or more")
    cfg = _configuration(Path(args.run), args.keys)
    path = newest_checkpoint(args.run)
    if path is None:
        raise WeightsError(f"{args.run} has no training checkpoint: give the OUTPUT_DIR of a run that has trained.")
    objective = _load(cfg, path)
    source = build_source(cfg, "test")
    without_target = _why_without_flow(cfg, source) if "flow" in objective.needs.tracks else ""
    tracks = () if without_target else objective.needs.tracks
    clips = list(islice(_decoded(cfg, objective, source, args.clips, tracks), args.clips))
    if not clips:
        raise DataError(f"{source.description}: none of the videos that were tried can be read.")
    about = {
        "Command": shlex.join(["pvbias", "decoded", *argv]),
        "Checkpoint": str(path),
        "Objective": cfg.OBJECTIVE.NAME,
        "Videos": source.description,
    }
    print(write_decoded(Path(args.out) / "decoded.html", clips, about=about, without_target=without_target))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pvbias decoded",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", help="OUTPUT_DIR of the training")
    parser.add_argument("--out", required=True, type=on_a_disk, help="folder for the page")
    parser.add_argument("--clips", type=int, default=4, help="how many, spread over the test split (default 4)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", dest="keys", help="any configuration keys")
    return parser


def _configuration(run: Path, overrides: Sequence[str]) -> CfgNode:
    """The configuration of the run, with the middle clip of a video, of the training's size, as its only view."""
    one_view = ("TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1", "DATA_LOADER.NUM_WORKERS", "0")
    cfg = load_cfg(run / "config.yaml", [*one_view, *overrides])
    if cfg.DATA.TEMPORAL_SAMPLING == "windows":  # the same clips, but all of them
        cfg.DATA.TEMPORAL_SAMPLING = "rate"
    cfg.DATA.TEST_CROP_SIZE = cfg.DATA.TRAIN_CROP_SIZE
    return complete(cfg, num_classes=cfg.MODEL.NUM_CLASSES)


def _load(cfg: CfgNode, path: Path) -> Rev2Net:
    """Rev2Net with recognizer and decoders as the checkpoint has them, in evaluation mode."""
    recognizer = build_recognizer(cfg)
    objective = build_objective(cfg, recognizer)
    # It may be a part of the objective.
    rev2net = next((module for module in objective.modules() if isinstance(module, Rev2Net)), None)
    if rev2net is None:
        raise ConfigError(f"OBJECTIVE.NAME = {cfg.OBJECTIVE.NAME!r} has no decoders: there is nothing to show.")
    checkpoint = read_checkpoint(str(path))
    try:
        recognizer.module.load_state_dict(checkpoint["model_state"])
        objective.load_state_dict(checkpoint["objective_state"])
    except RuntimeError as error:
        raise WeightsError(f"{str(path)!r} does not fit config.yaml beside it. Found: {error}") from error
    recognizer.eval()
    return rev2net.eval()


def _why_without_flow(cfg: CfgNode, source: VideoSource) -> str:
    """Why the test videos have no optical flow; empty where they do."""
    try:
        find_flow(cfg, source).open_flow(source.records[0]).close()
    except (ConfigError, BadVideoError) as error:
        logger.warning("Without true optical flow: %s", error)
        return str(error)
    return ""


def _decoded(
    cfg: CfgNode, objective: Rev2Net, source: VideoSource, count: int, tracks: Sequence[str]
) -> Iterator[DecodedClip]:
    """Clips of good videos and what is decoded from them, spread evenly over the split."""
    # What one of so many processes would get is every so many-th video.
    loader = build_test_loader(cfg, source, rank=0, world_size=max(len(source.records) // count, 1), tracks=tracks)
    for video in loader:
        if isinstance(video, BadVideo):
            logger.warning("%s", video)
            continue
        clips = video.clips.float() / 255
        with torch.no_grad():
            decoded_flow, frames = objective.decode(clips)
        label = video.record.label
        yield DecodedClip(
            name=video.record.name,
            label="" if label is None else (source.class_names[label] if source.class_names else f"class {label}"),
            clip=clips[0, :3],
            target_flow=video.tracks["flow"][0].float() if "flow" in video.tracks else None,
            flow=decoded_flow[0].float() if decoded_flow is not None else None,
            frames=frames[0].float() if frames is not None else None,
        )
