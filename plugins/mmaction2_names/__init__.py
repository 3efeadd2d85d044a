"""The names that mmaction2 gives the weights of networks that the catalogue has, too."""

from . import layouts

__all__ = ["layouts"]
