"""Keys of testing and measuring, and of clusters."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from ..registries import DATASET, EVALUATOR
from .keys import Effect, Rule, at_least, declare, maker, modulation_spec, one_of, registered, texts
from .time_limit import minutes


def add_keys(cfg: CfgNode) -> None:
    """Add the keys of testing and measuring, and what Slurm is asked for."""
    declare(cfg, "TEST.ENABLE", True, "Measure accuracy on DATA.TEST_SPLIT.", effect=Effect.MEASURING)
    declare(
        cfg,
        "TEST.DATASET",
        "videos",
        "Name in the DATASET registry.",
        registered(DATASET, "datasets"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "TEST.BATCH_SIZE",
        16,
        "Views (clips x crops) in a forward pass.",
        at_least(1),
        unit="views",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "TEST.CHECKPOINT_FILE_PATH",
        "",
        "Weights to test when not training: as TRAIN.CHECKPOINT_FILE_PATH. Empty: those of the training, else the "
        "newest in OUTPUT_DIR.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "TEST.NUM_ENSEMBLE_VIEWS",
        10,
        "Clips of a video, spread in time.",
        at_least(1),
        unit="clips",
        effect=Effect.VIEWS,
    )
    declare(
        cfg,
        "TEST.NUM_SPATIAL_CROPS",
        3,
        "Crops of a clip: 1 (centre) or 3 (along the long side).",
        one_of(1, 3),
        unit="crops",
        effect=Effect.VIEWS,
    )
    declare(
        cfg, "BIAS.ENABLE", True, "Measure bias on DATA.TEST_SPLIT, in the same pass as TEST.", effect=Effect.MEASURING
    )
    declare(
        cfg,
        "BIAS.EVALUATORS",
        ["sample_clips"],
        "Names in the EVALUATOR registry: `pvbias list evaluators`. Plugins add theirs to the default.",
        registered(EVALUATOR, "evaluators"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "BIAS.FREEZE_FRAME",
        "middle",
        'Frame that a frozen clip repeats: "first", "middle" or "random".',
        one_of("first", "middle", "random"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "BIAS.FREEZE_DRAWS",
        1,
        "Random frames of each clip that a figure of clips frozen to a random frame is the mean over; as many as a "
        "clip has frames: over all of them.",
        at_least(1),
        unit="frames",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "BIAS.MODULATIONS",
        [],
        'Modulations that original clips are compared with beside the default ones: ["shuffle(segments=4)"] '
        "(`pvbias list modulations`).",
        modulation_spec(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "BIAS.BOOTSTRAP_SAMPLES",
        2000,
        "Resamples for the bootstrap intervals.",
        at_least(100),
        unit="resamples",
        effect=Effect.FIGURES,
    )
    declare(
        cfg,
        "BIAS.BREAK_DOWN_BY",
        [],
        "Attributes of the test videos (further columns of a list or keys of a .jsonl, factors of generated videos) by "
        "which figures are broken down: a table for each, with a row for each of its values.",
        texts(),
        effect=Effect.FIGURES,
    )
    declare(
        cfg,
        "FEATURES.LAYERS",
        ["embedding"],
        'Layers that `pvbias features` keeps the outputs of, beside the logits: "embedding" (what the final projection '
        "sees), or dotted names of inner modules.",
        texts(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FEATURES.MODULATIONS",
        ["original"],
        "Modulations of the clips that they are of (`pvbias list modulations`).",
        modulation_spec(),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FEATURES.POOL",
        "all",
        'Positions of a layer that are averaged: "all"; "space", which leaves time; "none".',
        one_of("all", "space", "none"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FEATURES.DTYPE",
        "float32",
        'Numbers on disk: "float32", or "float16" in half the room.',
        one_of("float32", "float16"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FEATURES.SPLIT",
        "test",
        'Split whose videos features are of: "train", "val" or "test".',
        one_of("train", "val", "test"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "FEATURES.LABELS_FROM",
        "",
        "Attribute that names the classes of a video, with ; between them, where videos may have several (`pvbias data "
        "prepare` writes `classes`); empty: each has its one label.",
        effect=Effect.MEASURING,
    )
    # What `pvbias submit` asks Slurm for. With `--cluster local`: TIME, GPUS_PER_NODE, TASKS_PER_NODE, SETUP.
    declare(cfg, "SLURM.PARTITION", "", "Partition; empty: Slurm's default.", effect=Effect.NOTHING)
    declare(cfg, "SLURM.ACCOUNT", "", "Account; empty: Slurm's default.", effect=Effect.NOTHING)
    declare(cfg, "SLURM.QOS", "", "Quality of service; empty: Slurm's default.", effect=Effect.NOTHING)
    declare(cfg, "SLURM.NODES", 1, "Machines.", at_least(1), unit="machines", effect=Effect.NOTHING)
    declare(
        cfg,
        "SLURM.GPUS_PER_NODE",
        1,
        "GPUs on each machine: one process for each of them. 0: TASKS_PER_NODE processes on CPUs.",
        at_least(0),
        unit="GPUs",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.TASKS_PER_NODE",
        1,
        "Processes on each machine where GPUS_PER_NODE is 0.",
        at_least(1),
        unit="processes",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.CPUS_PER_TASK",
        0,
        "CPUs of each process, its loader's workers included; 0: one more than DATA_LOADER.NUM_WORKERS.",
        at_least(0),
        unit="CPUs",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.MEM_GB",
        0.0,
        "Memory of each machine; 0: Slurm's default.",
        at_least(0),
        unit="GB",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.TIME",
        "1-00:00:00",
        'Time limit of one attempt: minutes ("90"), "HH:MM:SS", "D-HH" or "D-HH:MM:SS".',
        _time_limit(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.SIGNAL_DELAY",
        120,
        "Time before the limit at which the job is told to save and to go back to the queue. Slurm looks every 30 "
        "seconds and may be a minute early.",
        at_least(30),
        unit="seconds",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.MAX_TIMEOUTS",
        20,
        "How often the job may go on after its time limit. Preemptions do not count.",
        at_least(0),
        unit="times",
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.CONSTRAINT",
        "",
        "Features that the machines must have, as sbatch takes them.",
        effect=Effect.NOTHING,
    )
    declare(cfg, "SLURM.EXCLUDE", "", "Machines to leave out, as sbatch takes them.", effect=Effect.NOTHING)
    declare(cfg, "SLURM.COMMENT", "", "A note to keep with the job.", effect=Effect.NOTHING)
    declare(
        cfg,
        "SLURM.SETUP",
        [],
        'Shell commands before the processes start, on the first machine: ["module load cuda", "export '
        'NCCL_DEBUG=INFO"]. One that fails ends the job; "... || true" may fail.',
        texts(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.SRUN_ARGS",
        [],
        'Arguments of srun, for containers: ["--container-image=pvbias.sqsh", "--container-mounts=/datasets"].',
        texts(),
        effect=Effect.NOTHING,
    )
    declare(
        cfg,
        "SLURM.SBATCH",
        [],
        'Further options of sbatch, without dashes: ["reservation=cvpr", "exclusive"].',
        texts(),
        effect=Effect.NOTHING,
    )


@maker
def _time_limit() -> Rule:
    def holds(value: str) -> bool:
        try:
            return minutes(value) > 0
        except ValueError:
            return False

    form = "minutes ('90'), 'HH:MM:SS', 'D-HH' or 'D-HH:MM:SS'"
    return Rule(holds, f"must be {form}", form)
