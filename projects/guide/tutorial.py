"""A tutorial in cells: train on motion, look at what the figures see, be led astray by places, and lean less on them.

python projects/guide/tutorial.py

runs all of it on made-up videos whose motion is known, in minutes on two cores, and ends at a page. Editors that know
`# %%` (VS Code, PyCharm, Spyder, Jupytext) run it cell by cell. Results are in `tutorial/`, or where `TUTORIAL` says;
what is there already is not made again. With `PVBIAS_REAL_DATA`, a folder with `clips/ut_interaction_set1/`, the last
cell measures these, too.
"""

# %% Keys that all trainings here share: a small 3D network, videos of 24 x 24 pixels, clips of 8 frames
import os
from pathlib import Path

import torch

from pvbias.clips import modulation
from pvbias.config import load_cfg
from pvbias.data import build_source, build_test_loader
from pvbias.engine import launch, newest_checkpoint
from pvbias.models import build_recognizer
from pvbias.plugins.bias_metrics import agreement, dynamic_score
from pvbias.report import read_results, write_comparison
from pvbias.report.console import headline_table
from pvbias.report.page import read_runs
from pvbias.run import run

OUT = Path(os.environ.get("TUTORIAL", "tutorial"))
SHARED = """
    MODEL.MODEL_NAME r3d_small
    DECOUPLED.SIZE 24  DECOUPLED.BRUSH_SIZE 8  DECOUPLED.FRAMES 24  DECOUPLED.LABEL motion  DECOUPLED.TEST_VIDEOS 200
    DATA.TEMPORAL_SAMPLING duration  DATA.CLIP_DURATION 0.8  DATA.NUM_FRAMES 8  DATA.RANDOM_FLIP False
    DATA.TRAIN_JITTER_SCALES [24,24]  DATA.TRAIN_CROP_SIZE 24  DATA.TEST_SHORT_SIDE 24  DATA.TEST_CROP_SIZE 24
    DATA_LOADER.NUM_WORKERS 0  TENSORBOARD.ENABLE False
    TEST.NUM_ENSEMBLE_VIEWS 1  TEST.NUM_SPATIAL_CROPS 1  TEST.BATCH_SIZE 50
    SOLVER.OPTIMIZING_METHOD adamw  SOLVER.WEIGHT_DECAY 0.05  SOLVER.WARMUP_EPOCHS 0.1  SOLVER.WARMUP_START_LR 0.0003
    TRAIN.BATCH_SIZE 16  SOLVER.MAX_EPOCH 2.0
"""


def job(name: str, keys: str) -> Path:
    """Do one job, as `pvbias run` would; return its folder."""
    folder = OUT / name
    if not (folder / "results.json").exists():
        launch(run, load_cfg(None, [*SHARED.split(), *keys.split(), "OUTPUT_DIR", str(folder)]))
    print(f"{name}\n{headline_table([read_results(folder)])}\n")
    return folder


# %% 1. A network that has to see motion: digits move over black along the strokes of other digits, which are the label
motion = job(
    "motion",
    "TRAIN.DATASET brush_mnist TEST.DATASET brush_mnist DECOUPLED.TRAIN_VIDEOS 6000 SOLVER.BASE_LR 0.003",
)
# Its accuracy is lost when frames are shuffled, and the dynamic scores are large: it has learnt motion.

# %% 2. What these figures see: one video, its frames shuffled, and the predictions for both
cfg = load_cfg(motion / "config.yaml")
recognizer = build_recognizer(cfg).eval()
recognizer.module.load_state_dict(torch.load(newest_checkpoint(str(motion)), weights_only=True)["model_state"])
source = build_source(cfg, "test")
videos = [video for video, _ in zip(build_test_loader(cfg, source, rank=0, world_size=1), range(50), strict=False)]
clips = torch.cat([video.clips for video in videos])  # uint8 (N, C, T, H, W)
with torch.no_grad():
    log_p = recognizer(clips).log_softmax(1)
    for spec in ("shuffle", "reverse", "freeze(frame=middle)", "shuffle_within(segments=4)"):
        log_q = recognizer(modulation(spec)(clips, list(range(len(clips))))).log_softmax(1)
        score, same = float(dynamic_score(log_p, log_q)), float(agreement(log_p, log_q))
        print(f"{spec}: dynamic score {score:.2f} nats, {100 * same:.0f} % keep their class")

# %% 3. Led astray: the same motions over places, and in training each motion has a place of its own
FINE_TUNING = f"""
    TRAIN.CHECKPOINT_FILE_PATH {newest_checkpoint(str(motion))}
    TRAIN.DATASET places_faces_mnist TEST.DATASET places_faces_mnist
    DECOUPLED.PLACES 10 DECOUPLED.MOTIONS 10 DECOUPLED.TRAIN_VIDEOS 1500 DECOUPLED.RHO 1.0 SOLVER.BASE_LR 0.001
    DECOUPLED.CONTEXT out
"""
plain = job("plain", f"{FINE_TUNING} OBJECTIVE.NAME CrossEntropy")
# Tested out of context, where each motion is shown over the places of others: the place has been believed.

# %% 4. The same with a remedy: one key more
remedied = job("drl_freeze", f"{FINE_TUNING} OBJECTIVE.NAME DRLFreeze")

# %% 5. Side by side, on the same videos, each difference with its interval
print(headline_table(read_runs([str(plain), str(remedied)])))
print(write_comparison([str(plain), str(remedied)], OUT / "comparison"))
# One training each: whether a remedy helps takes several seeds, as in projects/remedies.

# %% 6. Real clips, where they are: without labels that the network knows, what needs none
REAL = Path(os.environ.get("PVBIAS_REAL_DATA", "")) / "clips" / "ut_interaction_set1"
if "PVBIAS_REAL_DATA" in os.environ and REAL.is_dir():
    last = newest_checkpoint(str(remedied))
    OUT.joinpath("clips.csv").write_text("path\n" + "".join(f"{path}\n" for path in sorted(REAL.glob("*.avi"))))
    job("real", f"TRAIN.ENABLE False TEST.CHECKPOINT_FILE_PATH {last} DATA.TEST_SPLIT {OUT.absolute() / 'clips.csv'}")
