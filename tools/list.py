"""List what is registered, and every configuration key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tabulate import tabulate

from pvbias.config import get_cfg
from pvbias.models import ModelFamily
from pvbias.models.cost import count_cost
from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL, MODEL


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="pvbias list", description=__doc__)
    parser.add_argument("what", choices=[*ALL, "keys"], help="what to list")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    parser.add_argument("--cost", action="store_true", help="of models: also parameters and GFLOPs; takes some seconds")
    args = parser.parse_args(argv)
    if args.cost and args.what != "models":
        parser.error(f"--cost: models have one, {args.what} have none")
    modules = load_plugins(args.plugins)
    if args.what == "keys":
        cfg = get_cfg()
        for module in modules:
            if hasattr(module, "add_config"):
                module.add_config(cfg)
        print(cfg.dump(), end="")
    elif args.what == "models":
        print(_models(args.cost))
    else:
        rows = [(name, _summary(obj), ALL[args.what].origin(name)) for name, obj in ALL[args.what]]
        print(tabulate(rows, headers=("name", "what it is", "from")) if rows else f"No {args.what} are registered.")
    return 0


def _models(cost: bool) -> str:
    """A row for each; the weights, which can be many, last."""
    rows = []
    for name, model in MODEL:
        spec = model.clip_spec
        row = {
            "name": name,
            "zoo": model.zoo,
            "from": MODEL.origin(name),
            "frames x rate": f"{spec.num_frames} x {spec.sampling_rate}",
            "train / test crop": f"{spec.crop_size} / {spec.test_crop_size}",
        }
        if cost:
            counted = count_cost(model)
            row["parameters (M)"] = f"{counted.parameters / 1e6:.2f}"
            row["GFLOPs, test crop"] = f"{counted.multiply_adds / 1e9:.2f}"
        row["weights (top-1 %)"] = "\n".join(
            weights + (f" ({entry.top1})" if entry.top1 else "") for weights, entry in model.weights.items()
        )
        rows.append(row)
    notes = "\n\nThe address of weights is zoo://ZOO/NAME/WEIGHTS, as in zoo://pytorchvideo/x3d_s/kinetics400."
    if cost:
        notes += (
            "\nParameters: with a final projection of 400 classes. GFLOPs: multiply-adds of convolutions and matrix "
            "products, one clip at the test crop."
        )
    return tabulate(rows, headers="keys", floatfmt=".2f") + notes if rows else "No models are registered."


def _summary(obj: object) -> str:
    """First sentence of the object's docstring."""
    if isinstance(obj, ModelFamily):
        obj = obj.configure
    text = (obj.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split())
