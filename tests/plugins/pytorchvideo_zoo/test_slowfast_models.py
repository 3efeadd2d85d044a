"""SlowFast's YAML files as they are: the same network, the same clips, a word about what is left out."""

import logging
from pathlib import Path

import pytest
import torch
import yaml
from pytorchvideo.models import hub
from torch import nn

from pvbias.config import complete, load_cfg, save_cfg
from pvbias.errors import ConfigError
from pvbias.models import build_recognizer
from pvbias.registries import OBJECTIVE
from pvbias.run import run

from ..models import shapes

#: What the files have in common.
COMMON = """
TRAIN: {ENABLE: True, DATASET: ptvkinetics, BATCH_SIZE: 64, EVAL_PERIOD: 10, CHECKPOINT_PERIOD: 1, AUTO_RESUME: True}
BN: {USE_PRECISE_STATS: True, NUM_BATCHES_PRECISE: 200}
SOLVER: {BASE_LR: 0.1, BASE_LR_SCALE_NUM_SHARDS: True, LR_POLICY: cosine, MAX_EPOCH: 196, MOMENTUM: 0.9,
         WEIGHT_DECAY: 1e-4, WARMUP_EPOCHS: 34.0, WARMUP_START_LR: 0.01, OPTIMIZING_METHOD: sgd}
TEST: {ENABLE: True, DATASET: ptvkinetics, BATCH_SIZE: 64, NUM_SPATIAL_CROPS: 3}
DATA_LOADER: {NUM_WORKERS: 8, PIN_MEMORY: True}
NUM_GPUS: 8
NUM_SHARDS: 1
RNG_SEED: 0
OUTPUT_DIR: .
"""
ONE_PATHWAY = """
NONLOCAL: {LOCATION: [[[]], [[]], [[]], [[]]], GROUP: [[1], [1], [1], [1]], INSTANTIATION: dot_product}
"""
CLIP_8X8 = """
DATA: {NUM_FRAMES: 8, SAMPLING_RATE: 8, TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 256,
       INPUT_CHANNEL_NUM: [3]}
"""
RESNET = """
RESNET: {ZERO_INIT_FINAL_BN: True, WIDTH_PER_GROUP: 64, NUM_GROUPS: 1, DEPTH: 50, TRANS_FUNC: bottleneck_transform,
         STRIDE_1X1: False, NUM_BLOCK_TEMP_KERNEL: [[3], [4], [6], [3]]}
"""
FILES = {
    arch: COMMON
    + ONE_PATHWAY
    + CLIP_8X8
    + RESNET
    + f"MODEL: {{NUM_CLASSES: 400, ARCH: {arch}, MODEL_NAME: PTVResNet, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5}}\n"
    for arch in ("c2d", "i3d", "slow")
}
FILES["slowfast"] = f"""{COMMON}
DATA: {{NUM_FRAMES: 32, SAMPLING_RATE: 2, TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 256,
       INPUT_CHANNEL_NUM: [3, 3]}}
SLOWFAST: {{ALPHA: 4, BETA_INV: 8, FUSION_CONV_CHANNEL_RATIO: 2, FUSION_KERNEL_SZ: 7}}
RESNET: {{ZERO_INIT_FINAL_BN: True, WIDTH_PER_GROUP: 64, NUM_GROUPS: 1, DEPTH: 50, TRANS_FUNC: bottleneck_transform,
         STRIDE_1X1: False, NUM_BLOCK_TEMP_KERNEL: [[3, 3], [4, 4], [6, 6], [3, 3]],
         SPATIAL_STRIDES: [[1, 1], [2, 2], [2, 2], [2, 2]], SPATIAL_DILATIONS: [[1, 1], [1, 1], [1, 1], [1, 1]]}}
NONLOCAL: {{LOCATION: [[[], []], [[], []], [[], []], [[], []]], GROUP: [[1, 1], [1, 1], [1, 1], [1, 1]]}}
MODEL: {{NUM_CLASSES: 400, ARCH: slowfast, MODEL_NAME: PTVSlowFast, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5}}
"""
FILES["csn"] = f"""{COMMON}{ONE_PATHWAY}
DATA: {{NUM_FRAMES: 32, SAMPLING_RATE: 2, TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 256,
       INPUT_CHANNEL_NUM: [3]}}
RESNET: {{ZERO_INIT_FINAL_BN: True, WIDTH_PER_GROUP: 64, DEPTH: 101}}
MODEL: {{NUM_CLASSES: 400, ARCH: csn, MODEL_NAME: PTVCSN, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5,
        SINGLE_PATHWAY_ARCH: ['csn']}}
"""
FILES["r2plus1d"] = f"""{COMMON}{ONE_PATHWAY}
DATA: {{NUM_FRAMES: 16, SAMPLING_RATE: 4, TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 256,
       INPUT_CHANNEL_NUM: [3]}}
RESNET: {{ZERO_INIT_FINAL_BN: True, WIDTH_PER_GROUP: 64, DEPTH: 50}}
MODEL: {{NUM_CLASSES: 400, ARCH: r2plus1d, MODEL_NAME: PTVR2plus1D, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5,
        SINGLE_PATHWAY_ARCH: ['r2plus1d']}}
"""
FILES["x3d"] = """
TRAIN: {DATASET: ptvkinetics, BATCH_SIZE: 128, EVAL_PERIOD: 10, CHECKPOINT_PERIOD: 10, AUTO_RESUME: True}
X3D: {WIDTH_FACTOR: 2.0, DEPTH_FACTOR: 2.2, BOTTLENECK_FACTOR: 2.25, DIM_C5: 2048, DIM_C1: 12}
TEST: {ENABLE: True, DATASET: ptvkinetics, BATCH_SIZE: 64, NUM_SPATIAL_CROPS: 3}
DATA: {NUM_FRAMES: 13, SAMPLING_RATE: 6, TRAIN_JITTER_SCALES: [182, 228], TRAIN_CROP_SIZE: 160, TEST_CROP_SIZE: 182,
       INPUT_CHANNEL_NUM: [3]}
RESNET: {ZERO_INIT_FINAL_BN: True, TRANS_FUNC: x3d_transform, STRIDE_1X1: False}
BN: {USE_PRECISE_STATS: True, NUM_BATCHES_PRECISE: 200, WEIGHT_DECAY: 0.0}
SOLVER: {BASE_LR: 0.1, BASE_LR_SCALE_NUM_SHARDS: True, LR_POLICY: cosine, MAX_EPOCH: 300, WEIGHT_DECAY: 5e-5,
         WARMUP_EPOCHS: 35.0, WARMUP_START_LR: 0.01, OPTIMIZING_METHOD: sgd}
MODEL: {NUM_CLASSES: 400, ARCH: x3d, MODEL_NAME: PTVX3D, LOSS_FUNC: cross_entropy, DROPOUT_RATE: 0.5}
DATA_LOADER: {NUM_WORKERS: 8, PIN_MEMORY: True}
NUM_GPUS: 8
RNG_SEED: 0
OUTPUT_DIR: .
"""
FILES["mvit"] = """
TRAIN: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 16, EVAL_PERIOD: 10, CHECKPOINT_PERIOD: 10, AUTO_RESUME: True}
DATA: {USE_OFFSET_SAMPLING: True, DECODING_BACKEND: torchvision, NUM_FRAMES: 16, SAMPLING_RATE: 4,
       TRAIN_JITTER_SCALES: [256, 320], TRAIN_CROP_SIZE: 224, TEST_CROP_SIZE: 224, INPUT_CHANNEL_NUM: [3],
       TRAIN_JITTER_SCALES_RELATIVE: [0.08, 1.0], TRAIN_JITTER_ASPECT_RELATIVE: [0.75, 1.3333]}
MVIT:
  ZERO_DECAY_POS_CLS: False
  SEP_POS_EMBED: True
  DEPTH: 16
  NUM_HEADS: 1
  EMBED_DIM: 96
  PATCH_KERNEL: (3, 7, 7)
  PATCH_STRIDE: (2, 4, 4)
  PATCH_PADDING: (1, 3, 3)
  MLP_RATIO: 4.0
  QKV_BIAS: True
  DROPPATH_RATE: 0.2
  NORM: "layernorm"
  MODE: "conv"
  CLS_EMBED_ON: True
  DIM_MUL: [[1, 2.0], [3, 2.0], [14, 2.0]]
  HEAD_MUL: [[1, 2.0], [3, 2.0], [14, 2.0]]
  POOL_KVQ_KERNEL: [3, 3, 3]
  POOL_KV_STRIDE_ADAPTIVE: [1, 8, 8]
  POOL_Q_STRIDE: [[1, 1, 2, 2], [3, 1, 2, 2], [14, 1, 2, 2]]
  DROPOUT_RATE: 0.0
AUG: {NUM_SAMPLE: 2, ENABLE: True, COLOR_JITTER: 0.4, AA_TYPE: rand-m7-n4-mstd0.5-inc1, INTERPOLATION: bicubic}
MIXUP: {ENABLE: True, ALPHA: 0.8, CUTMIX_ALPHA: 1.0, PROB: 1.0, SWITCH_PROB: 0.5, LABEL_SMOOTH_VALUE: 0.1}
SOLVER: {ZERO_WD_1D_PARAM: True, CLIP_GRAD_L2NORM: 1.0, BASE_LR: 0.0001, COSINE_AFTER_WARMUP: True,
         COSINE_END_LR: 1e-6, WARMUP_START_LR: 1e-6, WARMUP_EPOCHS: 30.0, LR_POLICY: cosine, MAX_EPOCH: 200,
         WEIGHT_DECAY: 0.05, OPTIMIZING_METHOD: adamw}
MODEL: {NUM_CLASSES: 400, ARCH: mvit, MODEL_NAME: PTVMViT, LOSS_FUNC: soft_cross_entropy, DROPOUT_RATE: 0.5}
TEST: {ENABLE: True, DATASET: kinetics, BATCH_SIZE: 64, NUM_SPATIAL_CROPS: 1}
NUM_GPUS: 8
OUTPUT_DIR: .
"""

