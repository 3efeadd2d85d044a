"""Commands that are killed and told to stop at random moments: nothing is left behind, and in the end all is as if they
had been left alone.

``PVBIAS_KILLS=20`` makes it 20 times SIGKILL and 20 times SIGTERM for each command, not one each.
"""

import json
import os
import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pvbias.config import complete, load_cfg
from pvbias.features import write_features
from pvbias.models import build_recognizer
from pvbias.plugin_loading import load_plugins
from pvbias.registries import ALL
from pvbias.tools.main import main

from .engine.killed import logged
from .kills import Command

#: Of a command that was told before it could say anything.
UNSAID = "nothing"

KILLS = int(os.environ.get("PVBIAS_KILLS", "1"))

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks processes up in Linux's /proc")

KEYS = (
    "PLUGINS [tests.slow] MODEL.MODEL_NAME slow_net MODEL.NUM_CLASSES 6 TEST.DATASET slow_videos "
    "TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 DATA.TARGET_FPS 10.0 BIAS.BOOTSTRAP_SAMPLES 100 "
    "BIAS.EVALUATORS [dynamic_score] NUM_GPUS 0 "
)
TRAINING = (
    "TRAIN.DATASET slow_videos TRAIN.BATCH_SIZE 4 TRAIN.EVAL_PERIOD 1 TRAIN.CHECKPOINT_MINUTES 0.01 "
    "TRAIN.CHECKPOINT_PERIOD 2 OBJECTIVE.NAME SlowCrossEntropy SOLVER.MAX_EPOCH 4.0 SOLVER.BASE_LR 0.05 "
    "DATA.TRAIN_JITTER_SCALES [8,8] TENSORBOARD.ENABLE False LOG_PERIOD 1 BIAS.ENABLE False"
)


@pytest.fixture
def weights(tmp_path):
    """Of the network of :mod:`tests.slow`, which is slow in other processes only; what that registers goes with the
    test."""
    load_plugins()
    undo = [registry.snapshot() for registry in ALL.values()]
    torch.manual_seed(0)
    recognizer = build_recognizer(complete(load_cfg(overrides=KEYS.split()), num_classes=6))
    sys.modules["tests.slow"].SECONDS = 0.0
    torch.save({"model_state": recognizer.module.state_dict()}, tmp_path / "weights.pyth")
    yield str(tmp_path / "weights.pyth")
    for restore in undo:
        restore()
    sys.modules.pop("tests.slow", None)


def tell(command, number, progress, generator, within):
    """Send a signal to a command at work, and see that it ends as it should and leaves nothing behind.

    Returns:
        What it has said, or :data:`UNSAID`; empty where it had come to its end.
    """
    code = command.tell_at_work(number, progress, generator, within)
    said = command.log.read_text()
    assert not command.left_behind(), said
    if code == 0 or any(end in said for end in ("I Results:", "I Features of", "report.html")):
        return ""
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    elif code == -signal.SIGTERM:
        assert not said, "before the first line of the program"
    else:
        assert code == 128 + signal.SIGTERM
        assert "pvbias: stopped as asked" in said
        assert "Traceback" not in said
    return said or UNSAID


def interrupt(arguments, folder, progress, *, seed, within, loads=True):
    """Start a command again and again, and end it with SIGKILL and SIGTERM in turn; let it finish.

    Args:
        loads: it loads videos, killed in two processes, and at last in none.
    """
    generator = random.Random(seed)
    done = 0
    in_two, in_none = (["DATA_LOADER.NUM_WORKERS", count] if loads else [] for count in "20")
    while done < 2 * KILLS:
        number = (signal.SIGKILL, signal.SIGTERM)[done % 2]
        command = Command([*arguments, *in_two], folder.with_suffix(".log"))
        if tell(command, number, progress, generator, within):
            done += 1
        elif folder.exists():
            shutil.rmtree(folder)
    assert main([*arguments, *in_none]) == 0
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / "partial").exists()


def results(folder):
    return json.loads((folder / "results.json").read_text())["results"]


def test_a_measurement(tmp_path, weights):
    def arguments(folder):
        return f"measure --model slow_net --weights {weights} --data unused --out {folder} --set {KEYS}".split()

    killed, alone = tmp_path / "killed", tmp_path / "alone"
    assert main([*arguments(alone), "DATA_LOADER.NUM_WORKERS", "0"]) == 0

    def kept():
        return sum(file.stat().st_size for file in (killed / "partial").glob("*/*.parts"))

    interrupt(arguments(killed), killed, kept, seed=0, within=1.0)
    assert results(killed) == results(alone)
    lines = [sorted((folder / "bad_videos.jsonl").read_text().splitlines()) for folder in (killed, alone)]
    assert lines[0] == lines[1]


