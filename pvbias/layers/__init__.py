"""Faster or more exact implementations of torch's layers, with the same results and the same keys."""

from .explicit_padding import ExplicitPadding

__all__ = ["ExplicitPadding"]