#: The hub's function for the same network, and the short side of test frames (SlowFast's own data code).
SAME = {
    "c2d": ("c2d_r50", 256),
    "i3d": ("i3d_r50", 256),
    "slow": ("slow_r50", 256),
    "slowfast": ("slowfast_r50", 256),
    "csn": ("csn_r101", 256),
    "r2plus1d": ("r2plus1d_r50", 256),
    "x3d": ("x3d_s", 182),
    "mvit": ("mvit_base_16x4", 256),
}


@pytest.fixture
def write(tmp_path):
    """Write a file of SlowFast's, and what is changed in it on top."""

    def write(arch: str, changes: str = "") -> Path:
        (tmp_path / "slowfast.yaml").write_text(FILES[arch])
        top = tmp_path / "top.yaml"
        top.write_text(f"_BASE_: slowfast.yaml\n{changes}")
        return top

    return write


def layers(module: nn.Module) -> dict[str, str]:
    """Strides, kernels, dilations, ... of all layers that have any; how much is dropped is the file's own affair."""
    text = {name: str(inner) for name, inner in module.named_modules() if not any(inner.children())}
    return {
        name: line
        for name, line in text.items()
        if not any(kind in line for kind in ("Drop", "Identity", "Pool", "Softmax"))
    }


def weightless(cfg):
    with torch.device("cpu" if cfg.MODEL.ARCH == "mvit" else "meta"):
        return build_recognizer(cfg)