def test_an_extraction_of_features(tmp_path, weights):
    def arguments(folder):
        options = "--modulations original shuffle --layers embedding conv --pool space --dtype float16"
        return f"features --model slow_net --weights {weights} --out {folder} {options} --set {KEYS}".split()

    killed, alone = tmp_path / "killed", tmp_path / "alone"
    assert main([*arguments(alone), "DATA_LOADER.NUM_WORKERS", "0"]) == 0

    def kept():
        return sum(file.stat().st_size for file in (killed / "partial").glob("*/*.parts"))

    interrupt(arguments(killed), killed, kept, seed=2, within=1.0)
    written = [{file.relative_to(each): file.read_bytes() for file in each.rglob("*.npy")} for each in (killed, alone)]
    assert written[0] == written[1]
    assert len(written[0]) == 6
    for name in ("videos.jsonl", "features.json"):
        assert (killed / name).read_text() == (alone / name).read_text()


@pytest.mark.skipif("PVBIAS_KILLS" not in os.environ, reason="tests/plugins/transfer/test_table.py kills faster")
def test_a_table_of_transfer(tmp_path):
    generator, labels = np.random.default_rng(0), np.arange(60) % 3
    for folder in (tmp_path / model / part for model in ("plain", "better") for part in ("train", "test")):
        embeddings = np.eye(3, 8)[labels] + generator.normal(size=(60, 8)) / 2
        names = [f"{number}.mp4" for number in range(60)]
        write_features(folder, {("embedding", "original"): embeddings.astype(np.float32)}, names, labels=labels)
    sgd = {"protocol": "probe", "probe": "sgd", "seeds": [0, 1]}
    content = {
        "models": {name: str(tmp_path / name) for name in ("plain", "better")},
        "data": {"one": {"train": "train", "test": "test"}},
        "protocols": {
            **{f"SGD, {decay:g}": sgd | {"settings": {"weight_decay": decay}} for decay in (0.0, 1e-3, 1e-2, 1e-1)},
            "3-way": {"protocol": "few_shot", "ways": 3, "queries": 5, "episodes": 100},
        },
    }
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(content))

    def arguments(folder):
        return ["transfer", "table", str(tmp_path / "table.yaml"), "--out", str(folder)]

    killed, alone = tmp_path / "killed", tmp_path / "alone"
    assert main(arguments(alone)) == 0

    def done():
        return len([*killed.glob("cells/*/*/*/results.json")])

    interrupt(arguments(killed), killed, done, seed=3, within=1.0, loads=False)
    written = [
        {file.relative_to(each): written_in(file) for file in each.rglob("*") if file.is_file()}
        for each in (killed, alone)
    ]
    assert written[0] == written[1]


def written_in(file):
    """What a file has, without when it was written, and where."""
    content = file.read_bytes()
    if file.name == "results.json":
        record = json.loads(content)
        return record | {"run": record["run"] | {"date": ""}}
    return content.replace(b"/killed", b"/alone") if file.name == "report.html" else content


def training(folder):
    (folder.parent / "run.yaml").write_text("{}")
    return f"run --cfg {folder.parent / 'run.yaml'} {KEYS} {TRAINING} OUTPUT_DIR {folder}".split()


def lines_of(folder):
    log = folder / "train_log.jsonl"
    return log.stat().st_size if log.exists() else 0


def test_a_training(tmp_path, weights):
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    assert main([*training(alone), "DATA_LOADER.NUM_WORKERS", "0"]) == 0
    interrupt(training(killed), killed, partial(lines_of, killed), seed=1, within=2.0)
    assert logged(killed) == logged(alone)
    assert results(killed) == results(alone)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_in_several_processes(tmp_path, number):
    folder, generator = tmp_path / "run", random.Random(number)
    two = ["NUM_GPUS", "2", "DATA_LOADER.NUM_WORKERS", "1", "SOLVER.MAX_EPOCH", "50.0"]
    for _ in range(KILLS):
        command = Command([*training(folder), *two], tmp_path / "log")
        said = tell(command, number, partial(lines_of, folder), generator, within=1.0)
        answered = number == signal.SIGTERM and said != UNSAID
        assert answered == ("stopped as asked" in said)
