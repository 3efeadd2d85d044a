"""mmaction2's names: written out by hand from the names that its own networks have, and all keys there and back."""

import copy
import re

import pytest
import torch
from torch import nn

from pvbias.errors import WeightsError
from pvbias.models import Recognizer, build_shapes
from pvbias.plugin_loading import load_plugins
from pvbias.registries import KEY_LAYOUT, MODEL
from pvbias.tools.main import main
from pvbias.zoo import load_module_weights, load_weights, match

from ..models import recognizer_of

load_plugins(["pvbias.plugins.classic_models", "pvbias.plugins.pytorchvideo_zoo", "pvbias.plugins.mmaction2_names"])

#: Names here, and what mmaction2 1.2 calls them.
PAIRS = {
    "tsn_r50": {
        "base_model.conv1.weight": "backbone.conv1.conv.weight",
        "base_model.bn1.running_var": "backbone.conv1.bn.running_var",
        "base_model.layer1.0.downsample.0.weight": "backbone.layer1.0.downsample.conv.weight",
        "base_model.layer1.0.downsample.1.bias": "backbone.layer1.0.downsample.bn.bias",
        "base_model.layer4.2.conv3.weight": "backbone.layer4.2.conv3.conv.weight",
        "base_model.layer4.2.bn3.num_batches_tracked": "backbone.layer4.2.conv3.bn.num_batches_tracked",
        "new_fc.weight": "cls_head.fc_cls.weight",
        "new_fc.bias": "cls_head.fc_cls.bias",
    },
    "tsm_r50": {
        "base_model.layer1.0.conv1.net.weight": "backbone.layer1.0.conv1.conv.net.weight",
        "base_model.layer1.0.bn1.weight": "backbone.layer1.0.conv1.bn.weight",
        "base_model.layer2.3.conv2.weight": "backbone.layer2.3.conv2.conv.weight",
    },
    "slow_r50": {
        "blocks.0.conv.weight": "backbone.conv1.conv.weight",
        "blocks.0.norm.running_mean": "backbone.conv1.bn.running_mean",
        "blocks.1.res_blocks.0.branch1_conv.weight": "backbone.layer1.0.downsample.conv.weight",
        "blocks.1.res_blocks.0.branch1_norm.weight": "backbone.layer1.0.downsample.bn.weight",
        "blocks.4.res_blocks.2.branch2.conv_a.weight": "backbone.layer4.2.conv1.conv.weight",
        "blocks.4.res_blocks.2.branch2.norm_c.bias": "backbone.layer4.2.conv3.bn.bias",
        "blocks.5.proj.weight": "cls_head.fc_cls.weight",
    },
    "x3d_s": {
        "blocks.0.conv.conv_t.weight": "backbone.conv1_s.conv.weight",
        "blocks.0.conv.conv_xy.weight": "backbone.conv1_t.conv.weight",
        "blocks.0.norm.weight": "backbone.conv1_t.bn.weight",
        "blocks.1.res_blocks.0.branch2.norm_b.0.weight": "backbone.layer1.0.conv2.bn.weight",
        "blocks.1.res_blocks.0.branch2.norm_b.1.block.0.bias": "backbone.layer1.0.se_module.fc1.bias",
        "blocks.1.res_blocks.0.branch2.norm_b.1.block.2.weight": "backbone.layer1.0.se_module.fc2.weight",
        "blocks.5.pool.pre_conv.weight": "backbone.conv5.conv.weight",
        "blocks.5.pool.pre_norm.bias": "backbone.conv5.bn.bias",
        "blocks.5.pool.post_conv.weight": "cls_head.fc1.weight",
        "blocks.5.proj.bias": "cls_head.fc2.bias",
    },
    "ir_csn_152": {
        "stem.0.weight": "backbone.conv1.conv.weight",
        "stem.1.running_mean": "backbone.conv1.bn.running_mean",
        "layer1.0.conv1.0.weight": "backbone.layer1.0.conv1.conv.weight",
        "layer1.0.conv2.0.weight": "backbone.layer1.0.conv2.0.conv.weight",
        "layer1.0.conv2.1.bias": "backbone.layer1.0.conv2.0.bn.bias",
        "layer3.35.conv3.1.weight": "backbone.layer3.35.conv3.bn.weight",
        "fc.weight": "cls_head.fc_cls.weight",
    },
    "ip_csn_152": {
        "layer1.0.conv2.0.0.weight": "backbone.layer1.0.conv2.0.conv.weight",
        "layer1.0.conv2.0.1.bias": "backbone.layer1.0.conv2.0.bn.bias",
        "layer1.0.conv2.0.2.weight": "backbone.layer1.0.conv2.1.conv.weight",
        "layer1.0.conv2.1.running_var": "backbone.layer1.0.conv2.1.bn.running_var",
    },
}
#: How whole networks are named there: rules on the names here, in order.
RULES = {
    "frames": [(r"^base_model\.", ""), (r"^new_fc\.", "fc.")],
    "slow": [
        (r"^blocks\.0\.conv", "conv1"),
        (r"^blocks\.0\.norm", "bn1"),
        (r"^blocks\.(\d)\.res_blocks", r"layer\1"),
        (r"branch1_conv", "downsample.0"),
        (r"branch1_norm", "downsample.1"),
        (r"branch2\.conv_a", "conv1"),
        (r"branch2\.conv_b", "conv2"),
        (r"branch2\.conv_c", "conv3"),
        (r"branch2\.norm_a", "bn1"),
        (r"branch2\.norm_b", "bn2"),
        (r"branch2\.norm_c", "bn3"),
        (r"^blocks\.5\.proj", "fc"),
    ],
}
WRAPPED = [
    (r"^(.*)\bbn(\d)\.(\w+)$", r"\1conv\2.bn.\3"),
    (r"downsample\.0", "downsample.conv"),
    (r"downsample\.1", "downsample.bn"),
    (r"^(.*\bconv\d)\.(weight|net\.weight)$", r"\1.conv.\2"),
    (r"^fc\.", "cls_head.fc_cls."),
    (r"^(?!cls_head)", "backbone."),
]


