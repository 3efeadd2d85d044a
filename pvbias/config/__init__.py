"""The configuration: one documented tree, loaded with checks, saved with every run."""

from .defaults import get_cfg

__all__ = ["get_cfg"]
