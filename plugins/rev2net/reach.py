"""Table of how much of each model Rev2Net's decoders reach from their default tap.

::

    python -m pvbias.plugins.rev2net.reach slow_r50 mvit_base_16x4
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pvbias.models import Recognizer, build_shapes
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL

from .taps import Tap, choose_tap

_HEADING = ("", "starts at", "its maps (D, t, h, w)", "layers", "share of the weights")


def tap_of(name: str) -> Tap:
    """The default tap of a model of the catalogue, for the clips that it was made for.

    Args:
        name: in the MODEL registry.
    """
    entry = MODEL.get(name)
    module = build_shapes(entry, num_classes=400).to("meta")
    recognizer = Recognizer(
        module, clip_spec=entry.clip_spec, head=entry.head, pathways=entry.pathways, stages=entry.stages, tap=entry.tap
    ).to("meta")
    spec = entry.clip_spec
    return choose_tap(recognizer, "", (len(spec.mean), spec.num_frames, spec.crop_size, spec.crop_size))


def table(names: Sequence[str]) -> str:
    """Make a Markdown table with a row for each model."""
    rows = [_HEADING, ("---",) * len(_HEADING)]
    for name in names:
        tap = tap_of(name)
        shape, reach = " x ".join(map(str, tap.layout.shape)), tap.reach
        rows.append((name, f"`{tap.name}`", shape, f"{reach.layers} of {reach.all_layers}", f"{reach.share:.1%}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Print the table of the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="names in the MODEL registry (pvbias list models)")
    names = parser.parse_args().models
    load_plugins([])
    print(table(names))


if __name__ == "__main__":
    main()