def in_mmaction2(state, kind):
    named = {}
    for name, value in state.items():
        for old, new in [*RULES[kind], *WRAPPED]:
            name = re.sub(old, new, name)
        named[name] = value
    return named


def state_of(model, num_classes=5):
    spec = MODEL.get(model).clip_spec
    torch.manual_seed(1)
    return (
        MODEL.get(model)
        .build(num_classes=num_classes, num_frames=spec.num_frames, crop_size=spec.crop_size)
        .state_dict()
    )


@pytest.mark.parametrize("model", PAIRS)
def test_single_names(model):
    own = build_shapes(MODEL.get(model), num_classes=5).state_dict()
    anchors = {"layer1.0.conv1.bn.weight": "a", "conv1.conv.weight": "b"}
    for ours, theirs in PAIRS[model].items():
        weights = {theirs.removeprefix("backbone."): own[ours]}
        dimensions = 4 if model.startswith("ts") else 5
        for anchor in anchors:
            weights.setdefault(anchor, torch.empty((64, 3, *(1,) * (dimensions - 2)), device="meta"))
        if model == "tsm_r50":
            weights.setdefault("layer1.0.conv1.conv.net.weight", torch.empty(64, 64, 1, 1, device="meta"))
        if model == "x3d_s":
            weights.setdefault("conv1_s.conv.weight", torch.empty(24, 3, 1, 3, 3, device="meta"))
        if model == "ip_csn_152":
            weights.setdefault("layer1.0.conv2.1.conv.weight", torch.empty(64, 1, 3, 3, 3, device="meta"))
        found = [convert(weights, own) for name, convert in KEY_LAYOUT if name.startswith("mmaction2")]
        assert any(isinstance(named, dict) and ours in named for named in found), theirs


@pytest.mark.parametrize(("model", "kind"), [("tsn_r50", "frames"), ("tsm_r50", "frames"), ("slow_r50", "slow")])
def test_every_key_is_loaded(tmp_path, model, kind):
    theirs = state_of(model)
    torch.save({"state_dict": in_mmaction2(theirs, kind), "meta": {}}, tmp_path / "model.pth")
    module = recognizer_of(model, num_frames=4, crop_size=64).module
    report = load_module_weights(module, MODEL.get(model).head, str(tmp_path / "model.pth"), key="MODEL.MODEL_NAME")
    assert (report.skipped, report.initialised, report.head_loaded) == ({}, {}, True)
    assert report.layout.startswith("mmaction2")
    assert all(torch.equal(value, theirs[name]) for name, value in module.state_dict().items())


def test_x3ds_shortcuts_are_folded():
    """Where PyTorchVideo has no normalisation on a shortcut, mmaction2's becomes a part of what is there."""
    model = recognizer_of("x3d_xs", num_frames=4, crop_size=64).module.eval()
    reference = copy.deepcopy(model)
    extra = {}
    for stage in (1, 2, 3, 4):
        block = reference.blocks[stage].res_blocks[0]
        if block.branch1_conv is not None and block.branch1_norm is None:
            block.branch1_norm = nn.BatchNorm3d(block.branch1_conv.out_channels).eval()
            for value in block.branch1_norm.state_dict().values():
                if value.is_floating_point():
                    nn.init.uniform_(value, 0.5, 1.5)
            extra[stage] = block.branch1_norm.state_dict()
    assert extra
    named = {}
    for name, value in reference.state_dict().items():
        for ours, theirs in (
            (r"^blocks\.0\.conv\.conv_t", "conv1_s.conv"),
            (r"^blocks\.0\.conv\.conv_xy", "conv1_t.conv"),
            (r"^blocks\.0\.norm", "conv1_t.bn"),
            (r"^blocks\.(\d)\.res_blocks", r"layer\1"),
            (r"branch1_conv", "downsample.conv"),
            (r"branch1_norm", "downsample.bn"),
            (r"branch2\.norm_b\.1\.block\.0", "se_module.fc1"),
            (r"branch2\.norm_b\.1\.block\.2", "se_module.fc2"),
            (r"branch2\.norm_b\.0", "conv2.bn"),
            (r"branch2\.conv_a", "conv1.conv"),
            (r"branch2\.conv_b", "conv2.conv"),
            (r"branch2\.conv_c", "conv3.conv"),
            (r"branch2\.norm_a", "conv1.bn"),
            (r"branch2\.norm_b", "conv2.bn"),
            (r"branch2\.norm_c", "conv3.bn"),
            (r"^blocks\.5\.pool\.pre_conv", "conv5.conv"),
            (r"^blocks\.5\.pool\.pre_norm", "conv5.bn"),
            (r"^blocks\.5\.pool\.post_conv", "cls_head.fc1"),
            (r"^blocks\.5\.proj", "cls_head.fc2"),
        ):
            name = re.sub(ours, theirs, name)
        name = name if name.startswith("cls_head") else f"backbone.{name}"
        named[name] = value.flatten(1) if name == "cls_head.fc1.weight" else value
    found = match(named, model, "blocks.5.proj")
    assert (found.converted.layout, found.backbone_fraction, found.head_fits) == ("mmaction2 X3D", 1.0, True)
    model.load_state_dict({name: found.converted.weights[name] for name in model.state_dict()}, strict=True)
    clip = torch.rand(1, 3, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(clip), reference(clip), atol=1e-5, rtol=1e-4)


