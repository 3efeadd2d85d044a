"""List what is registered, and every configuration key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tabulate import tabulate

from pvbias.config import get_cfg
from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL, MODEL


def main(argv: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="pvbias list", description=__doc__)
    parser.add_argument("what", choices=[*ALL, "keys"], help="what to list")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    args = parser.parse_args(argv)
    modules = load_plugins(args.plugins)
    if args.what == "keys":
        cfg = get_cfg()
        for module in modules:
            if hasattr(module, "add_config"):
                module.add_config(cfg)
        print(cfg.dump(), end="")
    elif args.what == "models":
        print(_models())
    else:
        rows = [(name, _summary(obj), ALL[args.what].origin(name)) for name, obj in ALL[args.what]]
        print(tabulate(rows, headers=("name", "what it is", "from")) if rows else f"No {args.what} are registered.")
    return 0


def _models() -> str:
    rows = []
    for name, model in MODEL:
        spec = model.clip_spec
        rows.append(
            (
                name,
                model.zoo,
                f"{spec.num_frames} x {spec.sampling_rate}",
                f"{spec.crop_size} / {spec.test_crop_size}",
                ", ".join(
                    f"zoo://{model.zoo}/{name}/{weights}" + (f" ({entry.top1} % top-1)" if entry.top1 else "")
                    for weights, entry in model.weights.items()
                ),
            )
        )
    return tabulate(rows, headers=("name", "zoo", "frames x rate", "train / test crop", "weights"))


def _summary(obj: object) -> str:
    """First sentence of the object's docstring."""
    text = (obj.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split())
