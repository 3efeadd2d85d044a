"""3D ResNets for training from scratch."""

from . import resnet3d

__all__ = ["resnet3d"]
