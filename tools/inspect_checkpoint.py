"""Inspect a checkpoint: its format, what else is in it, and which models of the catalogue it fits how well."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate
from torch import Tensor

from pvbias.config import load_cfg
from pvbias.models import ZooModel, find_model
from pvbias.plugin_loading import load_plugins
from pvbias.registries import KEY_LAYOUT, MODEL, MODEL_FAMILY
from pvbias.zoo import Match, equally_good, fetch, match_catalogue, model_weights, read_checkpoint, weight_sets
from pvbias.zoo.configurations import own_configuration
from pvbias.zoo.key_layouts import NormalisedLayout
from pvbias.zoo.loading import MIN_MATCH, describe_reading, describe_sets, other_sets, percent, trained_with
from pvbias.zoo.reading import is_safetensors
from pvbias.zoo.weight_sets import STATE_KEYS

EXAMPLES = """examples:
  pvbias inspect downloaded.pyth
  pvbias inspect zoo://pytorchvideo/x3d_s/kinetics400

Nothing in the file is run: Python objects beside the weights are named, not made."""

#: Models in the table.
SHOWN = 5

#: Keys of DATA that say what clips a model is for, by attribute of its ClipSpec.
CLIP_KEYS = {
    "num_frames": "NUM_FRAMES",
    "sampling_rate": "SAMPLING_RATE",
    "crop_size": "TRAIN_CROP_SIZE",
    "test_crop_size": "TEST_CROP_SIZE",
    "fps": "TARGET_FPS",
    "sampling": "TEMPORAL_SAMPLING",
    "mean": "MEAN",
    "std": "STD",
}


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias inspect",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="a path, an https URL or zoo://ZOO/MODEL/WEIGHTS")
    parser.add_argument(
        "--key", default="", help="which weights, where the file has several sets (CHECKPOINT.STATE_KEY): model_ema"
    )
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    args = parser.parse_args(argv)
    load_plugins(args.plugins)
    path = fetch(args.checkpoint)
    checkpoint = read_checkpoint(path)
    weights = model_weights(checkpoint, path, args.key)
    print(_describe_file(path, checkpoint, weights, args.key))
    configured = own_configuration(checkpoint)
    if of_family := _advise_family(args.checkpoint, path, configured):
        print(f"\n{of_family}")
        return 0
    entries = dict(MODEL) | _families(args.checkpoint, path)
    matches = {name: found for name, found in match_catalogue(weights, entries).items() if found.backbone_fraction > 0}
    if not matches:
        print("\nIt fits no model of the catalogue: no weight has the name and the shape of one of theirs.")
        return 0
    for line in _describe_others(checkpoint, args.key, matches):
        print(f"  {line}")
    print()
    print(_describe_fit(matches, entries))
    print()
    print(_advise(args, matches, entries, configured))
    return 0


def _describe_file(path: str, checkpoint: Mapping[str, Any], weights: Mapping[str, Tensor], key: str) -> str:
    place = key or next(iter(weight_sets(checkpoint)))
    container = place.split(".")[0]
    if Path(path).is_dir():
        kind = "folder of the Hugging Face hub"
    elif _is_safetensors(path):
        kind = "safetensors"
    elif "objective_state" in checkpoint:
        kind = "training checkpoint of pvbias"
    elif "pytorch-lightning_version" in checkpoint:
        kind = "checkpoint of Lightning"
    elif place:
        kind = f"weights under {place!r}" + (f" (as {STATE_KEYS[place]})" if place in STATE_KEYS else "")
    else:
        kind = "state dict"
    files = [file for file in Path(path).rglob("*") if file.is_file()] if Path(path).is_dir() else [Path(path)]
    numbers = sum(value.numel() for value in weights.values())
    types = sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()})
    lines = [
        f"{path}: {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB, {kind}",
        f"  weights: {len(weights)} tensors, {numbers:,} numbers ({', '.join(types)})",
    ]
    if place:
        lines += [f"  {name}: {_describe_value(value)}" for name, value in checkpoint.items() if name != container]
    return "\n".join(lines)


def _is_safetensors(path: str) -> bool:
    with open(path, "rb") as file:
        return is_safetensors(path, file.read(64))


def _describe_others(checkpoint: Mapping[str, Any], key: str, matches: Mapping[str, Match]) -> list[str]:
    others = other_sets(checkpoint, key, next(iter(matches.values())))
    return describe_sets(key or next(iter(weight_sets(checkpoint))), others)


def _describe_value(value: Any) -> str:
    if isinstance(value, Mapping):
        tensors = [inner for inner in value.values() if isinstance(inner, Tensor)]
        what = f", {sum(tensor.numel() for tensor in tensors):,} numbers in tensors" if tensors else ""
        return f"{len(value)} entries{what}"
    if isinstance(value, str) and "\n" in value:
        return f"text of {len(value.splitlines())} lines"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."


def _advise_family(source: str, path: str, configured: Mapping[str, Any]) -> str:
    """Say how to measure a checkpoint of a training of pvbias whose configuration describes a model by keys of a
    family; empty: it is none. By its name alone it could not be built."""
    family = configured.get("MODEL.MODEL_NAME")
    if family not in MODEL_FAMILY or "OBJECTIVE.NAME" not in configured:
        return ""
    lines = [f"Its own configuration describes the model: MODEL.MODEL_NAME {family}, and the keys of that family."]
    cfg = Path(path).resolve().parent.parent / "config.yaml"
    if cfg.is_file():
        keys = f"TRAIN.ENABLE False TEST.CHECKPOINT_FILE_PATH {shlex.quote(source)} OUTPUT_DIR RUN"
        lines += [
            "",
            "To measure it on the test videos of its run:",
            f"  pvbias run --cfg {shlex.quote(str(cfg))} {keys}",
        ]
    return "\n".join(lines)


def _families(source: str, path: str) -> dict[str, ZooModel]:
    """Families that weights say themselves to be of, with the model that they describe."""
    found = {}
    for name, family in MODEL_FAMILY:
        if family.recognises is not None and family.recognises(path):
            found[name] = find_model(
                load_cfg(overrides=["MODEL.MODEL_NAME", name, "TEST.CHECKPOINT_FILE_PATH", source])
            )
    return found


def _describe_fit(matches: Mapping[str, Match], entries: Mapping[str, ZooModel]) -> str:
    equal = equally_good(matches)
    rows = [
        (
            name,
            entries[name].zoo,
            percent(found.backbone_fraction),
            found.num_classes or "no head",
            "; ".join(describe_reading(read.prefix, read.layout, len(read.inflated), read.averaged, read.head)),
        )
        for name, found in list(matches.items())[: max(SHOWN, len(equal))]
        for read in [found.converted]
    ]
    lines = [tabulate(rows, headers=("model", "zoo", "backbone filled", "classes", "how it is read"))]
    more = [name for name in list(matches)[len(rows) :] if matches[name].backbone_fraction >= MIN_MATCH]
    if more:
        lines.append(f"and, no worse than {MIN_MATCH:.0%}: {', '.join(more)}")
    return "\n".join(lines)


def _advise(
    args: argparse.Namespace,
    matches: Mapping[str, Match],
    entries: Mapping[str, ZooModel],
    configured: Mapping[str, Any],
) -> str:
    """Suggest commands for the weights, for the model that they are most likely of."""
    equal = equally_good(matches)
    name = _most_likely({other: entries[other] for other in equal}, configured)
    found, entry = matches[name], entries[name]
    if found.backbone_fraction < MIN_MATCH:
        return f"It fits none of them: {MIN_MATCH:.0%} of a backbone must be filled (CHECKPOINT.MIN_MATCH)."
    lines = []
    if len(equal) > 1:
        clips = [f"  {other}: {_describe_clips(entries[other])}" for other in equal]
        lines += [
            f"These share their weights and differ in their clips; {_why(name, configured)}",
            *clips,
            "",
        ]
    keys = _differing_keys(entry, configured) | trained_with(found.converted.layout, entry.clip_spec)
    layout = KEY_LAYOUT.get(found.converted.layout) if found.converted.layout else None
    if isinstance(layout, NormalisedLayout) and layout.sampling not in ("", entry.clip_spec.sampling):
        keys["DATA.TEMPORAL_SAMPLING"] = layout.sampling
    if args.key:
        keys["CHECKPOINT.STATE_KEY"] = args.key
    if entry.clip_spec.modality != "rgb":
        keys["DATA.FLOW_DIR"] = "FLOW"
    if found.num_classes is None:
        lines.append("It has no head for the features of this model: it is not to be measured, but to be trained from.")
    else:
        command = f"pvbias measure --model {name} --weights {shlex.quote(args.checkpoint)} --data VIDEOS --out RUN"
        plugins = f" --plugins {' '.join(args.plugins)}" if args.plugins else ""
        settings = " --set " + " ".join(f"{key} {shlex.quote(str(value))}" for key, value in keys.items())
        lines += ["To measure it:", f"  {command}{plugins}{settings if keys else ''}"]
    tree: dict[str, Any] = {"MODEL": {"MODEL_NAME": name}, "TRAIN": {"CHECKPOINT_FILE_PATH": args.checkpoint}}
    if args.plugins:
        tree = {"PLUGINS": args.plugins, **tree}
    for key, value in keys.items():
        group, leaf = key.split(".")
        tree.setdefault(group, {})[leaf] = value
    text = [yaml.safe_dump({group: value}, default_flow_style=True, width=1000) for group, value in tree.items()]
    return "\n".join(
        [*lines, "To train from it:", *(f"  {line.strip().removeprefix('{').removesuffix('}')}" for line in text)]
    )


def _most_likely(equal: Mapping[str, ZooModel], configured: Mapping[str, Any]) -> str:
    """The likeliest of several models that the weights do not tell apart: the one that the file's configuration names,
    or whose clips it has."""
    named = str(configured.get("MODEL.MODEL_NAME"))
    return named if named in equal else min(equal, key=lambda name: len(_differing_keys(equal[name], configured)))


def _why(name: str, configured: Mapping[str, Any]) -> str:
    if configured.get("MODEL.MODEL_NAME") == name:
        return f"{name} is the one that the file's configuration names."
    if configured:
        return f"{name} has the clips of the file's configuration, or comes nearest to them."
    return "nothing in the file says which of them it is: choose the one whose clips it was trained on."


def _describe_clips(entry: ZooModel) -> str:
    spec = entry.clip_spec
    return f"{spec.num_frames} frames, every {spec.sampling_rate} at {spec.fps:g} per second, {spec.crop_size} pixels"


def _differing_keys(entry: ZooModel, configured: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of DATA in the file's configuration that are not as the model has them, with their values there."""
    keys = {}
    for attribute, key in CLIP_KEYS.items():
        own, theirs = getattr(entry.clip_spec, attribute), configured.get(f"DATA.{key}")
        own = list(own) if isinstance(own, tuple) else own
        if theirs is not None and theirs != own:
            keys[f"DATA.{key}"] = theirs
    if keys.get("DATA.TEMPORAL_SAMPLING") == "duration" and "DATA.CLIP_DURATION" in configured:
        keys["DATA.CLIP_DURATION"] = configured["DATA.CLIP_DURATION"]
    crop, side = configured.get("DATA.TEST_CROP_SIZE"), configured.get("DATA.TEST_SHORT_SIDE")
    spec = entry.clip_spec
    # What a configuration takes for it where it does not say.
    if crop and side and side != max(round(spec.short_side * crop / spec.test_crop_size), crop):
        keys["DATA.TEST_SHORT_SIDE"] = side
    if configured.get("DATA.MODULATION", "original") != "original":
        keys["DATA.MODULATION"] = configured["DATA.MODULATION"]
    return keys
