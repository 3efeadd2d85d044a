"""Options that several programs have."""

from __future__ import annotations

import argparse

from pvbias.config import get_cfg
from pvbias.config.keys import DECLARED


def add_list_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--list-format``, which is DATA.LIST_FORMAT."""
    parser.add_argument(
        "--list-format",
        default=get_cfg().DATA.LIST_FORMAT,
        choices=DECLARED["DATA.LIST_FORMAT"].rule.choices,
        help="form of the list: as it shows, or `path frames label` (TSN, TSM, mmaction2; default %(default)s)",
    )
