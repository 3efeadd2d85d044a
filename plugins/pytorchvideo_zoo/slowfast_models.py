"""SlowFast's ``PTV*`` models, as its configurations describe them.

A YAML file in the format of SlowFast's ``configs/Kinetics/pytorchvideo`` builds the network that SlowFast builds from
it: PyTorchVideo's, with SlowFast's values for the options. A SlowFast checkpoint has the same keys behind the prefix
``model.``. Keys and defaults are in :mod:`.slowfast_options`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fvcore.common.config import CfgNode
from pytorchvideo.models.csn import create_csn
from pytorchvideo.models.r2plus1d import create_r2plus1d
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.slowfast import create_slowfast
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from pytorchvideo.models.x3d import create_x3d
from torch import nn

from pvbias.clips import ClipSpec, slow_fast_pathways
from pvbias.data import VideoSource
from pvbias.errors import ConfigError
from pvbias.models import ModelFamily, ZooModel
from pvbias.registries import DATASET, MODEL_FAMILY

from .building import (
    SPATIAL_STRIDE,
    Creator,
    build_mvit,
    build_resnet,
    build_slowfast,
    build_x3d,
    convolved_by,
    pooled_by,
)
from .models import SLOWFAST_TAP, ZOO
from .slowfast_options import add_mvit, add_resnet, add_resnet_size, add_slowfast, add_x3d

#: Frames that the first convolution of a block sees, for the blocks of stages 1 to 4 in turn.
_RESNET_KERNELS = {
    "slow": ((1,), (1,), (3,), (3,)),
    "c2d": ((1,), (1,), (1,), (1,)),
    "i3d": ((3,), (3, 1), (3, 1), (1, 3)),
}
_SLOWFAST_KERNELS = ((1, 1, 3, 3), (3, 3, 3, 3))
_STAGE_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _configure_resnet(cfg: CfgNode) -> ZooModel:
    """C2D, I3D or Slow, whichever MODEL.ARCH says."""
    resnet, arch = cfg.RESNET, cfg.MODEL.ARCH
    _check_common(cfg, *_RESNET_KERNELS)
    _only(cfg, "RESNET.DEPTH", 50, 101, 152)
    _only(cfg, "RESNET.TRANS_FUNC", "bottleneck_transform")
    _only(cfg, "RESNET.STRIDE_1X1", False)
    (strides,) = _by_stage(cfg, "RESNET.SPATIAL_STRIDES", 1)
    (dilations,) = _by_stage(cfg, "RESNET.SPATIAL_DILATIONS", 1)
    pooled = arch != "slow"  # over time, after the first stage, which gives the head one more block to come after
    create = _creator(
        cfg,
        create_resnet,
        model_depth=resnet.DEPTH,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        stem_dim_out=resnet.WIDTH_PER_GROUP,
        stem_conv_kernel_size=(5 if arch == "i3d" else 1, 7, 7),
        stage1_pool=nn.MaxPool3d if pooled else None,
        stage_conv_a_kernel_size=tuple([(frames, 1, 1) for frames in stage] for stage in _RESNET_KERNELS[arch]),
        stage_conv_b_num_groups=(resnet.NUM_GROUPS,) * 4,
        stage_conv_b_dilation=tuple((1, dilation, dilation) for dilation in dilations),
        stage_spatial_h_stride=strides,
        stage_spatial_w_stride=strides,
    )
    return ZooModel(
        zoo=ZOO,
        build=partial(
            build_resnet,
            create,
            frames_at_head=pooled_by(2) if pooled else convolved_by(1),
            spatial_stride=_total(strides),
        ),
        clip_spec=_clip(cfg),
        head="blocks.6.proj" if pooled else "blocks.5.proj",
        stages="blocks",
    )


def _configure_slowfast(cfg: CfgNode) -> ZooModel:
    """SlowFast: a slow and a fast pathway."""
    resnet, slowfast = cfg.RESNET, cfg.SLOWFAST
    _check_common(cfg, "slowfast")
    _only(cfg, "RESNET.DEPTH", *_STAGE_DEPTHS)
    _only(cfg, "RESNET.TRANS_FUNC", "bottleneck_transform")
    _only(cfg, "RESNET.STRIDE_1X1", False)
    strides, fast_strides = _by_stage(cfg, "RESNET.SPATIAL_STRIDES", 2)
    if strides != fast_strides:
        _fail(cfg, "RESNET.SPATIAL_STRIDES", "the pathways are joined after each stage and need the same strides")
    slow_dilations, (first, second, *_) = _by_stage(cfg, "RESNET.SPATIAL_DILATIONS", 2)
    # SlowFast gives the fast pathway's last two stages the dilation of the second one; checkpoints were made that way.
    dilations = (slow_dilations, (first, second, second, second))
    with_kernel = _by_stage(cfg, "RESNET.NUM_BLOCK_TEMP_KERNEL", 2)
    create = _creator(
        cfg,
        create_slowfast,
        slowfast_channel_reduction_ratio=slowfast.BETA_INV,
        slowfast_conv_channel_fusion_ratio=slowfast.FUSION_CONV_CHANNEL_RATIO,
        slowfast_fusion_conv_kernel_size=(slowfast.FUSION_KERNEL_SZ, 1, 1),
        slowfast_fusion_conv_stride=(slowfast.ALPHA, 1, 1),
        model_depth=resnet.DEPTH,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        stem_dim_outs=(resnet.WIDTH_PER_GROUP, resnet.WIDTH_PER_GROUP // slowfast.BETA_INV),
        stage_conv_a_kernel_sizes=tuple(
            tuple(
                ((frames, 1, 1),) * count + ((1, 1, 1),) * (depth - count)
                for frames, count, depth in zip(pathway, counts, _STAGE_DEPTHS[resnet.DEPTH], strict=True)
            )
            for pathway, counts in zip(_SLOWFAST_KERNELS, with_kernel, strict=True)
        ),
        stage_conv_b_num_groups=((resnet.NUM_GROUPS,) * 4,) * 2,
        stage_conv_b_dilations=tuple(tuple((1, dilation, dilation) for dilation in pathway) for pathway in dilations),
        stage_spatial_strides=(strides, fast_strides),
    )
    return ZooModel(
        zoo=ZOO,
        build=partial(build_slowfast, create, alpha=slowfast.ALPHA, spatial_stride=_total(strides)),
        clip_spec=_clip(cfg),
        head="blocks.6.proj",
        pathways=slow_fast_pathways(alpha=slowfast.ALPHA),
        tap=SLOWFAST_TAP,
    )


def _configure_x3d(cfg: CfgNode) -> ZooModel:
    """X3D of any width and depth."""
    x3d = cfg.X3D
    _check_common(cfg, "x3d")
    _only(cfg, "RESNET.TRANS_FUNC", "x3d_transform")
    _only(cfg, "RESNET.STRIDE_1X1", False)
    create = _creator(
        cfg,
        create_x3d,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        width_factor=x3d.WIDTH_FACTOR,
        depth_factor=x3d.DEPTH_FACTOR,
        bottleneck_factor=x3d.BOTTLENECK_FACTOR,
        stem_dim_in=x3d.DIM_C1,
        head_dim_out=x3d.DIM_C5,
        head_bn_lin5_on=x3d.BN_LIN5,
    )
    build = partial(build_x3d, create)
    return ZooModel(zoo=ZOO, build=build, clip_spec=_clip(cfg), head="blocks.5.proj", stages="blocks")


def _configure_csn(cfg: CfgNode) -> ZooModel:
    """Channel-separated network."""
    return _one_size_resnet(cfg, create_csn, convolved_by(8), "csn", stem_pool=nn.MaxPool3d)


def _configure_r2plus1d(cfg: CfgNode) -> ZooModel:
    """R(2+1)D."""
    return _one_size_resnet(cfg, create_r2plus1d, convolved_by(4), "r2plus1d")


def _one_size_resnet(
    cfg: CfgNode, create: Creator, frames_at_head: Callable[[int], int], arch: str, **options: Any
) -> ZooModel:
    _check_common(cfg, arch)
    _only(cfg, "RESNET.DEPTH", 50, 101, 152)
    create = _creator(
        cfg,
        create,
        model_depth=cfg.RESNET.DEPTH,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        stem_dim_out=cfg.RESNET.WIDTH_PER_GROUP,
        **options,
    )
    build = partial(build_resnet, create, frames_at_head=frames_at_head)
    return ZooModel(zoo=ZOO, build=build, clip_spec=_clip(cfg), head="blocks.5.proj", stages="blocks")


def _configure_mvit(cfg: CfgNode) -> ZooModel:
    """Multiscale vision transformer, first version."""
    mvit = cfg.MVIT
    _check_common(cfg, "mvit")
    _only(cfg, "MVIT.NORM", "layernorm")
    _only(cfg, "MVIT.PATCH_2D", False)
    patch = {name: getattr(mvit, f"PATCH_{name}") for name in ("KERNEL", "STRIDE", "PADDING")}
    for name, sizes in patch.items():
        if len(sizes) != 3:
            _fail(cfg, f"MVIT.PATCH_{name}", "must be frames, rows and columns")
    if any(not k - s <= 2 * p < k for k, s, p in zip(*patch.values(), strict=True)):
        _fail(cfg, "MVIT.PATCH_PADDING", "with these kernels and strides does not give one patch for each stride")
    create = _creator(
        cfg,
        create_multiscale_vision_transformers,
        cls_embed_on=mvit.CLS_EMBED_ON,
        sep_pos_embed=mvit.SEP_POS_EMBED,
        depth=mvit.DEPTH,
        patch_embed_dim=mvit.EMBED_DIM,
        conv_patch_embed_kernel=tuple(patch["KERNEL"]),
        conv_patch_embed_stride=tuple(patch["STRIDE"]),
        conv_patch_embed_padding=tuple(patch["PADDING"]),
        enable_patch_embed_norm=mvit.NORM_STEM,
        num_heads=mvit.NUM_HEADS,
        mlp_ratio=mvit.MLP_RATIO,
        qkv_bias=mvit.QKV_BIAS,
        dropout_rate_block=mvit.DROPOUT_RATE,
        droppath_rate_block=mvit.DROPPATH_RATE,
        pooling_mode=mvit.MODE,
        pool_first=mvit.POOL_FIRST,
        embed_dim_mul=mvit.DIM_MUL,
        atten_head_mul=mvit.HEAD_MUL,
        pool_q_stride_size=mvit.POOL_Q_STRIDE,
        pool_kv_stride_size=mvit.POOL_KV_STRIDE or None,
        pool_kv_stride_adaptive=mvit.POOL_KV_STRIDE_ADAPTIVE or None,
        pool_kvq_kernel=mvit.POOL_KVQ_KERNEL or None,
        head_dropout_rate=cfg.MODEL.DROPOUT_RATE,
    )
    return ZooModel(
        zoo=ZOO,
        build=partial(build_mvit, create, patch=patch["STRIDE"]),
        clip_spec=_clip(cfg),
        head="head.proj",
        fixed_size=True,
    )


def _check_common(cfg: CfgNode, *archs: str) -> None:
    _only(cfg, "MODEL.ARCH", *archs)
    _only(cfg, "DETECTION.ENABLE", False)
    if set(cfg.DATA.INPUT_CHANNEL_NUM) != {3}:
        _fail(cfg, "DATA.INPUT_CHANNEL_NUM", "must be 3 for each pathway: clips are RGB")


def _only(cfg: CfgNode, key: str, *values: Any) -> None:
    group, name = key.split(".")
    if cfg[group][name] not in values:
        _fail(cfg, key, "must be " + " or ".join(map(repr, values)))


def _by_stage(cfg: CfgNode, key: str, pathways: int) -> list[tuple[int, ...]]:
    """For each pathway, the numbers of its four stages; SlowFast's keys have them the other way round."""
    group, name = key.split(".")
    stages = cfg[group][name]
    if len(stages) != 4 or not all(isinstance(stage, Sequence) and len(stage) >= pathways for stage in stages):
        _fail(cfg, key, f"must be four lists, one for each stage, of {pathways} numbers, one for each pathway")
    return [tuple(stage[pathway] for stage in stages) for pathway in range(pathways)]


