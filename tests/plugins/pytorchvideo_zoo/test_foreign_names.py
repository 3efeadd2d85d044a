"""Files with SlowFast's own names, and 2D ResNets, in PyTorchVideo's models."""

import pytest
import torch
import torchvision
from torch import nn

from pvbias.models import build_shapes
from pvbias.plugin_loading import load_plugins
from pvbias.registries import KEY_LAYOUT, MODEL
from pvbias.zoo import load_module_weights, match_catalogue

load_plugins(["pvbias.plugins.pytorchvideo_zoo"])

#: Blocks of the four stages.
R50, X3D_S = (3, 4, 6, 3), (3, 5, 11, 7)
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def norm(name):
    return [f"{name}.{leaf}" for leaf in BATCH_NORM]


def slowfast_names(depths, pathways=1, x3d=False):
    """The state-dict keys of SlowFast's own networks, as its ``resnet_helper``, ``stem_helper`` and heads name them."""
    names = ["head.projection.weight", "head.projection.bias"]
    if x3d:
        names += ["head.conv_5.weight", *norm("head.conv_5_bn"), "head.lin_5.weight", "s1.pathway0_stem.conv_xy.weight"]
    for stage in range(1, 5) if pathways > 1 else ():
        names += [f"s{stage}_fuse.conv_f2s.weight", *norm(f"s{stage}_fuse.bn")]
    for pathway in range(pathways):
        names += [f"s1.pathway{pathway}_stem.conv.weight", *norm(f"s1.pathway{pathway}_stem.bn")]
        for stage, depth in enumerate(depths, start=2):
            for block in range(depth):
                place = f"s{stage}.pathway{pathway}_res{block}"
                for letter in "abc":
                    names += [f"{place}.branch2.{letter}.weight", *norm(f"{place}.branch2.{letter}_bn")]
                if block == 0:
                    names += [f"{place}.branch1.weight", *norm(f"{place}.branch1_bn")]
                if x3d and block % 2 == 0:
                    names += [f"{place}.branch2.se.fc{n}.{leaf}" for n in (1, 2) for leaf in ("weight", "bias")]
    return names


def convert(layout, names, model):
    """Where the names end up: their own names -> the model's."""
    own = build_shapes(MODEL.get(model), num_classes=2).state_dict()
    # The position says which tensor it was.
    weights = {name: torch.empty(index, 0, device="meta") for index, name in enumerate(names)}
    found = KEY_LAYOUT.get(layout)(weights, own)
    return own, {names[len(value)]: name for name, value in found.items()}


@pytest.mark.parametrize(
    ("model", "depths", "pathways", "pairs"),
    [
        (
            "slow_r50",
            R50,
            1,
            {
                "s1.pathway0_stem.conv.weight": "blocks.0.conv.weight",
                "s1.pathway0_stem.bn.running_var": "blocks.0.norm.running_var",
                "s2.pathway0_res0.branch1.weight": "blocks.1.res_blocks.0.branch1_conv.weight",
                "s2.pathway0_res0.branch1_bn.bias": "blocks.1.res_blocks.0.branch1_norm.bias",
                "s5.pathway0_res2.branch2.b.weight": "blocks.4.res_blocks.2.branch2.conv_b.weight",
                "s5.pathway0_res2.branch2.c_bn.weight": "blocks.4.res_blocks.2.branch2.norm_c.weight",
                "head.projection.bias": "blocks.5.proj.bias",
            },
        ),
        (
            "i3d_r50",  # with a pooling block after the first stage
            R50,
            1,
            {
                "s2.pathway0_res1.branch2.a.weight": "blocks.1.res_blocks.1.branch2.conv_a.weight",
                "s3.pathway0_res0.branch2.a.weight": "blocks.3.res_blocks.0.branch2.conv_a.weight",
                "head.projection.weight": "blocks.6.proj.weight",
            },
        ),
        (
            "slowfast_r50",
            R50,
            2,
            {
                "s1.pathway1_stem.conv.weight": "blocks.0.multipathway_blocks.1.conv.weight",
                "s1_fuse.conv_f2s.weight": "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
                "s4_fuse.bn.running_mean": "blocks.3.multipathway_fusion.norm.running_mean",
                "s5.pathway1_res0.branch1.weight": "blocks.4.multipathway_blocks.1.res_blocks.0.branch1_conv.weight",
                "head.projection.weight": "blocks.6.proj.weight",
            },
        ),
    ],
)
def test_every_name_of_slowfasts_resnets_has_its_place(model, depths, pathways, pairs):
    names = slowfast_names(depths, pathways)
    own, places = convert("SlowFast", names, model)
    assert {name: places[name] for name in pairs} == pairs
    assert set(places) == set(names)
    assert set(places.values()) == set(own)


