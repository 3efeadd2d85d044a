"""The keys of SlowFast's configurations that describe its ``PTV*`` models (:mod:`.slowfast_models`).

Names and meanings are SlowFast's; so are the defaults where those work.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode


def _add_common(cfg: CfgNode, arch: str) -> None:
    # The kind of network. PTVResNet: "slow", "c2d" or "i3d"; the other families have one kind each.
    cfg.MODEL.ARCH = arch
    # Part of the features dropped before the final projection in training, [0, 1).
    cfg.MODEL.DROPOUT_RATE = 0.5
    # Channels of each pathway's clips: 3, since they are RGB.
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    # Test clips from a video's beginning to its end, a single one in the middle; else the k-th of n begins at k / n of
    # the room, a single one at the beginning.
    cfg.DATA.USE_OFFSET_SAMPLING = False
    cfg.DETECTION = CfgNode()
    # A head for boxes instead of whole clips: False, since there is none here.
    cfg.DETECTION.ENABLE = False


def add_resnet_size(cfg: CfgNode, arch: str) -> None:
    """Keys of PTVCSN and PTVR2plus1D."""
    _add_common(cfg, arch)
    cfg.RESNET = CfgNode()
    # Layers: 50, 101 or 152 (PTVSlowFast: 50 or 101).
    cfg.RESNET.DEPTH = 50
    # Channels after the stem, >= 1 (for CSN and R(2+1)D as well); the four stages end with 4, 8, 16, 32 times as many.
    cfg.RESNET.WIDTH_PER_GROUP = 64


def add_resnet(cfg: CfgNode, arch: str = "slow") -> None:
    """Keys of PTVResNet."""
    add_resnet_size(cfg, arch)
    # Groups of the second convolution of each block, >= 1.
    cfg.RESNET.NUM_GROUPS = 1
    # For each of the four stages, for each pathway: spatial stride, and spatial dilation of the second convolutions.
    cfg.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]
    cfg.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]
    # The kind of block, and which of its convolutions has the stride (the 1x1x1 one, or the other): as here.
    cfg.RESNET.TRANS_FUNC = "bottleneck_transform"
    cfg.RESNET.STRIDE_1X1 = False


def add_slowfast(cfg: CfgNode) -> None:
    """Keys of PTVSlowFast."""
    add_resnet(cfg, "slowfast")
    cfg.DATA.INPUT_CHANNEL_NUM = [3, 3]
    cfg.RESNET.SPATIAL_STRIDES = [[1, 1], [2, 2], [2, 2], [2, 2]]
    cfg.RESNET.SPATIAL_DILATIONS = [[1, 1], [1, 1], [1, 1], [1, 1]]
    # For each stage, for each pathway: how many of its blocks have their temporal kernel; the rest sees single frames.
    cfg.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3, 3], [4, 4], [6, 6], [3, 3]]
    cfg.SLOWFAST = CfgNode()
    # Frames of the fast pathway to one of the slow one, >= 1.
    cfg.SLOWFAST.ALPHA = 8
    # Channels of the slow pathway to one of the fast one, >= 1.
    cfg.SLOWFAST.BETA_INV = 8
    # What goes from the fast pathway to the slow one: channels to one of the fast pathway, and frames of the kernel.
    cfg.SLOWFAST.FUSION_CONV_CHANNEL_RATIO = 2
    cfg.SLOWFAST.FUSION_KERNEL_SZ = 5


def add_x3d(cfg: CfgNode) -> None:
    """Keys of PTVX3D."""
    _add_common(cfg, "x3d")
    cfg.RESNET = CfgNode()
    # As in PTVResNet; X3D's own kind of block.
    cfg.RESNET.TRANS_FUNC = "x3d_transform"
    cfg.RESNET.STRIDE_1X1 = False
    cfg.X3D = CfgNode()
    # Factors on the channels, on the blocks of each stage, and on the channels inside a block, > 0.
    cfg.X3D.WIDTH_FACTOR = 1.0
    cfg.X3D.DEPTH_FACTOR = 1.0
    cfg.X3D.BOTTLENECK_FACTOR = 1.0
    # Channels of the first convolution (before WIDTH_FACTOR), and those that the final projection sees, >= 1.
    cfg.X3D.DIM_C1 = 12
    cfg.X3D.DIM_C5 = 2048
    # A BatchNorm before the last activation.
    cfg.X3D.BN_LIN5 = False


def add_mvit(cfg: CfgNode) -> None:
    """Keys of PTVMViT."""
    _add_common(cfg, "mvit")
    cfg.MVIT = mvit = CfgNode()
    # Patches, as the convolution that cuts them: frames, rows and columns. (SlowFast's own default for the padding, 2 x
    # 4 x 4, gives more patches than there are positional embeddings.)
    mvit.PATCH_KERNEL = [3, 7, 7]
    mvit.PATCH_STRIDE = [2, 4, 4]
    mvit.PATCH_PADDING = [1, 3, 3]
    # Patches of images: False, since clips are cut in time, too.
    mvit.PATCH_2D = False
    # A class token; positional embeddings made of a spatial and a temporal one.
    mvit.CLS_EMBED_ON = True
    mvit.SEP_POS_EMBED = False
    # Blocks; channels and heads of the first one, >= 1.
    mvit.DEPTH = 16
    mvit.EMBED_DIM = 96
    mvit.NUM_HEADS = 1
    # [[block, factor], ...] on the channels and on the heads.
    mvit.DIM_MUL = []
    mvit.HEAD_MUL = []
    # Normalisation: "layernorm"; another one after the patches are cut.
    mvit.NORM = "layernorm"
    mvit.NORM_STEM = False
    # Channels inside the MLPs to one outside, > 0; biases of queries, keys and values.
    mvit.MLP_RATIO = 4.0
    mvit.QKV_BIAS = True
    # Dropout inside the blocks, and of whole blocks (rising to this from the first to the last), [0, 1).
    mvit.DROPOUT_RATE = 0.0
    mvit.DROPPATH_RATE = 0.1
    # Pooling in attention: "conv", "avg" or "max", before the projections or after them.
    mvit.MODE = "conv"
    mvit.POOL_FIRST = False
    # Its strides: [[block, frames, rows, columns], ...] for queries and for keys and values; or for the latter those of
    # the first block, which shrink as the queries are pooled. Its kernel. Empty: none; for the kernel, by the stride.
    mvit.POOL_Q_STRIDE = []
    mvit.POOL_KV_STRIDE = []
    mvit.POOL_KV_STRIDE_ADAPTIVE = []
    mvit.POOL_KVQ_KERNEL = []
