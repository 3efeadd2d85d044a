"""Classic video networks: 3D ResNets, R(2+1)D, CSN, Inception-I3D, TSN, TSM."""

from . import hara_resnet, inception_i3d, resnet3d, s3dg, sampling, temporal_shift, video_resnets

__all__ = ["hara_resnet", "inception_i3d", "resnet3d", "s3dg", "sampling", "temporal_shift", "video_resnets"]
