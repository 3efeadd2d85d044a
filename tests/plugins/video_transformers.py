"""Small networks of each family of video transformers, for clips of 8 frames of 32 pixels."""

from functools import partial

import torch
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from torch import nn
from torchvision.models.video import SwinTransformer3d
from torchvision.models.video.mvit import MSBlockConfig, MViT

from pvbias.clips import ClipSpec, single_pathway
from pvbias.models import Recognizer

SPEC = ClipSpec(num_frames=8, sampling_rate=1, crop_size=32, test_crop_size=32, short_side=32)
CLASSES = 3


def torchvision_mvit(relative):
    block = partial(MSBlockConfig, input_channels=16, output_channels=16, kernel_q=[], stride_q=[])
    blocks = [
        block(num_heads=1, kernel_kv=[3, 3, 3], stride_kv=[1, 2, 2]),
        block(num_heads=2, kernel_kv=[3, 3, 3], stride_kv=[2, 2, 2]),
    ]
    return MViT(
        (32, 32), 8, blocks, relative, relative, relative, relative, num_classes=CLASSES, patch_embed_stride=(2, 8, 8)
    )


def pytorchvideo_mvit():
    return create_multiscale_vision_transformers(
        spatial_size=32,
        temporal_size=8,
        depth=2,
        patch_embed_dim=16,
        conv_patch_embed_stride=(2, 8, 8),
        num_heads=2,
        pool_kv_stride_adaptive=[1, 2, 2],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=CLASSES,
        head_activation=None,
    )


def swin():
    return SwinTransformer3d([2, 4, 4], 12, [2], [2], [2, 4, 4], num_classes=CLASSES)


def transformers_network(name, **options):
    import transformers

    kind = getattr(transformers, f"{name}ForVideoClassification")
    config = kind.config_class(
        image_size=32,
        num_frames=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=CLASSES,
        **options,
    )
    network = kind(config)
    network.register_forward_hook(lambda module, args, output: output.logits)
    return network


FAMILIES = {
    "torchvision MViT v1": partial(torchvision_mvit, False),
    "torchvision MViT v2": partial(torchvision_mvit, True),
    "PyTorchVideo MViT": pytorchvideo_mvit,
    "Swin3D": swin,
    "TimeSformer": partial(transformers_network, "Timesformer", patch_size=8),
    "ViViT": partial(transformers_network, "Vivit", tubelet_size=[2, 8, 8]),
    "VideoMAE": partial(transformers_network, "VideoMAE", patch_size=8, tubelet_size=2),
}


def vjepa():
    """V-JEPA 2, with the predictor that it trains by and a classifier does not call."""
    import transformers

    kind = transformers.VJEPA2ForVideoClassification
    sizes = {"image_size": 32, "crop_size": 32, "patch_size": 8, "frames_per_clip": 8, "hidden_size": 24}
    layers = {"num_hidden_layers": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1}
    config = kind.config_class(
        **sizes, **layers, num_attention_heads=2, pred_hidden_size=24, pred_num_attention_heads=2, num_labels=CLASSES
    )
    network = kind(config)
    network.register_forward_hook(lambda module, args, output: output.logits)
    return Recognizer(network, clip_spec=SPEC, head="classifier", pathways=lambda clip: clip.transpose(1, 2)).eval()


def recognizer(family, **options):
    """A network whose parameters are all drawn anew: those that begin at zero, too."""
    torch.manual_seed(0)
    network = FAMILIES[family](**options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    hugging = type(network).__module__.startswith("transformers")
    heads = {"torchvision MViT v1": "head.1", "torchvision MViT v2": "head.1", "PyTorchVideo MViT": "head.proj"}
    pathways = (lambda clip: clip.transpose(1, 2)) if hugging else single_pathway
    head = heads.get(family, "classifier" if hugging else "head")
    return Recognizer(network, clip_spec=SPEC, head=head, pathways=pathways).eval()


def clips(count=2):
    return torch.rand(count, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
