"""Keys of the run, the model and the data."""

from __future__ import annotations

from typing import Any

from fvcore.common.config import CfgNode

from ..registries import SAMPLING
from ..storage.local_cache import DEFAULT_GIB
from .keys import (
    Effect,
    Rule,
    above,
    are_numbers,
    at_least,
    between,
    declare,
    maker,
    modulation_spec,
    on_a_disk,
    one_of,
    pair,
    registered,
    texts,
)


def add_keys(cfg: CfgNode) -> None:
    """Add the keys of the run, the model and the data."""
    declare(
        cfg,
        "PLUGINS",
        [],
        "Plugins to import, dotted module names, beside those that installed packages announce (entry points "
        '"pvbias.plugins").',
        texts(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "OUTPUT_DIR",
        "./output",
        "Folder for everything a run writes. Made when missing.",
        on_a_disk(),
        effect=Effect.NOTHING,
    )
    declare(cfg, "RNG_SEED", 0, "Seed of everything random.", at_least(0))
    declare(
        cfg,
        "NUM_GPUS",
        1,
        "Processes on this machine, one GPU each; 0 or 1: one process. Without a GPU: CPU processes. Ignored under "
        "torchrun.",
        at_least(0),
        unit="processes",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "NUM_SHARDS",
        1,
        "Machines in the job. They meet at MASTER_ADDR:MASTER_PORT (from the environment). Ignored under torchrun.",
        at_least(1),
        unit="machines",
        effect=Effect.NOTHING,
    )
    declare(
        cfg, "SHARD_ID", 0, "Which of the machines this is, 0 to NUM_SHARDS - 1.", at_least(0), effect=Effect.NOTHING
    )
    declare(
        cfg,
        "DIST_BACKEND",
        "auto",
        'Backend of torch.distributed; "auto": nccl on GPUs, gloo on CPUs.',
        one_of("auto", "nccl", "gloo"),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "PRECISION",
        "auto",
        'Number format of the forward pass: "fp32", "tf32" (GPU only: fp32 whose convolutions and matrix products are '
        'made in TF32, with 10 bits after the leading one), "bf16", "fp16" (GPU only, with loss scaling), or "auto", '
        "which is fp32 for evaluation everywhere (scores stay comparable between machines) and, for training, bf16 on "
        "GPUs that have it and fp32 elsewhere.",
        one_of("auto", "fp32", "tf32", "bf16", "fp16"),
    )
    declare(
        cfg,
        "MEMORY_FORMAT",
        "auto",
        'Memory layout of clips and weights: "channels_last_3d", "contiguous", or "auto" (chosen for the model and '
        "the machine).",
        one_of("auto", "channels_last_3d", "contiguous"),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "LAYERS.OFF",
        [],
        "Kinds of layers that keep torch's own forward on a GPU: `pvbias list fast_layers`; [all] for all of them. The "
        "fast ones give the same numbers to rounding.",
        texts(),
        effect=Effect.NOTHING,
    )
    declare(cfg, "LOG_PERIOD", 10, "Steps between two log lines.", at_least(1), unit="steps", effect=Effect.NOTHING)
    declare(
        cfg,
        "TENSORBOARD.ENABLE",
        True,
        "Write TensorBoard event files to OUTPUT_DIR/tensorboard.",
        effect=Effect.NOTHING,
    )
    declare(cfg, "MODEL.MODEL_NAME", "", "Name in the MODEL registry: `pvbias list models`. Has to be set.")
    declare(
        cfg,
        "MODEL.NUM_CLASSES",
        None,
        "Classes. None: as many as the training annotation has.",
        at_least(2),
        unit="classes",
        kind=int,
    )
    declare(
        cfg,
        "MODEL.EXTRA_HEADS",
        [],
        "Linear heads on the embedding, beside the model's own, as NAME=CLASSES: [scene=10] adds one of 10 classes "
        "called scene. AttributeHeads (OBJECTIVE.NAME) trains them; exported weights are without them.",
        _extra_heads(),
    )
    declare(
        cfg,
        "MODEL.FREEZE",
        [],
        "Parameters that stay as they are: those whose name matches one of these regular expressions (re.search); "
        '"backbone" stands for all but the final projection.',
        texts(),
    )
    declare(
        cfg,
        "CHECKPOINT.MIN_MATCH",
        0.9,
        "Least fraction of the backbone's parameters (all but the final projection's) that a file of weights has "
        "to fill. A file that fills less, or nothing, is an error.",
        between(0, 1),
        unit="of the parameters",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "CHECKPOINT.STATE_KEY",
        "",
        'Which weights of a file that holds several sets, as dotted keys: "model_ema". With a dot at its end, what '
        'the names of those that are meant begin with: "state_dict.encoder_k.". Empty: the plain ones, or the '
        "largest set; loading says so.",
    )
    declare(
        cfg,
        "DATA.PATH_TO_DATA_DIR",
        "",
        "Folder that the three splits below are relative to, on a disk or in an object store (s3://bucket/folder).",
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        "DATA.TRAIN_SPLIT",
        "train.csv",
        "Annotation of each split, relative to PATH_TO_DATA_DIR or absolute: a list of `path label` lines (space, "
        'comma, semicolon or tab), a table with a heading, a .jsonl with {"path": ..., "label": ...} lines or '
        "another form of JSON, a folder (one subfolder a class; or videos alone, which then have no labels), or tar "
        "files (train-{0000..0099}.tar): pvbias/data/annotations/reading.py. The suffix .csv or .jsonl may be left "
        "out: ucf101/train1. Empty: there is no such split.",
        effect=Effect.VIDEOS,
    )
    declare(
        cfg, "DATA.VAL_SPLIT", "val.csv", "Annotation of the validation split, as TRAIN_SPLIT.", effect=Effect.VIDEOS
    )
    declare(
        cfg, "DATA.TEST_SPLIT", "test.csv", "Annotation of the test split, as TRAIN_SPLIT.", effect=Effect.MEASURING
    )
    declare(
        cfg,
        "DATA.LIST_FORMAT",
        "auto",
        'Form of lists: "auto" (as the list shows), or "tsn": `path frames label`, of which the last column is the '
        "label.",
        one_of("auto", "tsn"),
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        "DATA.LABELS_START_AT",
        None,
        "Number of the first class in lists, 0 or 1. None: 0, and where the labels run from 1 to the number of "
        "classes an error that asks for this key.",
        one_of(0, 1),
        kind=int,
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        "DATA.PATH_PREFIX",
        "",
        "Folder, or tar files, that relative video paths in an annotation are relative to; empty: the annotation's own "
        "folder.",
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        "DATA.CACHE_DIR",
        "",
        "Folder of this machine for local copies of the videos of object stores, servers and tar files. Empty: "
        "pvbias-<number of the user> in $TMPDIR (/tmp).",
        on_a_disk(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "DATA.CACHE_GIB",
        DEFAULT_GIB,
        "Most that the local copies take together; those that were read the longest time ago make room.",
        above(0),
        unit="GiB",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "DATA.FRAME_PREFIX",
        None,
        "What the names of frame images begin with, before their number, where a video is a folder that holds "
        'several series of them: "img_" for img_00001.jpg. None: the only series that is neither optical flow nor '
        "a single image.",
        kind=str,
    )
    declare(
        cfg,
        "DATA.CLASS_NAMES_FILE",
        "",
        "Text file with one class name a line, in label order (or with the numbers, or JSON), or weights that know "
        "the names of their classes: zoo://pytorchvideo/x3d_s/kinetics400, a checkpoint of pvbias. Empty: those of "
        "the weights where they are known (when measuring), else of the training split, else those of class_names.txt "
        "beside the annotation, else its own, sorted.",
        effect=Effect.VIDEOS,
    )
    declare(
        cfg,
        "DATA.TEMPORAL_SAMPLING",
        None,
        'Name in the SAMPLING registry: "rate" (NUM_FRAMES frames, SAMPLING_RATE apart at TARGET_FPS), "duration" '
        '(NUM_FRAMES frames spread over CLIP_DURATION seconds, so that scores compare across models), "windows" (the '
        'same frames as "rate", but the test views are all consecutive windows, WINDOW_STRIDE apart, instead of '
        'NUM_ENSEMBLE_VIEWS), or what a model zoo does ("pytorchvideo", ...). None: as the weights were trained.',
        registered(SAMPLING, "samplings"),
        kind=str,
    )
    declare(cfg, "DATA.NUM_FRAMES", None, "Frames in a clip. None: the model's.", at_least(1), unit="frames", kind=int)
    declare(
        cfg,
        "DATA.SAMPLING_RATE",
        None,
        "Step between a clip's frames, in frames at TARGET_FPS; with a zoo's sampling, NUM_FRAMES * SAMPLING_RATE is "
        "its window, in frames at TARGET_FPS or of the video, as the zoo counts. None: the model's.",
        at_least(1),
        unit="frames at TARGET_FPS",
        kind=int,
    )
    declare(
        cfg,
        "DATA.TARGET_FPS",
        None,
        "Frames per second that SAMPLING_RATE and WINDOW_STRIDE count in. Videos of another rate are sampled by time "
        "(but with a zoo's sampling that counts a video's own frames).",
        above(0),
        unit="frames per second",
        kind=float,
    )
    declare(cfg, "DATA.CLIP_DURATION", 1.0, 'Length of a clip for "duration".', above(0), unit="seconds")
    declare(
        cfg,
        "DATA.WINDOW_STRIDE",
        16,
        'Step between consecutive windows for "windows", in frames at TARGET_FPS.',
        at_least(1),
        unit="frames at TARGET_FPS",
        effect=Effect.VIEWS,
    )
    declare(
        cfg,
        "DATA.MODALITY",
        None,
        'What clips show: "rgb", "flow" (optical flow, coded in a picture\'s channels; see FLOW_DIR), or "rgb+flow" '
        "(stacked flow frames behind RGB, as further channels; MEAN has 3 + 2k values for k of them). None: what the "
        "model was trained on.",
        one_of("rgb", "flow", "rgb+flow"),
        kind=str,
    )
    declare(
        cfg,
        "DATA.FLOW_DIR",
        "",
        "Folder of optical flow that `pvbias flow extract` wrote, for clips of flow and for objectives that "
        "predict it. Empty: what the data set itself knows (generated videos do).",
        on_a_disk(),
    )
    declare(
        cfg,
        "DATA.MASK_DIR",
        "",
        "Folder of masks, for what asks for them: for a video of the name NAME (without its suffix) NAME.npz, a folder "
        "NAME of images, or a second video NAME.mp4: pvbias/data/masks.py. Empty: what the data set itself knows "
        "(generated videos do).",
        on_a_disk(),
    )
    declare(
        cfg,
        "DATA.MODULATION",
        "original",
        "Modulation that every clip goes through, in training and in testing, before anything else sees it: "
        '"shuffle", "freeze(frame=first)" (`pvbias list modulations`). Another than "original" is a control: what can '
        "be learnt without motion?",
        modulation_spec(),
    )
    declare(
        cfg,
        "DATA.TRAIN_CROP_SIZE",
        None,
        "Side of the square training crop. None: the model's.",
        at_least(1),
        unit="pixels",
        kind=int,
    )
    declare(
        cfg,
        "DATA.TEST_CROP_SIZE",
        None,
        "Side of the square test crop, from TRAIN_CROP_SIZE on. None: the model's (scaled with TRAIN_CROP_SIZE).",
        at_least(1),
        unit="pixels",
        kind=int,
        effect=Effect.VIEWS,
    )
    declare(
        cfg,
        "DATA.TEST_SHORT_SIDE",
        None,
        "Length that the short side is resized to before a test crop, from TEST_CROP_SIZE on. None: the model's "
        "(scaled with TEST_CROP_SIZE: the same part of a frame is seen).",
        at_least(1),
        unit="pixels",
        kind=int,
        effect=Effect.VIEWS,
    )
    declare(
        cfg,
        "DATA.TRAIN_JITTER_SCALES",
        None,
        "Range of the short side before a random training crop, from TRAIN_CROP_SIZE on. None: [s, 1.25 s] with s "
        "the model's short side (scaled with TRAIN_CROP_SIZE).",
        pair(1),
        unit="pixels",
        kind=list,
    )
    declare(
        cfg,
        "DATA.TRAIN_JITTER_SCALES_RELATIVE",
        [],
        "Inception-style random resized crops instead: area as a fraction of the frame, [min, max] in (0, 1]; "
        "empty: off.",
        unit="of the area",
    )
    declare(
        cfg,
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE",
        [0.75, 1.3333],
        "Aspect ratio (width / height) of those crops.",
        pair(1e-3),
    )
    declare(
        cfg,
        "DATA.TRAIN_CORNER_SCALES",
        [],
        "Multi-scale corner crops instead: a square whose side is one of these fractions of the frame's short side, "
        "at one of the four corners or in the centre, all equally likely; empty: off.",
        _fractions(),
        unit="of the short side",
    )
    declare(
        cfg,
        "DATA.RANDOM_FLIP",
        True,
        "Mirror training clips left to right, half of the time. Turn off where labels tell left from right.",
    )
    declare(
        cfg,
        "DATA.MEAN",
        None,
        "Mean of RGB in [0, 1], per channel, that clips are normalised with. (One for RGB in [0, 255] is to be "
        "divided by 255.) Of stacked flow frames two values each more (MODALITY rgb+flow). None: the model's.",
        _colour(True),
        kind=list,
    )
    declare(
        cfg,
        "DATA.STD",
        None,
        "Standard deviation of the channels that MEAN has the means of. None: the model's.",
        _colour(False),
        kind=list,
    )
    declare(
        cfg,
        "DATA.MAX_BAD_FRACTION",
        0.1,
        "A run fails when more than this fraction of the files it has seen is bad; at its beginning, when more are "
        "not there or have labels that are no classes.",
        between(0, 1),
        unit="of the files",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "DATA_LOADER.NUM_WORKERS",
        2,
        "Worker processes for each training or test process; 0: decode in the process itself, which a decoder that "
        "crashes then ends. (A worker that one ends is replaced, and the file is listed as bad.)",
        at_least(0),
        unit="processes",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "DATA_LOADER.PIN_MEMORY",
        True,
        "Copy batches through page-locked memory (GPU only).",
        effect=Effect.NOTHING,
    )


@maker
def _fractions() -> Rule:
    def holds(value: Any) -> bool:
        return not value or (are_numbers(value) and 0.1 <= min(value) <= max(value) <= 1)

    return Rule(holds, "must be a list of numbers in [0.1, 1]", "numbers in [0.1, 1]")


@maker
def _colour(zero: bool) -> Rule:
    def holds(value: Any) -> bool:
        channels = len(value) if are_numbers(value) else 0
        return channels >= 3 and channels % 2 == 1 and 0 <= min(value) <= max(value) <= 1 and (zero or min(value) > 0)

    must = (
        f"must be three numbers (red, green, blue; with MODALITY rgb+flow two more for each flow frame) "
        f"{'in [0, 1]' if zero else 'above 0 and up to 1'}, since they are "
        "for RGB in [0, 1]. Those for RGB in [0, 255] have to be divided by 255"
    )
    return Rule(holds, must, f"three numbers in {'[0, 1]' if zero else '(0, 1]'}")


def _extra_heads() -> Rule:
    def holds(value: Any) -> bool:
        from ..models.extra_heads import parse_extra_heads  # with torch, which declaring a key does not need

        parse_extra_heads(value)  # a ConfigError that says what is wrong
        return True

    return Rule(holds, "must be a list of NAME=CLASSES", "a list of NAME=CLASSES, CLASSES >= 2")
