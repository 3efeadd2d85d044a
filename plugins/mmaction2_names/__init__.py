"""mmaction2's names of weights, for networks that the catalogue has, too."""

from . import layouts

__all__ = ["layouts"]