@pytest.mark.parametrize("arch", FILES)
def test_a_file_as_it_is_gives_the_network_that_its_checkpoint_is_of(arch, write):
    cfg = complete(load_cfg(write(arch)), num_classes=2)
    recognizer = weightless(cfg)
    name, short_side = SAME[arch]
    with torch.device("cpu" if arch == "mvit" else "meta"):
        bare = getattr(hub, name)()
    assert shapes(recognizer.module) == shapes(bare)
    assert layers(recognizer.module) == layers(bare)
    assert recognizer.num_classes == 400
    asked = yaml.safe_load(FILES[arch])["DATA"]
    spec = recognizer.clip_spec
    assert (spec.num_frames, spec.sampling_rate) == (asked["NUM_FRAMES"], asked["SAMPLING_RATE"])
    assert (spec.crop_size, spec.test_crop_size) == (asked["TRAIN_CROP_SIZE"], asked["TEST_CROP_SIZE"])
    assert (spec.short_side, spec.fps, spec.mean, spec.std) == (short_side, 30.0, (0.45,) * 3, (0.225,) * 3)
    solver = yaml.safe_load(FILES[arch])["SOLVER"]
    assert float(solver["WEIGHT_DECAY"]) == cfg.SOLVER.WEIGHT_DECAY
    assert solver["MAX_EPOCH"] == cfg.SOLVER.MAX_EPOCH


