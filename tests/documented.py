"""Run the commands that the README and the guide show, in a sandbox of their own.

::

    make doctest                                     all pages
    make doctest PAGES="projects/guide/your_data.md"

The sandbox has what the pages speak of: videos, lists, a checkpoint with random weights, `my.yaml` as the README has it
but for its length, the modules of the examples. What cannot be run here is named with the reason. The pages share one
sandbox, in their order, so that a command finds what an earlier one has written. Exit code 1 where a command fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from pvbias.config import complete, load_cfg
from pvbias.data.annotations import read_annotation
from pvbias.models import build_recognizer
from pvbias.tools.demo_videos import MOTIONS, write_demo_videos

from .test_readmes import MODULE

ROOT = Path(__file__).resolve().parents[1]
GUIDE = [
    ROOT / "projects" / "guide" / f"{name}.md"
    for name in (
        "your_data",
        "your_checkpoint",
        "reading_the_page",
        "choosing_a_remedy",
        "on_a_cluster",
        "writing_a_plugin",
    )
]
PAGES = [ROOT / "README.md", *GUIDE]
#: What a shown command begins with.
PROGRAMS = ("pvbias ", "python ", "torchrun ", "make ", "pip ")
#: Beginnings of commands that are not run, and why.
NOT_RUN = {
    "make ": "this very checkout is set up, tested and shown by them",
    "pip ": "the environment is there",
    "pvbias submit": "a Slurm cluster: tests/cluster",
    "pvbias jobs": "a Slurm cluster: tests/cluster",
    "torchrun ": "eight GPUs: tests/engine/test_launch.py",
    "pvbias data prepare ucf101": "UCF101: tests/plugins/datasets",
    "pvbias run --cfg my.yaml DATA.PATH_TO_DATA_DIR lists": "UCF101: tests/plugins/datasets",
    "pvbias make-videos": "a whole data set: tests/tools/test_make_videos.py",
}
#: Of commands and of my.yaml: what is another here, since nothing is downloaded and nobody has hours.
REPLACED = {
    "zoo://pytorchvideo/x3d_s/kinetics400": "downloaded.pyth",
    "/data/my_videos": ".",
    "--workers 8": "--workers 2",
    "BATCH_SIZE: 64": "BATCH_SIZE: 4",
    "MAX_EPOCH: 20.0": "MAX_EPOCH: 1.0",
    "WARMUP_EPOCHS: 2.0": "WARMUP_EPOCHS: 0.5",
}
#: Keys that make single commands short.
SHORTENED = {
    "TRAIN.DATASET brush_mnist": "DECOUPLED.TRAIN_VIDEOS 8 DECOUPLED.TEST_VIDEOS 4 DECOUPLED.SIZE 64",
    "dynamic_score_distill": "STUDENT.SOLVER.MAX_EPOCH 1.0 TRAIN.BATCH_SIZE 4",
}


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES)
    parser.add_argument("--keep", type=Path, help="folder of the sandbox (default: a temporary one)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        sandbox = args.keep or Path(temporary)
        furnish(sandbox)
        rows, ran = [], set()
        for page in args.pages:
            for command in commands(page.read_text(encoding="utf-8")):
                why = next((reason for start, reason in NOT_RUN.items() if command.startswith(start)), "")
                if command in ran:
                    continue
                ran.add(command)
                begun = time.time()
                outcome = f"not run: {why}" if why else run(command, sandbox)
                rows.append((page.name, command, outcome, "" if why else f"{time.time() - begun:.0f} s"))
                print(f"{page.name}: {command}\n    {outcome}", flush=True)
    print(tabulate(rows, headers=("page", "command", "", ""), maxcolwidths=(None, 70, 40, None)))
    return int(any(outcome.startswith("FAILED") for _, _, outcome, _ in rows))


def commands(text: str) -> Iterator[str]:
    """The commands that a page shows, without comments, each in one line."""
    text = re.sub(r"```(python|yaml)\n.*?```", "", re.sub(r"\\\n\s*", "", text), flags=re.DOTALL)
    fenced = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    indented = [line.removeprefix("    ") for line in text.splitlines() if line.startswith("    ")]
    for line in (*fenced, *indented):
        shown = re.sub(r"\s+#.*", "", line)
        if shown.startswith(PROGRAMS):
            yield shown


def furnish(sandbox: Path) -> None:
    """Write what the pages speak of."""
    sandbox.mkdir(parents=True, exist_ok=True)
    folder = write_demo_videos(sandbox / "videos", num_train=16, num_test=16, workers=2)["motion"]
    for name, split in (("train", "train"), ("test", "test"), ("val", "test")):
        annotation = read_annotation(Path(folder) / f"{split}.csv")
        videos = annotation.records
        scenes = ("beach", "street")
        lines = [
            f"{video.path},{annotation.class_names[video.label]},{scenes[n % 2]}" for n, video in enumerate(videos)
        ]
        (sandbox / f"{name}.csv").write_text("\n".join(["path,label,scene", *lines]) + "\n", encoding="utf-8")
    (sandbox / "class_names.txt").write_text("".join(f"{name}\n" for name in MOTIONS), encoding="utf-8")
    (sandbox / "swim.mp4").write_bytes(Path(videos[0].path).read_bytes())
    torch.manual_seed(0)
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "x3d_s"]), num_classes=len(MOTIONS))
    torch.save({"model_state": build_recognizer(cfg).module.state_dict()}, sandbox / "downloaded.pyth")
    text = PAGES[0].read_text(encoding="utf-8")
    (found,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    views = "TEST: {NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}\n"
    (sandbox / "my.yaml").write_text(replaced(found) + views, encoding="utf-8")
    for page in (ROOT / "pvbias" / "engine" / "README.md", *GUIDE):
        for path, source in MODULE.findall(page.read_text(encoding="utf-8")):
            (sandbox / path).parent.mkdir(exist_ok=True)
            (sandbox / path).write_text(source, encoding="utf-8")
    for name, of in (("a", "mine"), ("b", "mine_drl")):
        (sandbox / "runs").mkdir(exist_ok=True)
        (sandbox / "runs" / name).symlink_to(of)
    (sandbox / "projects").symlink_to(ROOT / "projects")


def replaced(text: str) -> str:
    """A text with what is another here."""
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    return text


def run(command: str, sandbox: Path) -> str:
    """Run a command in the sandbox; say how it ended."""
    keys = " ".join(more for shown, more in SHORTENED.items() if shown in command)
    if keys and "pvbias run" not in command:
        keys = f"--set {keys}"
    environment = os.environ | {"PYTHONPATH": str(sandbox)}
    line = f"{replaced(command)} {keys}"
    done = subprocess.run(line, shell=True, cwd=sandbox, env=environment, capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    return "ok" if done.returncode == 0 else f"FAILED ({done.returncode}): {said[-1] if said else ''}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
