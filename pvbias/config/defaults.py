"""Every configuration key of the core: what it means, its unit, its range, its default.

Where SlowFast has a key for the same thing, the name is SlowFast's. ``None`` means "as the model was trained" (or, for
the student, "as the recognizer is") and is replaced by that value when the configuration is completed
(:func:`pvbias.config.complete`), so a saved configuration has none left. A plugin adds its own keys with a function
``add_config(cfg)``.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode as CN

_C = CN()

# Plugins to import, dotted module names, beside those that installed packages announce (entry points "pvbias.plugins").
_C.PLUGINS = []

# Folder for everything a run writes. Made when missing.
_C.OUTPUT_DIR = "./output"

# Seed of everything random, >= 0.
_C.RNG_SEED = 0

# Processes on this machine, one GPU each; 0 or 1: one process. Without a GPU: CPU processes. Ignored under torchrun.
_C.NUM_GPUS = 1

# Machines in the job, >= 1, and which one this is, 0 .. NUM_SHARDS - 1. They meet at MASTER_ADDR:MASTER_PORT (from the
# environment). Ignored under torchrun.
_C.NUM_SHARDS = 1
_C.SHARD_ID = 0

# torch.distributed backend: "auto" (nccl on GPUs, gloo on CPUs), "nccl" or "gloo".
_C.DIST_BACKEND = "auto"

# Number format of the forward pass: "fp32", "bf16", "fp16" (GPU only, with loss scaling), or "auto", which is fp32
# for evaluation everywhere (scores stay comparable between machines) and, for training, bf16 on GPUs that have it
# and fp32 elsewhere.
_C.PRECISION = "auto"

# Memory layout of clips and weights: "channels_last_3d", "contiguous", or "auto" (chosen for the model and the
# machine).
_C.MEMORY_FORMAT = "auto"

# Steps between two log lines, >= 1.
_C.LOG_PERIOD = 10

_C.TENSORBOARD = CN()
# Write TensorBoard event files to OUTPUT_DIR/tensorboard.
_C.TENSORBOARD.ENABLE = True

# -------------------- model --------------------
_C.MODEL = CN()
# Name in the MODEL registry: `pvbias list models`. Has to be set.
_C.MODEL.MODEL_NAME = ""
# Classes, >= 2. None: as many as the training annotation has.
_C.MODEL.NUM_CLASSES = None
# Parameters that stay as they are: those whose name matches one of these regular expressions (re.search); "backbone"
# stands for all but the final projection.
_C.MODEL.FREEZE = []

_C.CHECKPOINT = CN()
# Least fraction of the backbone's parameters (all but the final projection's) that a file of weights has to fill,
# [0, 1]. A file that fills less, or nothing, is an error.
_C.CHECKPOINT.MIN_MATCH = 0.9
# Which weights of a file that holds several sets, as dotted keys: "model_ema". With a dot at its end, what the names of
# those that are meant begin with: "state_dict.encoder_k.". Empty: the plain ones, or the largest set; loading says so.
_C.CHECKPOINT.STATE_KEY = ""

# -------------------- data --------------------
_C.DATA = CN()
# Folder that the three splits below are relative to.
_C.DATA.PATH_TO_DATA_DIR = ""
# Annotation of each split, relative to PATH_TO_DATA_DIR or absolute: a list of `path label` lines (space, comma,
# semicolon or tab), a table with a heading, a .jsonl with {"path": ..., "label": ...} lines or another form of JSON, or
# a folder (one subfolder a class; or videos alone, which then have no labels): pvbias/data/annotations/reading.py.
# Empty: there is no such split.
_C.DATA.TRAIN_SPLIT = "train.csv"
_C.DATA.VAL_SPLIT = "val.csv"
_C.DATA.TEST_SPLIT = "test.csv"
# Form of lists: "auto" (as the list shows), or "tsn": `path frames label`, of which the last column is the label.
_C.DATA.LIST_FORMAT = "auto"
# Number of the first class in lists, 0 or 1. None: 0, and where the labels run from 1 to the number of classes an error
# that asks for this key.
_C.DATA.LABELS_START_AT = None
# Folder that relative video paths in an annotation are relative to; empty: the annotation's own folder.
_C.DATA.PATH_PREFIX = ""
# What the names of frame images begin with, before their number, where a video is a folder that holds several series
# of them: "img_" for img_00001.jpg. None: the only series that is neither optical flow nor a single image.
_C.DATA.FRAME_PREFIX = None
# Text file with one class name a line, in label order (or with the numbers, or JSON), or weights that know the names of
# their classes: zoo://pytorchvideo/x3d_s/kinetics400, a checkpoint of pvbias. Empty: those of the weights where they
# are known (when measuring), else of the training split, else the annotation's own, sorted.
_C.DATA.CLASS_NAMES_FILE = ""
# Sampling of frames: "rate" (NUM_FRAMES frames, SAMPLING_RATE apart at TARGET_FPS), "duration" (NUM_FRAMES frames
# spread over CLIP_DURATION seconds, so that scores compare across models), or "windows" (the same frames as "rate",
# but the test views are all consecutive windows, WINDOW_STRIDE apart, instead of NUM_ENSEMBLE_VIEWS).
_C.DATA.TEMPORAL_SAMPLING = "rate"
# Frames in a clip, >= 1. None: the model's.
_C.DATA.NUM_FRAMES = None
# Step between a clip's frames, in frames at TARGET_FPS, >= 1. None: the model's.
_C.DATA.SAMPLING_RATE = None
# Frames per second that SAMPLING_RATE and WINDOW_STRIDE count in, > 0. Videos of another rate are sampled by time.
_C.DATA.TARGET_FPS = None
# Length of a clip for "duration", seconds, > 0.
_C.DATA.CLIP_DURATION = 1.0
# Step between consecutive windows for "windows", in frames at TARGET_FPS, >= 1.
_C.DATA.WINDOW_STRIDE = 16
# What clips show: "rgb", or "flow" (optical flow, coded in a picture's channels; see FLOW_DIR). None: what the model
# was trained on.
_C.DATA.MODALITY = None
# Folder of optical flow that `pvbias flow extract` wrote, for clips of flow and for objectives that predict it. Empty:
# what the data set itself knows (made-up videos do).
_C.DATA.FLOW_DIR = ""
# Name in the MODULATION registry: what every clip goes through, in training and in testing, before anything else sees
# it (`pvbias list modulations`). Another than "original" is a control: what can be learnt without motion?
_C.DATA.MODULATION = "original"
# Side of the square training crop, pixels, >= 1. None: the model's.
_C.DATA.TRAIN_CROP_SIZE = None
# Side of the square test crop, pixels, >= TRAIN_CROP_SIZE. None: the model's (scaled with TRAIN_CROP_SIZE).
_C.DATA.TEST_CROP_SIZE = None
# Length that the short side is resized to before a test crop, pixels, >= TEST_CROP_SIZE. None: the model's (scaled with
# TEST_CROP_SIZE: the same part of a frame is seen).
_C.DATA.TEST_SHORT_SIDE = None
# Range of the short side before a random training crop, pixels, [min, max], min >= TRAIN_CROP_SIZE. None: [s, 1.25
# s] with s the model's short side (scaled with TRAIN_CROP_SIZE).
_C.DATA.TRAIN_JITTER_SCALES = None
# Inception-style random resized crops instead: area as a fraction of the frame, [min, max] in (0, 1]; empty: off.
_C.DATA.TRAIN_JITTER_SCALES_RELATIVE = []
# Aspect ratio (width / height) of those crops, [min, max], > 0.
_C.DATA.TRAIN_JITTER_ASPECT_RELATIVE = [0.75, 1.3333]
# Mirror training clips left to right, half of the time. Turn off where labels tell left from right.
_C.DATA.RANDOM_FLIP = True
# Normalisation of RGB in [0, 1], per channel: means in [0, 1], standard deviations in (0, 1]. (Those for RGB in
# [0, 255] are to be divided by 255.) None: the model's.
_C.DATA.MEAN = None
_C.DATA.STD = None
# A run fails when more than this fraction of the files it has seen is bad, [0, 1]; at its beginning, when more are not
# there or have labels that are no classes.
_C.DATA.MAX_BAD_FRACTION = 0.1

_C.AUG = CN()
# Strength of colour jitter on training clips (brightness, contrast, saturation), the same for all frames of a clip,
# [0, 1]; 0: off.
_C.AUG.COLOR_JITTER = 0.0

_C.DATA_LOADER = CN()
# Worker processes for each training or test process, >= 0; 0: decode in the process itself, which a decoder that
# crashes then ends. (A worker that one ends is replaced, and the file is listed as bad.)
_C.DATA_LOADER.NUM_WORKERS = 2
# Copy batches through page-locked memory (GPU only).
_C.DATA_LOADER.PIN_MEMORY = True

# -------------------- training --------------------
_C.OBJECTIVE = CN()
# Name in the OBJECTIVE registry: `pvbias list objectives`.
_C.OBJECTIVE.NAME = "CrossEntropy"
# Probability moved from the label to all classes evenly, [0, 1).
_C.OBJECTIVE.LABEL_SMOOTHING = 0.0

_C.TRAIN = CN()
# Train.
_C.TRAIN.ENABLE = True
# Name in the DATASET registry.
_C.TRAIN.DATASET = "videos"
# Clips in a mini-batch over all processes, >= 1.
_C.TRAIN.BATCH_SIZE = 16
# Mini-batches whose gradients are added up before a step, >= 1.
_C.TRAIN.ACCUMULATE_STEPS = 1
# Weights to start from: a path, an https URL, or zoo://pytorchvideo/x3d_s/kinetics400. Empty: random weights.
_C.TRAIN.CHECKPOINT_FILE_PATH = ""
# SHA-256 of that file, hexadecimal; empty: not verified (a catalogue entry's own checksum is, where it has one).
_C.TRAIN.CHECKPOINT_SHA256 = ""
# Go on from the newest checkpoint in OUTPUT_DIR when there is one. It has to be of this training: what decides the
# result has to be as it was (pvbias/config/effects.py), else that is an error.
_C.TRAIN.AUTO_RESUME = True
# Keys or groups that may be other than they were in that checkpoint, as the error names them; ["SOLVER.MAX_EPOCH"]. The
# results then say so.
_C.TRAIN.RESUME_CHANGED = []
# Epochs between checkpoints, >= 1; the last epoch always has one.
_C.TRAIN.CHECKPOINT_PERIOD = 1
# Minutes between checkpoints inside an epoch, >= 0; each is removed once there is a later one. 0: none, but where the
# run is asked to stop (a cluster that takes its nodes back).
_C.TRAIN.CHECKPOINT_MINUTES = 15.0
# Checkpoints of finished epochs that are kept, the last ones, >= 0; 0: all.
_C.TRAIN.CHECKPOINT_KEEP = 0
# Figure of the validation ("top1", ...) whose highest value makes checkpoint_best.pyth, beside the others; empty: none.
_C.TRAIN.CHECKPOINT_BEST = ""
# Epochs between validations on DATA.VAL_SPLIT, >= 0; 0: never.
_C.TRAIN.EVAL_PERIOD = 0

_C.SOLVER = CN()
# "sgd", "adam" or "adamw".
_C.SOLVER.OPTIMIZING_METHOD = "sgd"
# Learning rate at the start (after warm-up), > 0.
_C.SOLVER.BASE_LR = 0.1
# "cosine" or "steps_with_relative_lrs".
_C.SOLVER.LR_POLICY = "cosine"
# Learning rate at the end of "cosine", >= 0.
_C.SOLVER.COSINE_END_LR = 0.0
# For "steps_with_relative_lrs": epochs at which the rate changes, starting with 0, and the factors on BASE_LR from
# there on.
_C.SOLVER.STEPS = [0]
_C.SOLVER.LRS = [1.0]
# Epochs to train, > 0; may be a fraction.
_C.SOLVER.MAX_EPOCH = 10.0
# Epochs of linear warm-up, >= 0, from WARMUP_START_LR (>= 0) to what LR_POLICY gives at their end.
_C.SOLVER.WARMUP_EPOCHS = 0.0
_C.SOLVER.WARMUP_START_LR = 0.01
# Multiply BASE_LR and WARMUP_START_LR by NUM_SHARDS.
_C.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False
# SGD momentum, [0, 1), and Nesterov's form of it.
_C.SOLVER.MOMENTUM = 0.9
_C.SOLVER.NESTEROV = True
# Adam's moment decay rates.
_C.SOLVER.BETAS = [0.9, 0.999]
# Weight decay, >= 0 (decoupled for adamw).
_C.SOLVER.WEIGHT_DECAY = 1e-4
# No weight decay on biases and normalisation parameters.
_C.SOLVER.ZERO_WD_1D_PARAM = False
# Clip gradients: largest absolute value, or largest L2 norm; None: off. At most one of the two.
_C.SOLVER.CLIP_GRAD_VAL = None
_C.SOLVER.CLIP_GRAD_L2NORM = None

# The spatial student, a classifier of single frames: a part of some objectives, and of the measures that train one.
_C.STUDENT = CN()
# Name in the STUDENT registry: `pvbias list students`.
_C.STUDENT.NAME = "resnet18"
# Weights to start from: "imagenet" (those of torchvision, fetched), a path, or an https URL. Empty: random weights.
_C.STUDENT.CHECKPOINT_FILE_PATH = ""
# Frames of a clip that it sees, spread evenly, >= 0; 0: all.
_C.STUDENT.NUM_FRAMES = 0
# Its optimizer and schedule: the keys of SOLVER, with their meaning. None: as in SOLVER.
_C.STUDENT.SOLVER = CN(dict.fromkeys(_C.SOLVER))

_C.BN = CN()
# Keep BatchNorm's statistics and affine parameters as loaded.
_C.BN.FREEZE = False
# Recompute BatchNorm's statistics (fvcore's precise BN) over NUM_BATCHES_PRECISE mini-batches before each evaluation.
_C.BN.USE_PRECISE_STATS = False
_C.BN.NUM_BATCHES_PRECISE = 200

# -------------------- testing and measuring --------------------
_C.TEST = CN()
# Measure accuracy on DATA.TEST_SPLIT.
_C.TEST.ENABLE = True
# Name in the DATASET registry.
_C.TEST.DATASET = "videos"
# Views (clips x crops) in a forward pass, >= 1.
_C.TEST.BATCH_SIZE = 16
# Weights to test when not training: as TRAIN.CHECKPOINT_FILE_PATH. Empty: those of the training, else the newest in
# OUTPUT_DIR.
_C.TEST.CHECKPOINT_FILE_PATH = ""
# Clips of a video, spread uniformly in time, >= 1.
_C.TEST.NUM_ENSEMBLE_VIEWS = 10
# Crops of a clip: 1 (centre) or 3 (along the long side).
_C.TEST.NUM_SPATIAL_CROPS = 3

_C.BIAS = CN()
# Measure bias on DATA.TEST_SPLIT, in the same pass as TEST.
_C.BIAS.ENABLE = True
# Names in the EVALUATOR registry: `pvbias list evaluators`. Plugins add theirs to the default.
_C.BIAS.EVALUATORS = ["sample_clips"]
# Frame that a frozen clip repeats: "first", "middle" or "random".
_C.BIAS.FREEZE_FRAME = "middle"
# Resamples for the bootstrap intervals, >= 100.
_C.BIAS.BOOTSTRAP_SAMPLES = 2000

# -------------------- clusters --------------------
# What `pvbias submit` asks Slurm for. With `--cluster local`: TIME, GPUS_PER_NODE, TASKS_PER_NODE, SETUP.
_C.SLURM = CN()
# Partition, account, quality of service; empty: Slurm's default.
_C.SLURM.PARTITION = ""
_C.SLURM.ACCOUNT = ""
_C.SLURM.QOS = ""
# Machines, >= 1, and GPUs on each, >= 0: one process for each GPU.
_C.SLURM.NODES = 1
_C.SLURM.GPUS_PER_NODE = 1
# Processes on each machine where GPUS_PER_NODE is 0, >= 1.
_C.SLURM.TASKS_PER_NODE = 1
# CPUs of each process, its loader's workers included, >= 0; 0: one more than DATA_LOADER.NUM_WORKERS.
_C.SLURM.CPUS_PER_TASK = 0
# Memory of each machine, GB, >= 0; 0: Slurm's default.
_C.SLURM.MEM_GB = 0.0
# Time limit of one attempt: minutes ("90"), "HH:MM:SS", "D-HH" or "D-HH:MM:SS".
_C.SLURM.TIME = "1-00:00:00"
# Seconds before the time limit at which the job is told to save and to go back to the queue, >= 30. Slurm looks every
# 30 seconds and may be a minute early.
_C.SLURM.SIGNAL_DELAY = 120
# How often the job may go on after its time limit, >= 0. Preemptions do not count.
_C.SLURM.MAX_TIMEOUTS = 20
# Features that the machines must have, machines to leave out (both as sbatch takes them), a note to keep with the job.
_C.SLURM.CONSTRAINT = ""
_C.SLURM.EXCLUDE = ""
_C.SLURM.COMMENT = ""
# Shell commands before the processes start, on the first machine: ["module load cuda", "export NCCL_DEBUG=INFO"].
_C.SLURM.SETUP = []
# Arguments of srun, for containers: ["--container-image=pvbias.sqsh", "--container-mounts=/datasets"].
_C.SLURM.SRUN_ARGS = []
# Further options of sbatch, without dashes: ["reservation=cvpr", "exclusive"].
_C.SLURM.SBATCH = []


def get_cfg() -> CN:
    """A fresh copy of the default configuration of the core."""
    return _C.clone()