def test_the_pathways_frames_are_pooled_by_their_numbers(write):
    """An 8x4 file: ALPHA is the file's, not the hub's 4."""
    path = write(
        "slowfast", "SLOWFAST: {ALPHA: 8, FUSION_KERNEL_SZ: 5}\nDATA: {TRAIN_CROP_SIZE: 64, TEST_CROP_SIZE: 96}\n"
    )
    recognizer = weightless(complete(load_cfg(path), num_classes=2)).eval()
    assert recognizer.submodule("blocks.0.multipathway_fusion.conv_fast_to_slow").kernel_size == (5, 1, 1)
    with recognizer.taps("blocks.4", recognizer.head_name) as features:
        assert recognizer(torch.empty(1, 3, 32, 96, 96, device="meta")).shape == (1, 400)
    assert [pathway.shape[2:] for pathway in features["blocks.4"]] == [(4, 3, 3), (32, 3, 3)]
    assert features[recognizer.head_name].shape[1:4] == (1, 2, 2)  # all positions of the larger crop


def test_blocks_without_a_temporal_kernel(write):
    path = write("slowfast", "RESNET: {DEPTH: 101}\nSLOWFAST: {FUSION_KERNEL_SZ: 5}\nDATA: {NUM_FRAMES: 64}\n")
    with torch.device("meta"):
        bare = hub.slowfast_16x8_r101_50_50()
    assert shapes(weightless(complete(load_cfg(path), num_classes=2)).module) == shapes(bare)


