"""Ranges and choices of keys: a value outside of each is refused."""

import pytest

from pvbias.config import load_cfg
from pvbias.config.keys import DECLARED
from pvbias.errors import ConfigError

#: For each key that has a rule, values of its type that mean nothing: the nearest ones, written down here by hand.
WRONG: dict[str, tuple[object, ...]] = {
    "PLUGINS": ([3],),
    "OUTPUT_DIR": ("s3://bucket/run",),
    "RNG_SEED": (-1,),
    "NUM_GPUS": (-1,),
    "NUM_SHARDS": (0,),
    "SHARD_ID": (-1,),
    "DIST_BACKEND": ("mpi",),
    "PRECISION": ("fp64",),
    "MEMORY_FORMAT": ("channels_last",),
    "LAYERS.OFF": ([3],),
    "LOG_PERIOD": (0,),
    "MODEL.NUM_CLASSES": (1,),
    "MODEL.EXTRA_HEADS": (["scene"], ["scene=1"]),
    "MODEL.FREEZE": ([3],),
    "CHECKPOINT.MIN_MATCH": (-0.01, 1.01),
    "DATA.LIST_FORMAT": ("csv",),
    "DATA.LABELS_START_AT": (-1, 2),
    "DATA.TEMPORAL_SAMPLING": ("uniform",),
    "DATA.NUM_FRAMES": (0,),
    "DATA.SAMPLING_RATE": (0,),
    "DATA.TARGET_FPS": (0.0,),
    "DATA.CLIP_DURATION": (0.0,),
    "DATA.WINDOW_STRIDE": (0,),
    "DATA.MODALITY": ("grey",),
    "DATA.FLOW_DIR": ("s3://bucket/flow",),
    "DATA.MASK_DIR": ("s3://bucket/masks",),
    "DATA.MODULATION": ("freeze(frame=last)",),
    "DATA.TRAIN_CROP_SIZE": (0,),
    "DATA.TEST_CROP_SIZE": (0,),
    "DATA.TEST_SHORT_SIDE": (0,),
    "DATA.TRAIN_JITTER_SCALES": ([0, 4], [5, 4], [4], [4, 5, 6]),
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": ([0.0, 1.0], [1.5, 0.5]),
    "DATA.TRAIN_CORNER_SCALES": ([0.0, 1.0], [1.5], ["half"]),
    "DATA.MEAN": ([0.5, 0.5], [0.5, 0.5, 1.01], [-0.01, 0.5, 0.5], [114.75, 114.75, 114.75], [0.5] * 4),
    "DATA.STD": ([0.5, 0.5], [0.5, 0.5, 1.01], [0.0, 0.5, 0.5], [57.4, 57.4, 57.4]),
    "DATA.CACHE_DIR": ("s3://bucket/cache",),
    "DATA.CACHE_GIB": (0.0,),
    "DATA.MAX_BAD_FRACTION": (-0.01, 1.01),
    "DATA_LOADER.NUM_WORKERS": (-1,),
    "OBJECTIVE.NAME": ("Hinge", "CrossEntropy + Hinge"),
    "OBJECTIVE.WEIGHTS": ([-1.0], ["one"]),
    "OBJECTIVE.ATTRIBUTE_HEADS": ([3],),
    "OBJECTIVE.LABEL_SMOOTHING": (-0.01, 1.0),
    "TRAIN.DATASET": ("video",),
    "TRAIN.TRANSFORMS": (["mixdown"],),
    "TRAIN.BATCH_SIZE": (0,),
    "TRAIN.ACCUMULATE_STEPS": (0,),
    "TRAIN.RESUME_CHANGED": ([3],),
    "TRAIN.CHECKPOINT_PERIOD": (0,),
    "TRAIN.CHECKPOINT_MINUTES": (-0.5,),
    "TRAIN.CHECKPOINT_KEEP": (-1,),
    "TRAIN.EVAL_PERIOD": (-1,),
    "STUDENT.NUM_FRAMES": (-1,),
    "BN.NORM_TYPE": ("sub_batchnorm", "layernorm"),
    "BN.NUM_BATCHES_PRECISE": (0,),
    "TEST.DATASET": ("video",),
    "TEST.BATCH_SIZE": (0,),
    "TEST.NUM_ENSEMBLE_VIEWS": (0,),
    "TEST.NUM_SPATIAL_CROPS": (0, 2, 4),
    "BIAS.EVALUATORS": (["precision"],),
    "BIAS.FREEZE_FRAME": ("last",),
    "BIAS.FREEZE_DRAWS": (0,),
    "BIAS.MODULATIONS": (["backwards"],),
    "BIAS.BOOTSTRAP_SAMPLES": (99,),
    "BIAS.BREAK_DOWN_BY": ([3],),
    "FEATURES.LAYERS": ([3],),
    "FEATURES.MODULATIONS": (["backwards"],),
    "FEATURES.POOL": ("time",),
    "FEATURES.DTYPE": ("float64",),
    "FEATURES.SPLIT": ("tests",),
    "SLURM.NODES": (0,),
    "SLURM.GPUS_PER_NODE": (-1,),
    "SLURM.TASKS_PER_NODE": (0,),
    "SLURM.CPUS_PER_TASK": (-1,),
    "SLURM.MEM_GB": (-0.5,),
    "SLURM.TIME": ("12:00", "soon"),
    "SLURM.SIGNAL_DELAY": (29,),
    "SLURM.MAX_TIMEOUTS": (-1,),
    "SLURM.SETUP": ([3],),
    "SLURM.SRUN_ARGS": ([3],),
    "SLURM.SBATCH": ([3],),
    "DECOUPLED.SEED": (-1,),
    "DECOUPLED.SIZE": (7,),
    "DECOUPLED.FRAMES": (1,),
    "DECOUPLED.FPS": (0.0,),
    "DECOUPLED.BRUSH_SIZE": (0,),
    "DECOUPLED.LABEL": ("shape",),
    "DECOUPLED.TRAIN_VIDEOS": (0,),
    "DECOUPLED.VAL_VIDEOS": (0,),
    "DECOUPLED.TEST_VIDEOS": (0,),
    "DECOUPLED.RHO": (-0.01, 1.01),
    "DECOUPLED.CONTEXT": ("inside",),
    "DECOUPLED.PLACES": (0,),
    "DECOUPLED.MOTIONS": (0, 1001),
    "ALBAR.STILL_WEIGHT": (-0.5,),
    "ALBAR.ENTROPY_WEIGHT": (-0.5,),
    "ALBAR.PENALTY_WEIGHT": (-0.5,),
    "ALBAR.PENALTY_NORM": ("rows",),
    "ALBAR.FRAME": ("last",),
    "RUBI.WEIGHT": (-0.5,),
    "LEARNED_MIXIN.ENTROPY_WEIGHT": (-0.5,),
    "DRL.ALPHA": (-0.01, 1.01),
    "DRL.BETA": (-0.01, 1.01),
    "DRL.EPSILON": (-0.5,),
    "DRL.ATTACK": ("cw",),
    "DRL.PGD_STEPS": (0,),
    "DRL.PGD_STEP_SIZE": (0.0,),
    "DRL.LAMBDA": (-0.01,),
    "DRL.WARMUP_EPOCHS": (-0.5,),
    "DRL.FREEZE_FRAME": ("last",),
    "MIXUP.ALPHA": (0.0,),
    "MIXUP.CUTMIX_ALPHA": (0.0,),
    "MIXUP.PROB": (-0.01, 1.01),
    "STILL_MIX.ALPHA": (0.0,),
    "STILL_MIX.PROB": (-0.01, 1.01),
    "STILL_MIX.QUANTILE": (-0.01, 1.01),
    "STILL_MIX.BANK_SIZE": (0,),
    "BACKGROUND_ERASING.GAMMA": (-0.01, 1.01),
    "BACKGROUND_ERASING.PROB": (-0.01, 1.01),
    "ACTOR_CUTMIX.PROB": (-0.01, 1.01),
    "ACTOR_CUTMIX.LABEL": ("none",),
    "FAME.PROB": (-0.01, 1.01),
    "FAME.BETA": (-0.01, 1.01),
    "COLOR_JITTER.BRIGHTNESS": (-0.01, 1.01),
    "COLOR_JITTER.CONTRAST": (-0.01, 1.01),
    "COLOR_JITTER.SATURATION": (-0.01, 1.01),
    "COLOR_JITTER.HUE": (-0.01, 0.51),
    "RAND_AUGMENT.NUM_OPS": (-1,),
    "RAND_AUGMENT.MAGNITUDE": (-1, 31),
    "REV2NET.ALPHA": (-0.01,),
    "REV2NET.BETA": (-0.01,),
    "REV2NET.LAMBDA_FLOW": (-0.01,),
    "REV2NET.LAMBDA_FRAMES": (-0.01,),
    "REV2NET.NORM": ("l1",),
    "REV2NET.FLOW_DECODER_NAME": ("rev2net",),
    "REV2NET.FRAME_DECODER_NAME": ("rev2net",),
    "REV2NET.LR_FACTOR": (0.0,),
    "REV2NET.LATENT": (0,),
    "TWO_STREAM.FLOW_FRAMES": (0,),
    "TWO_STREAM.WEIGHTS": ([1.0], [0.0, 1.0]),
    **{
        f"{group}.{name}": wrong
        for group in ("SOLVER", "STUDENT.SOLVER")
        for name, wrong in {
            "OPTIMIZING_METHOD": ("lamb",),
            "BASE_LR": (0.0,),
            "LR_POLICY": ("linear",),
            "COSINE_END_LR": (-0.01,),
            "MAX_EPOCH": (0.0,),
            "WARMUP_EPOCHS": (-0.5,),
            "WARMUP_START_LR": (-0.01,),
            "MOMENTUM": (-0.01, 1.0),
            "WEIGHT_DECAY": (-0.01,),
            "CLIP_GRAD_VAL": (0.0,),
            "CLIP_GRAD_L2NORM": (0.0,),
            "BETAS": ([0.9], [0.9, 1.0], [-0.1, 0.9]),
            "LRS": ([-0.1],),
            "STEPS": ([1], ["zero"]),
        }.items()
    },
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_value_that_means_nothing_is_refused(key, value):
    """With the key and where it comes from, whatever it would have done later."""
    family = ["MODEL.MODEL_NAME", "TwoStream"] if key.startswith("TWO_STREAM.") else []
    with pytest.raises(ConfigError, match=rf"^command line: {key.replace('.', '[.]')}\b"):
        load_cfg(None, [*family, key, str(value)])


def test_every_key_with_a_rule_is_among_them():
    load_cfg()  # the plugins' as well
    of_tests = ("MINE.", "MY_LAB.")
    ruled = {key for key, known in DECLARED.items() if known.rule.must and not key.startswith(of_tests)}
    assert ruled <= WRONG.keys()


def test_a_best_checkpoint_needs_validations():
    keys = ["TRAIN.CHECKPOINT_BEST", "top1", "TRAIN.EVAL_PERIOD"]
    assert load_cfg(None, [*keys, "1"]).TRAIN.CHECKPOINT_BEST == "top1"
    with pytest.raises(ConfigError, match=r"TRAIN\.CHECKPOINT_BEST = 'top1' needs validations"):
        load_cfg(None, [*keys, "0"])