def _fail(cfg: CfgNode, key: str, what: str) -> None:
    group, name = key.split(".")
    raise ConfigError(f"{key} = {cfg[group][name]!r} {what} ({cfg.MODEL.MODEL_NAME}).")


def _creator(cfg: CfgNode, create: Creator, **options: Any) -> Creator:
    """PyTorchVideo's function with these options, under the family's name."""

    def configured(**sizes: Any) -> nn.Module:
        try:
            return create(**options, **sizes)
        except (AssertionError, ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"{configured.__name__} cannot be built as it is configured: {error}") from error

    configured.__name__ = cfg.MODEL.MODEL_NAME
    return configured


def _total(strides: Sequence[int]) -> int:
    """The total stride up to the head: the stem's and the stages'."""
    product = SPATIAL_STRIDE // 8
    for stride in strides:
        product *= stride
    return product


def _clip(cfg: CfgNode) -> ClipSpec:
    """The configured clips; SlowFast's 8 x 8 of 224 pixels, tested on 256, where the configuration leaves it open.

    SlowFast resizes frames to the smallest training scale before a test crop; its data set ``kinetics`` to the crop
    itself, where it takes more than one.
    """
    data, test = cfg.DATA, cfg.TEST
    crop = data.TRAIN_CROP_SIZE or 224
    test_crop = data.TEST_CROP_SIZE or (crop if cfg.MODEL.ARCH == "mvit" else round(crop * 256 / 224))
    short_side = (data.TRAIN_JITTER_SCALES or [round(crop * 256 / 224)])[0]
    if test.DATASET == "kinetics" and test.NUM_SPATIAL_CROPS > 1:
        short_side = test_crop
    return ClipSpec(
        num_frames=data.NUM_FRAMES or 8,
        sampling_rate=data.SAMPLING_RATE or 8,
        crop_size=crop,
        test_crop_size=test_crop,
        short_side=max(short_side, test_crop),
        # SlowFast's data set of that name is PyTorchVideo's loader.
        sampling="pytorchvideo" if test.DATASET == "ptvkinetics" else "slowfast",
    )


MODEL_FAMILY.register(ModelFamily(add_config=add_resnet, configure=_configure_resnet), name="PTVResNet")
MODEL_FAMILY.register(ModelFamily(add_config=add_slowfast, configure=_configure_slowfast), name="PTVSlowFast")
MODEL_FAMILY.register(ModelFamily(add_config=add_x3d, configure=_configure_x3d), name="PTVX3D")
MODEL_FAMILY.register(
    ModelFamily(add_config=partial(add_resnet_size, arch="csn"), configure=_configure_csn), name="PTVCSN"
)
MODEL_FAMILY.register(
    ModelFamily(add_config=partial(add_resnet_size, arch="r2plus1d"), configure=_configure_r2plus1d),
    name="PTVR2plus1D",
)
MODEL_FAMILY.register(ModelFamily(add_config=add_mvit, configure=_configure_mvit), name="PTVMViT")


@DATASET.register(name="ptvkinetics")
@DATASET.register(name="kinetics")
def build_kinetics(cfg: CfgNode, split: str) -> VideoSource:
    """SlowFast's name for ``videos``: {train,val,test}.csv in DATA.PATH_TO_DATA_DIR, a path and a label a line."""
    return DATASET.get("videos")(cfg, split)