def test_width_groups_strides_and_dilations_are_the_files(write):
    path = write(
        "i3d",
        "RESNET: {WIDTH_PER_GROUP: 32, NUM_GROUPS: 4, SPATIAL_STRIDES: [[1], [2], [2], [1]], "
        "SPATIAL_DILATIONS: [[1], [1], [1], [2]]}\nDATA: {NUM_FRAMES: 4, TRAIN_CROP_SIZE: 64, TEST_CROP_SIZE: 64}\n",
    )
    recognizer = weightless(complete(load_cfg(path), num_classes=2))
    own = shapes(recognizer.module)
    assert own["blocks.0.conv.weight"] == (32, 3, 5, 7, 7)
    assert own["blocks.1.res_blocks.0.branch2.conv_b.weight"] == (32, 32 // 4, 1, 3, 3)
    assert own["blocks.6.proj.weight"] == (400, 32 * 32)
    assert recognizer.submodule("blocks.5.res_blocks.1.branch2.conv_b").dilation == (1, 2, 2)
    with recognizer.taps("blocks.5") as features:
        assert recognizer(torch.empty(1, 3, 4, 64, 64, device="meta")).shape == (1, 400)
    assert features["blocks.5"].shape == (1, 1024, 2, 4, 4)  # 64 / 2 / 2 / 2 / 2


@pytest.mark.parametrize(
    ("dataset", "crops", "short_side"), [("ptvkinetics", 3, 256), ("kinetics", 3, 224), ("kinetics", 1, 256)]
)
def test_test_frames_are_resized_as_the_data_set_does_it(write, dataset, crops, short_side):
    path = write("slow", f"DATA: {{TEST_CROP_SIZE: 224}}\nTEST: {{DATASET: {dataset}, NUM_SPATIAL_CROPS: {crops}}}\n")
    data = complete(load_cfg(path), num_classes=2).DATA
    sizes = (data.TEST_CROP_SIZE, data.TEST_SHORT_SIDE)
    assert sizes == (224, short_side)


def test_keys_without_a_meaning_here_are_named_once(write, caplog):
    load_cfg(write("c2d"), ["DATA.DECODING_BACKEND", "pyav"])
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    left_out = [
        "RESNET.ZERO_INIT_FINAL_BN",
        "RESNET.NUM_BLOCK_TEMP_KERNEL",
        "NONLOCAL.LOCATION",
        "MODEL.LOSS_FUNC (OBJECTIVE.NAME)",
        "DATA.DECODING_BACKEND",
    ]
    assert all(key in warning for key in left_out)
    assert "RESNET.DEPTH" not in warning  # which has a meaning


def test_a_model_that_reads_none_of_them_is_told_so(tmp_path, caplog):
    path = tmp_path / "x3d.yaml"
    path.write_text("MODEL: {MODEL_NAME: x3d_s}\nRESNET: {DEPTH: 101}\n")
    cfg = load_cfg(path)
    assert "RESNET.DEPTH" in caplog.text
    assert "RESNET" not in cfg


def test_a_saved_configuration_gives_the_same_network(write, tmp_path, caplog):
    cfg = complete(
        load_cfg(write("mvit", "DATA: {NUM_FRAMES: 4, TRAIN_CROP_SIZE: 32, TEST_CROP_SIZE: 32}\n")), num_classes=2
    )
    path = save_cfg(cfg, str(tmp_path / "run"))
    caplog.clear()
    again = complete(load_cfg(path), num_classes=2)
    assert again == cfg
    assert not caplog.text


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("RESNET: {DEPHT: 50}", "RESNET.DEPHT", "'RESNET.DEPTH'"),
        ("NONLOCAL: {LOCATON: []}", "NONLOCAL.LOCATON", "'NONLOCAL.LOCATION'"),
        ("MVIT: {POOL_Q_STRID: []}", "MVIT.POOL_Q_STRID", "'MVIT.POOL_Q_STRIDE'"),
        ("TENSORBOARD: {HISTOGRAM: {TOPKK: 1}}", "TENSORBOARD.HISTOGRAM.TOPKK", "'TENSORBOARD.HISTOGRAM.TOPK'"),
        ("DATA: {DECODING_BACKND: pyav}", "DATA.DECODING_BACKND", "'DATA.DECODING_BACKEND'"),
        ("MODEL: {MODEL_NAME: PTVResnet}", "MODEL.MODEL_NAME", "'PTVResNet'"),
        ("NONLOCAL: 1", "NONLOCAL", "a group of keys"),
        ("RESNET: {DEPTH: 34}", "RESNET.DEPTH = 34", "50 or 101 or 152"),
        ("RESNET: {STRIDE_1X1: True}", "RESNET.STRIDE_1X1 = True", "must be False"),
        ("RESNET: {SPATIAL_STRIDES: [1, 2, 2, 2]}", "RESNET.SPATIAL_STRIDES", "four lists"),
        ("MODEL: {ARCH: slowfast}", "MODEL.ARCH = 'slowfast'", "'slow' or 'c2d' or 'i3d'"),
        ("DATA: {INPUT_CHANNEL_NUM: [2]}", "DATA.INPUT_CHANNEL_NUM = [2]", "RGB"),
        ("DETECTION: {ENABLE: True}", "DETECTION.ENABLE = True", "must be False"),
    ],
)
def test_a_wrong_key_or_value_is_one_error(write, text, key, hint):
    with pytest.raises(ConfigError) as caught:
        load_cfg(write("slow", text + "\n"))
    assert key in str(caught.value)
    assert hint in str(caught.value)
    assert "top.yaml" in str(caught.value) or "slowfast.yaml" in str(caught.value)


