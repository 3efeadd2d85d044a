"""Say what a checkpoint is: its format, what else is in it, and which models of the catalogue it fits how well."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate
from torch import Tensor

from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.zoo import Match, fetch, match_catalogue, model_weights, read_checkpoint
from pvbias.zoo.loading import MIN_MATCH, describe_reading
from pvbias.zoo.reading import STATE_KEYS, is_safetensors, state_key

EXAMPLES = """examples:
  pvbias inspect downloaded.pyth
  pvbias inspect zoo://pytorchvideo/x3d_s/kinetics400

Nothing in the file is run. One that holds Python objects beside weights is not read; the error says what it needs."""

#: Models in the table.
SHOWN = 5


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="pvbias inspect",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="a path, an https URL or zoo://ZOO/MODEL/WEIGHTS")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    args = parser.parse_args(argv)
    load_plugins(args.plugins)
    path = fetch(args.checkpoint)
    checkpoint = read_checkpoint(path)
    weights = model_weights(checkpoint, path)
    print(_describe_file(path, checkpoint, weights))
    print()
    print(_describe_fit(args.checkpoint, match_catalogue(weights)))
    return 0


def _describe_file(path: str, checkpoint: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    key = state_key(checkpoint)
    with open(path, "rb") as file:
        safetensors = is_safetensors(path, file.read(64))
    if safetensors:
        kind = "safetensors"
    elif "objective_state" in checkpoint:
        kind = "training checkpoint of pvbias"
    elif "pytorch-lightning_version" in checkpoint:
        kind = "checkpoint of Lightning"
    elif key:
        kind = f"weights under {key!r} (as {STATE_KEYS[key]})"
    else:
        kind = "state dict"
    numbers = sum(value.numel() for value in weights.values())
    types = sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()})
    lines = [
        f"{path}: {os.path.getsize(path) / 2**20:.1f} MiB, {kind}",
        f"  weights: {len(weights)} tensors, {numbers:,} numbers ({', '.join(types)})",
    ]
    if key:
        lines += [f"  {name}: {_describe_value(value)}" for name, value in checkpoint.items() if name != key]
    return "\n".join(lines)


def _describe_value(value: Any) -> str:
    if isinstance(value, Mapping):
        tensors = [inner for inner in value.values() if isinstance(inner, Tensor)]
        what = f", {sum(tensor.numel() for tensor in tensors):,} numbers in tensors" if tensors else ""
        return f"{len(value)} entries{what}"
    if isinstance(value, str) and "\n" in value:
        return f"text of {len(value.splitlines())} lines"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."


def _describe_fit(source: str, matches: Mapping[str, Match]) -> str:
    best = {name: found for name, found in matches.items() if found.backbone_fraction > 0}
    if not best:
        return "It fits no model of the catalogue: no weight has the name and the shape of one of theirs."
    rows = [
        (
            name,
            MODEL.get(name).zoo,
            f"{found.backbone_fraction:.1%}",
            found.num_classes or "no head",
            "; ".join(describe_reading(read.prefix, read.layout, len(read.inflated), read.averaged)),
        )
        for name, found in list(best.items())[:SHOWN]
        for read in [found.reading]
    ]
    lines = [tabulate(rows, headers=("model", "zoo", "backbone filled", "classes", "how it is read"))]
    more = [name for name in list(best)[SHOWN:] if best[name].backbone_fraction >= MIN_MATCH]
    if more:
        lines.append(f"and, no worse than {MIN_MATCH:.0%}: {', '.join(more)}")
    name, found = next(iter(best.items()))
    if found.backbone_fraction < MIN_MATCH:
        lines += ["", f"It fits none of them: {MIN_MATCH:.0%} of a backbone must be filled (CHECKPOINT.MIN_MATCH)."]
    else:
        lines += [
            "",
            "To measure it:",
            f"  pvbias measure --model {name} --weights {source} --data VIDEOS --out RUN",
            "To train from it:",
            f"  MODEL: {{MODEL_NAME: {name}}}",
            f"  TRAIN: {{CHECKPOINT_FILE_PATH: {source}}}",
        ]
    return "\n".join(lines)
