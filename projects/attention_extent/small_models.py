"""Two small video transformers for clips of 8 frames of 16 pixels: torchvision's MViT, and VideoMAE's ViT."""

from torch import Tensor, nn
from torchvision.models.video.mvit import MSBlockConfig, MViT

from pvbias.clips import ClipSpec
from pvbias.errors import ConfigError
from pvbias.models import ZooModel
from pvbias.registries import MODEL

#: Pixels of a patch, frames of a tubelet, width, layers.
_PATCH, _TUBELET, _WIDTH, _LAYERS = 8, 2, 48, 3
_SPEC = ClipSpec(num_frames=8, sampling_rate=1, crop_size=16, test_crop_size=16, short_side=16)


def build_mvit(*, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """MViT v1 without pooling of queries: three blocks, keys pooled in space in the first."""
    block = [
        MSBlockConfig(2, _WIDTH, _WIDTH, [], [3, 3, 3], [], [1, 2, 2] if layer < 1 else [1, 1, 1])
        for layer in range(_LAYERS)
    ]
    return MViT(
        (crop_size, crop_size),
        num_frames,
        block,
        residual_pool=False,
        residual_with_cls_embed=True,
        rel_pos_embed=False,
        proj_after_attn=False,
        num_classes=num_classes,
        dropout=0.0,
        patch_embed_stride=(_TUBELET, _PATCH, _PATCH),
    )


def build_vit(*, num_classes: int, num_frames: int, crop_size: int) -> nn.Module:
    """VideoMAE's network from random weights: joint attention over all tubelets.

    Raises:
        ConfigError: transformers is not installed.
    """
    try:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification
    except ImportError as error:
        raise ConfigError("small_vit needs transformers: `pip install 'pvbias[transformers]'`.") from error
    config = VideoMAEConfig(
        image_size=crop_size,
        num_frames=num_frames,
        patch_size=_PATCH,
        tubelet_size=_TUBELET,
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=2,
        intermediate_size=2 * _WIDTH,
        num_labels=num_classes,
    )
    network = VideoMAEForVideoClassification(config)
    network.register_forward_hook(_logits)
    return network


def frames_first(clip: Tensor) -> Tensor:
    """``(N, C, T, H, W) -> (N, T, C, H, W)``."""
    return clip.transpose(1, 2)


def _logits(module: nn.Module, args: object, output: object) -> Tensor:
    return output.logits  # type: ignore[attr-defined]


MODEL.register(ZooModel(zoo="attention_extent", build=build_mvit, clip_spec=_SPEC, head="head.1"), name="small_mvit")
MODEL.register(
    ZooModel(zoo="attention_extent", build=build_vit, clip_spec=_SPEC, head="classifier", pathways=frames_first),
    name="small_vit",
)
