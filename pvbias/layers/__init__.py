"""Layers computed in another way than torch does, with the same results and the same keys."""

from .explicit_padding import ExplicitPadding

__all__ = ["ExplicitPadding"]
