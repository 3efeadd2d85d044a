"""Keys of the training, and of the spatial student's."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from ..registries import DATASET, OBJECTIVE, TRANSFORM
from .keys import (
    Effect,
    Rule,
    above,
    are_numbers,
    at_least,
    below,
    below_one,
    declare,
    maker,
    one_of,
    registered,
    texts,
)
from .solvers import declare_solver


def add_keys(cfg: CfgNode) -> None:
    """Add the keys of the training."""
    declare(
        cfg,
        "OBJECTIVE.NAME",
        "CrossEntropy",
        "Name in the OBJECTIVE registry: `pvbias list objectives`. Several, as a list or with ` + ` between them: the "
        "weighted sum of their losses, with the classification loss once.",
        registered(OBJECTIVE, "objectives", separator="+"),
        separator=" + ",
    )
    declare(
        cfg,
        "OBJECTIVE.WEIGHTS",
        [],
        "Weights of the terms of NAME, where it has several. Empty: 1 each.",
        _weights(),
    )
    declare(
        cfg,
        "OBJECTIVE.ATTRIBUTE_HEADS",
        [],
        "Heads that AttributeHeads trains, each to tell the values of the videos' attribute of its name. Empty: those "
        "of MODEL.EXTRA_HEADS.",
        texts(),
    )
    declare(
        cfg,
        "OBJECTIVE.LABEL_SMOOTHING",
        0.0,
        "Probability moved from the label to all classes evenly; below 0, to the label from all classes, which makes "
        "predictions surer.",
        below(1),
        unit="probability",
    )
    declare(cfg, "TRAIN.ENABLE", True, "Train.", effect=Effect.NOTHING)
    declare(cfg, "TRAIN.DATASET", "videos", "Name in the DATASET registry.", registered(DATASET, "datasets"))
    declare(
        cfg,
        "TRAIN.TRANSFORMS",
        [],
        "What mini-batches go through before the objective, in this order: names in the TRANSFORM registry.",
        registered(TRANSFORM, "transforms"),
    )
    declare(cfg, "TRAIN.BATCH_SIZE", 16, "Clips in a mini-batch over all processes.", at_least(1), unit="clips")
    declare(
        cfg,
        "TRAIN.ACCUMULATE_STEPS",
        1,
        "Mini-batches whose gradients are added up before a step.",
        at_least(1),
        unit="mini-batches",
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_FILE_PATH",
        "",
        "Weights to start from: a path, an https URL, or zoo://pytorchvideo/x3d_s/kinetics400. Empty: random weights.",
        effect=Effect.CONTENT,
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_SHA256",
        "",
        "SHA-256 of that file, hexadecimal; empty: not verified (a catalogue entry's own checksum is, where it has "
        "one).",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.AUTO_RESUME",
        True,
        "Go on from the newest checkpoint in OUTPUT_DIR when there is one. It has to be of this training: what "
        "decides the result has to be as it was (`effect` where keys are declared), else that is an error.",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.RESUME_CHANGED",
        [],
        "Keys or groups that may be other than they were in that checkpoint, as the error names them; "
        '["SOLVER.MAX_EPOCH"]. The results then say so.',
        texts(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_PERIOD",
        1,
        "Between checkpoints; the last epoch always has one.",
        at_least(1),
        unit="epochs",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_MINUTES",
        15.0,
        "Between checkpoints inside an epoch; each is removed once there is a later one. 0: none, but where the "
        "run is asked to stop (a cluster that takes its nodes back).",
        at_least(0),
        unit="minutes",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_KEEP",
        0,
        "Checkpoints of finished epochs that are kept, the last ones; 0: all.",
        at_least(0),
        unit="checkpoints",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "TRAIN.CHECKPOINT_BEST",
        "",
        'Figure of the validation ("top1", ...) whose highest value makes checkpoint_best.pyth, beside the others; '
        "empty: none.",
    )
    declare(
        cfg,
        "TRAIN.EVAL_PERIOD",
        0,
        "Between validations on DATA.VAL_SPLIT; 0: never.",
        at_least(0),
        unit="epochs",
        effect=Effect.NOTHING,
    )
    declare(cfg, "SOLVER.OPTIMIZING_METHOD", "sgd", "The optimizer.", one_of("sgd", "adam", "adamw"))
    declare(cfg, "SOLVER.BASE_LR", 0.1, "Learning rate at the start (after warm-up).", above(0))
    declare(
        cfg,
        "SOLVER.LR_POLICY",
        "cosine",
        "How the learning rate goes on after the warm-up.",
        one_of("cosine", "steps_with_relative_lrs"),
    )
    declare(cfg, "SOLVER.COSINE_END_LR", 0.0, 'Learning rate at the end of "cosine".', at_least(0))
    declare(
        cfg,
        "SOLVER.STEPS",
        [0],
        'For "steps_with_relative_lrs": epochs at which the rate changes, starting with 0.',
        unit="epochs",
    )
    declare(cfg, "SOLVER.LRS", [1.0], 'For "steps_with_relative_lrs": the factors on BASE_LR from each of STEPS on.')
    declare(cfg, "SOLVER.MAX_EPOCH", 10.0, "Epochs to train; may be a fraction.", above(0), unit="epochs")
    declare(
        cfg,
        "SOLVER.WARMUP_EPOCHS",
        0.0,
        "Linear warm-up, from WARMUP_START_LR to what LR_POLICY gives at its end.",
        at_least(0),
        unit="epochs",
    )
    declare(cfg, "SOLVER.WARMUP_START_LR", 0.01, "Learning rate that the warm-up starts from.", at_least(0))
    declare(cfg, "SOLVER.BASE_LR_SCALE_NUM_SHARDS", False, "Multiply BASE_LR and WARMUP_START_LR by NUM_SHARDS.")
    declare(cfg, "SOLVER.MOMENTUM", 0.9, "SGD's momentum.", below_one())
    declare(cfg, "SOLVER.NESTEROV", True, "Nesterov's form of SGD's momentum.")
    declare(cfg, "SOLVER.BETAS", [0.9, 0.999], "Adam's moment decay rates, two numbers in [0, 1).")
    declare(cfg, "SOLVER.WEIGHT_DECAY", 1e-4, "Weight decay, >= 0 (decoupled for adamw).", at_least(0))
    declare(cfg, "SOLVER.ZERO_WD_1D_PARAM", False, "No weight decay on biases and normalisation parameters.")
    declare(
        cfg,
        "SOLVER.CLIP_GRAD_VAL",
        None,
        "Clip gradients to this absolute value. None: off. Not together with CLIP_GRAD_L2NORM.",
        above(0),
        kind=float,
    )
    declare(
        cfg,
        "SOLVER.CLIP_GRAD_L2NORM",
        None,
        "Clip gradients to this L2 norm, of all that a phase of the objective updates together: auxiliary networks, "
        "too. None: off. Not together with CLIP_GRAD_VAL.",
        above(0),
        kind=float,
    )
    _add_student(cfg)
    declare(
        cfg,
        "BN.NORM_TYPE",
        "batchnorm",
        "Statistics that BatchNorm normalises with in training, in the recognizer and in the objective's networks: "
        'those of a process\'s own clips, or with "sync_batchnorm" of the clips of all processes, which then take the '
        "steps of one.",
        one_of("batchnorm", "sync_batchnorm"),
    )
    declare(cfg, "BN.FREEZE", False, "Keep BatchNorm's statistics and affine parameters as loaded.")
    declare(
        cfg,
        "BN.USE_PRECISE_STATS",
        False,
        "Recompute BatchNorm's statistics (fvcore's precise BN) over NUM_BATCHES_PRECISE mini-batches, of all "
        "processes, before each evaluation.",
    )
    declare(
        cfg,
        "BN.NUM_BATCHES_PRECISE",
        200,
        "Mini-batches that BatchNorm's statistics are recomputed over.",
        at_least(1),
        unit="mini-batches",
    )


def _add_student(cfg: CfgNode) -> None:
    """The spatial student, a classifier of single frames: a part of some objectives, and of the measures that train
    one."""
    declare(cfg, "STUDENT.NAME", "resnet18", "Name in the STUDENT registry: `pvbias list students`.")
    declare(
        cfg,
        "STUDENT.CHECKPOINT_FILE_PATH",
        "",
        'Weights to start from: "imagenet" (those of torchvision, fetched), a path, or an https URL. Empty: random '
        "weights.",
        effect=Effect.CONTENT,
    )
    declare(
        cfg,
        "STUDENT.NUM_FRAMES",
        0,
        "Frames of a clip that it sees, spread evenly; 0: all.",
        at_least(0),
        unit="frames",
    )
    declare_solver(cfg, "STUDENT.SOLVER", "The student's")


@maker
def _weights() -> Rule:
    return Rule(lambda value: are_numbers(value) and all(each >= 0 for each in value), "must be weights >= 0", ">= 0")
