"""List what is registered, and every configuration key."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from pvbias.listing import find_listing
from pvbias.registries import ALL


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="pvbias list", description=__doc__)
    parser.add_argument("what", choices=[*ALL, "keys"], help="what to list")
    parser.add_argument("--plugins", nargs="+", default=[], metavar="MODULE", help="plugins to import first")
    parser.add_argument("--cost", action="store_true", help="of models: also parameters and GFLOPs; takes some seconds")
    args = parser.parse_args(argv)
    if args.cost and args.what != "models":
        parser.error(f"--cost: models have one, {args.what} have none")
    rows = find_listing(args.plugins)[args.what]
    if not rows:
        print(f"No {args.what} are registered.")
    elif args.what == "keys":
        print("\n".join(_key(*row) for row in rows))
    elif args.what == "modulations":
        print("\n".join(_modulation(*row) for row in rows))
    elif args.what == "models":
        print(_models(rows, args.plugins if args.cost else None))
    else:
        print(tabulate(rows, headers=("name", "what it is", "from")))
    return 0


def _key(key: str, default: str, unit: str, allowed: str, about: str) -> str:
    """``DATA.NUM_FRAMES: None  (frames, >= 1)``, and below it what it means."""
    known = ", ".join(filter(None, (unit, allowed)))
    head = f"{key}: {default}" + (f"  ({known})" if known else "")
    return "\n".join([head, *textwrap.wrap(about, 110, initial_indent="    ", subsequent_indent="    ")])


def _modulation(name: str, label: str, about: str, parameters: Sequence[str], origin: str) -> str:
    """``freeze: frozen to its middle frame``, and below it what it does and its parameters."""
    lines = [
        line
        for text in (about, *parameters, f"from {origin}")
        for line in textwrap.wrap(text, 110, initial_indent="    ", subsequent_indent="      ")
    ]
    return "\n".join([f"{name}: {label}", *lines])


def _models(models: Sequence[Mapping[str, str]], counted_with: Sequence[str] | None) -> str:
    """A row for each; the weights, which can be many, last.

    Args:
        counted_with: plugins that the models come from, for counting what they cost; None: not to be counted.
    """
    rows = []
    for model in models:
        row = {name: value for name, value in model.items() if name != "weights"}
        if counted_with is not None:
            row |= _cost(model["name"], counted_with)
        row["weights (top-1 %)"] = model["weights"]
        rows.append(row)
    notes = "\n\nThe address of weights is zoo://ZOO/NAME/WEIGHTS, as in zoo://pytorchvideo/x3d_s/kinetics400."
    if counted_with is not None:
        notes += (
            "\nParameters: with a final projection of 400 classes. GFLOPs: multiply-adds of convolutions and matrix "
            "products, one clip at the test crop."
        )
    return tabulate(rows, headers="keys", floatfmt=".2f") + notes


def _cost(name: str, plugins: Sequence[str]) -> dict[str, str]:
    # Imported here: with torch, which takes a second that a list without costs does not need.
    from pvbias.models.cost import count_cost
    from pvbias.plugin_loading import load_plugins
    from pvbias.registries import MODEL

    load_plugins(plugins)
    counted = count_cost(MODEL.get(name))
    return {
        "parameters (M)": f"{counted.parameters / 1e6:.2f}",
        "GFLOPs, test crop": f"{counted.multiply_adds / 1e9:.2f}",
    }