def test_x3d_has_its_stem_its_head_and_one_norm_less():
    names = slowfast_names(X3D_S, x3d=True)
    own = build_shapes(MODEL.get("x3d_s"), num_classes=2).state_dict()
    first = "s2.pathway0_res0.branch1_bn"
    shapes = {"s2.pathway0_res0.branch1.weight": (24, 24, 1, 1, 1)}
    weights = {name: torch.rand(shapes.get(name, (24,))) + 1 for name in names}
    found = KEY_LAYOUT.get("SlowFast")(weights, own)
    assert found.keys() == own.keys()
    pairs = {
        # SlowFast's spatial convolution comes first, PyTorchVideo's is called conv_t.
        "s1.pathway0_stem.conv_xy.weight": "blocks.0.conv.conv_t.weight",
        "s1.pathway0_stem.conv.weight": "blocks.0.conv.conv_xy.weight",
        "s2.pathway0_res0.branch2.b_bn.weight": "blocks.1.res_blocks.0.branch2.norm_b.0.weight",
        "s2.pathway0_res1.branch2.b_bn.weight": "blocks.1.res_blocks.1.branch2.norm_b.0.weight",
        "s2.pathway0_res0.branch2.se.fc2.bias": "blocks.1.res_blocks.0.branch2.norm_b.1.block.2.bias",
        "s3.pathway0_res0.branch1_bn.bias": "blocks.2.res_blocks.0.branch1_norm.bias",
        "head.conv_5_bn.bias": "blocks.5.pool.pre_norm.bias",
        "head.lin_5.weight": "blocks.5.pool.post_conv.weight",
        "head.projection.weight": "blocks.5.proj.weight",
    }
    assert all(found[ours] is weights[theirs] for theirs, ours in pairs.items())
    # The first shortcut: a convolution and a norm there, the convolution alone here, what it adds in the other branch.
    clip = torch.rand(2, 24, 3, 4, 4)
    shortcut, there = nn.Conv3d(24, 24, 1, bias=False), nn.BatchNorm3d(24).eval()
    shortcut.weight.data = weights["s2.pathway0_res0.branch1.weight"]
    there.load_state_dict({leaf: weights[f"{first}.{leaf}"] for leaf in BATCH_NORM[:4]}, strict=False)
    expected = there(shortcut(clip)) + weights["s2.pathway0_res0.branch2.c_bn.bias"].view(1, -1, 1, 1, 1)
    shortcut.weight.data = found["blocks.1.res_blocks.0.branch1_conv.weight"]
    result = shortcut(clip) + found["blocks.1.res_blocks.0.branch2.norm_c.bias"].view(1, -1, 1, 1, 1)
    assert torch.allclose(result, expected, atol=1e-4)


def test_mvit_has_one_projection_for_queries_keys_and_values():
    own = build_shapes(MODEL.get("mvit_base_16x4"), num_classes=2).state_dict()
    joint = torch.arange(12.0).view(6, 2)
    weights = {
        "cls_token": torch.zeros(1, 1, 2),
        "pos_embed_spatial": torch.zeros(1, 9, 2),
        "patch_embed.proj.weight": torch.zeros(2, 3, 3, 7, 7),
        "blocks.0.norm1.weight": torch.zeros(2),
        "blocks.0.attn.qkv.weight": joint,
        "blocks.0.attn.proj.bias": torch.zeros(2),
        "norm.bias": torch.zeros(2),
        "head.projection.weight": torch.zeros(5, 2),
        "blocks.0.attn.rel_pos_h": torch.zeros(3),  # the second version's
    }
    found = KEY_LAYOUT.get("SlowFast MViT")(weights, own)
    assert set(found) == {
        "cls_positional_encoding.cls_token",
        "cls_positional_encoding.pos_embed_spatial",
        "patch_embed.patch_model.weight",
        "blocks.0.norm1.weight",
        "blocks.0.attn.q.weight",
        "blocks.0.attn.k.weight",
        "blocks.0.attn.v.weight",
        "blocks.0.attn.proj.bias",
        "norm_embed.bias",
        "head.proj.weight",
        "blocks.0.attn.rel_pos_h",
    }
    assert found["blocks.0.attn.q.weight"].tolist() == [[0, 1], [2, 3]]
    assert found["blocks.0.attn.v.weight"].tolist() == [[8, 9], [10, 11]]


def test_a_2d_resnet_in_c2d_is_the_2d_resnet_on_a_still_clip(tmp_path):
    torch.manual_seed(0)
    image_model = torchvision.models.resnet50(num_classes=5).eval()
    for layer in image_model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.running_mean, std=0.1)
    path = tmp_path / "resnet50.pth"
    torch.save(image_model.state_dict(), path)
    entry = MODEL.get("c2d_r50")
    module = entry.build(num_classes=5, num_frames=2, crop_size=32).eval()
    report = load_module_weights(module, entry.head, str(path), key="MODEL.MODEL_NAME")
    assert (report.layout, report.backbone_fraction, report.head_loaded) == ("torchvision 2D ResNet", 1.0, True)
    # Every kernel of it, all with a single frame in C2D: 1 in the stem, 16 blocks of 3, 4 shortcuts.
    assert len(report.inflated) == 53
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = image_model(image)
        result = module(image[:, :, None].expand(-1, -1, 2, -1, -1))
    assert torch.allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("model", ["slow_r50", "i3d_r50"])
def test_a_2d_resnet_fills_the_backbone_of_3d_ones(model, monkeypatch):
    with torch.device("meta"):
        weights = torchvision.models.resnet50().state_dict()
    monkeypatch.setattr(MODEL, "_obj_map", {model: MODEL.get(model)})
    found = match_catalogue(weights)[model]
    assert (found.backbone_fraction, found.num_classes) == (1.0, 1000)


@pytest.mark.parametrize("layout", ["SlowFast", "SlowFast MViT", "torchvision 2D ResNet"])
def test_layouts_leave_other_files_and_models_alone(layout):
    own = {"conv.weight": torch.zeros(1), "proj.weight": torch.zeros(1)}
    theirs = build_shapes(MODEL.get("x3d_s"), num_classes=2).state_dict()
    convert_layout = KEY_LAYOUT.get(layout)
    assert convert_layout(own, theirs) is None
    assert convert_layout(theirs, own) is None
    assert convert_layout(theirs, theirs) is None