def test_another_normalisation_is_an_error_that_names_the_keys(tmp_path):
    torch.save({"state_dict": in_mmaction2(state_of("slow_r50"), "slow")}, tmp_path / "model.pth")
    recognizer = recognizer_of("slow_r50", num_frames=4, crop_size=64)
    before = recognizer.module.blocks[0].conv.weight.clone()
    with pytest.raises(WeightsError, match=r"set DATA\.MEAN '\[0\.485, 0\.456, 0\.406\]' DATA\.STD '\[0\.229, "):
        load_weights(recognizer, str(tmp_path / "model.pth"))
    assert torch.equal(recognizer.module.blocks[0].conv.weight, before)
    spec = recognizer.clip_spec.replace(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    again = Recognizer(recognizer.module, clip_spec=spec, head=recognizer.head_name)
    assert load_weights(again, str(tmp_path / "model.pth")).head_loaded
    # TSN is normalised alike here and there.
    torch.save({"state_dict": in_mmaction2(state_of("tsn_r50"), "frames")}, tmp_path / "model.pth")
    assert load_weights(recognizer_of("tsn_r50", num_frames=4, crop_size=64), str(tmp_path / "model.pth")).head_loaded


@pytest.mark.parametrize(
    ("model", "change", "reason"),
    [
        ("tsm_r50", lambda state: in_mmaction2(state_of("tsn_r50"), "frames"), "the model shifts features in time"),
        ("tsn_r50", lambda state: in_mmaction2(state_of("tsm_r50"), "frames"), "the file's network shifts features"),
        (
            "slow_r50",
            lambda state: in_mmaction2(state, "slow") | {"backbone.layer2.1.non_local_block.g.weight": torch.ones(2)},
            "non-local blocks",
        ),
        (
            "i3d_r50",
            lambda state: (
                in_mmaction2(state_of("slow_r50"), "slow") | {"backbone.conv1.conv.weight": torch.ones(64, 3, 5, 7, 7)}
            ),
            "I3D halves the frames in its first convolution",
        ),
        (
            "slowfast_r50",
            lambda state: {"backbone.slow_path.conv1.conv.weight": torch.ones(2)},
            "SlowFast joins its path",
        ),
        ("c2d_r50", lambda state: in_mmaction2(state_of("tsn_r50"), "frames"), "C2D pools without padding"),
        (
            "r2plus1d_34_8",
            lambda state: {"backbone.layer1.0.conv1.conv.conv_s.weight": torch.ones(2)},
            r"R\(2\+1\)D pools after its first convolution",
        ),
    ],
)
def test_other_arithmetic_is_refused_with_the_reason(tmp_path, monkeypatch, model, change, reason):
    monkeypatch.setattr(
        MODEL, "_obj_map", {name: MODEL.get(name) for name in (model, "tsn_r50", "tsm_r50", "slow_r50")}
    )
    torch.save({"state_dict": change(state_of(model))}, tmp_path / "model.pth")
    frames = 32 if model == "slowfast_r50" else 8
    with pytest.raises(WeightsError, match=reason):
        load_weights(recognizer_of(model, num_frames=frames, crop_size=64), str(tmp_path / "model.pth"))


def test_inspect_suggests_the_clips_that_the_weights_were_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(MODEL, "_obj_map", {"slow_r50": MODEL.get("slow_r50")})
    torch.save({"state_dict": in_mmaction2(state_of("slow_r50"), "slow")}, tmp_path / "model.pth")
    assert main(["inspect", str(tmp_path / "model.pth")]) == 0
    text = capsys.readouterr().out
    assert (
        "--set DATA.MEAN '[0.485, 0.456, 0.406]' DATA.STD '[0.229, 0.224, 0.225]' DATA.TEMPORAL_SAMPLING rate" in text
    )
