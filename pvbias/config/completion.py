"""Completion of a configuration: None, "as the model was trained", becomes the model's value."""

from __future__ import annotations

from pathlib import Path

from fvcore.common.config import CfgNode

from ..clips import ClipSpec
from ..errors import ConfigError, did_you_mean
from ..models import find_model
from ..registries import MODEL
from .checks import check
from .solvers import complete_solvers
from .stream_keys import complete_streams


def complete(cfg: CfgNode, *, num_classes: int, clip_spec: ClipSpec | None = None) -> CfgNode:
    """A frozen copy of ``cfg`` without None, as it is used and saved by a run.

    The test crop follows the training crop, and the short side before it the test crop: a model used at half its crop
    size is tested at half its test size, on the same part of each frame. The student's solver follows the recognizer's.

    Args:
        cfg: a checked configuration.
        num_classes: used where ``MODEL.NUM_CLASSES`` is None.
        clip_spec: the clips of a model that is there already; None: those of ``MODEL.MODEL_NAME``.

    Raises:
        ConfigError: the completed values contradict each other.
    """
    cfg = cfg.clone()
    cfg.defrost()
    if clip_spec is None and not cfg.MODEL.MODEL_NAME:
        raise ConfigError(f"MODEL.MODEL_NAME is not set. {did_you_mean('', MODEL.names())}")
    spec = clip_spec or _complete_model(cfg)
    if cfg.MODEL.NUM_CLASSES is None:
        cfg.MODEL.NUM_CLASSES = num_classes
    data = cfg.DATA
    own_crop = spec.crop_size if data.TRAIN_CROP_SIZE is None else data.TRAIN_CROP_SIZE
    scale = own_crop / spec.crop_size
    test_crop = round(spec.test_crop_size * scale) if data.TEST_CROP_SIZE is None else data.TEST_CROP_SIZE
    own = {
        "NUM_FRAMES": spec.num_frames,
        "SAMPLING_RATE": spec.sampling_rate,
        "TARGET_FPS": float(spec.fps),
        "TRAIN_CROP_SIZE": own_crop,
        "TEST_CROP_SIZE": test_crop,
        "TEST_SHORT_SIDE": max(round(spec.short_side * test_crop / spec.test_crop_size), test_crop),
        "TRAIN_JITTER_SCALES": [round(spec.short_side * scale), round(1.25 * spec.short_side * scale)],
        "MODALITY": spec.modality,
        "TEMPORAL_SAMPLING": spec.sampling,
        "MEAN": list(spec.mean),
        "STD": list(spec.std),
    }
    origins = {}
    for name, value in own.items():
        origins[f"DATA.{name}"] = "the configuration" if data[name] is not None else "as the model was trained"
        if data[name] is None:
            data[name] = value
    complete_solvers(cfg)
    complete_streams(cfg)
    check(cfg, origins)
    cfg.freeze()
    return cfg


def _complete_model(cfg: CfgNode) -> ClipSpec:
    """Complete the keys of the model's family, and give the clips that it, or the published weights that the run starts
    from or measures, were trained on."""
    model = find_model(cfg)
    for key, value in model.completed_keys.items():
        group, name = key.split(".")
        cfg[group][name] = value
    trained, tested = cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TEST.CHECKPOINT_FILE_PATH
    source = trained if cfg.TRAIN.ENABLE else tested or trained
    address, _, name = source.rpartition("/")
    own = address == f"zoo://{model.zoo}/{cfg.MODEL.MODEL_NAME}" and name in model.weights
    return model.clip_spec.replace(**model.weights[name].clips) if own else model.clip_spec


def save_cfg(cfg: CfgNode, run_dir: str) -> Path:
    """Write ``config.yaml`` into a run's folder; loading it gives the same run."""
    path = Path(run_dir) / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cfg.dump(), encoding="utf-8")
    return path