def test_pathways_that_cannot_be_joined(write):
    with pytest.raises(ConfigError, match=r"RESNET\.SPATIAL_STRIDES.*same strides"):
        load_cfg(write("slowfast", "RESNET: {SPATIAL_STRIDES: [[1, 1], [2, 2], [2, 2], [2, 1]]}\n"))


def test_patches_that_have_no_position(write):
    """SlowFast's own default padding."""
    with pytest.raises(ConfigError, match=r"MVIT\.PATCH_PADDING = \[2, 4, 4\]"):
        load_cfg(write("mvit", "MVIT: {PATCH_PADDING: [2, 4, 4]}\n"))


@pytest.mark.parametrize(
    ("arch", "text", "message"),
    [
        ("slow", "RESNET: {NUM_GROUPS: 3}", "PTVResNet cannot be built as it is configured: .*groups"),
        ("c2d", "DATA: {NUM_FRAMES: 1}", r"DATA\.NUM_FRAMES = 1: PTVResNet pools over time"),
        ("slowfast", "DATA: {NUM_FRAMES: 30}", r"DATA\.NUM_FRAMES = 30: PTVSlowFast needs a multiple of 4"),
        (
            "mvit",
            "DATA: {TRAIN_CROP_SIZE: 222, TEST_CROP_SIZE: 222}",
            r"DATA\.TRAIN_CROP_SIZE = 222: PTVMViT .* multiple of 4",
        ),
        ("mvit", "DATA: {TEST_CROP_SIZE: 256}", r"DATA\.TEST_CROP_SIZE = 256: PTVMViT takes one crop size only"),
    ],
)
def test_what_cannot_be_built(write, arch, text, message):
    cfg = complete(load_cfg(write(arch, text + "\n")), num_classes=2)
    with pytest.raises(ConfigError, match=message):
        weightless(cfg)


def test_a_file_of_slowfasts_trains_with_any_objective(write, bar_videos, tmp_path):
    """PLUGINS and OBJECTIVE.NAME are all that is added, apart from where the videos are and what makes it quick."""
    added = f"PLUGINS: [pvbias.plugins.drl]\nOBJECTIVE: {{NAME: DRLFreeze}}\nOUTPUT_DIR: {tmp_path / 'out'}\n"
    quick = f"""
DATA: {{PATH_TO_DATA_DIR: {bar_videos}, TEST_SPLIT: test.csv, NUM_FRAMES: 4, SAMPLING_RATE: 2, TRAIN_CROP_SIZE: 32,
       TEST_CROP_SIZE: 32, TRAIN_JITTER_SCALES: [32, 40]}}
X3D: {{DEPTH_FACTOR: 1.0, WIDTH_FACTOR: 1.0, DIM_C5: 64}}
TRAIN: {{BATCH_SIZE: 4, EVAL_PERIOD: 0}}
BN: {{NUM_BATCHES_PRECISE: 1}}
SOLVER: {{MAX_EPOCH: 1, WARMUP_EPOCHS: 0.0}}
MODEL: {{NUM_CLASSES: 2}}
TEST: {{NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}}
BIAS: {{ENABLE: False}}
DATA_LOADER: {{NUM_WORKERS: 0}}
TENSORBOARD: {{ENABLE: False}}
NUM_GPUS: 1
"""
    assert "DRLFreeze" in OBJECTIVE
    run(load_cfg(write("x3d", added + quick)))
    assert (tmp_path / "out" / "results.json").exists()
    assert list((tmp_path / "out" / "checkpoints").iterdir())
