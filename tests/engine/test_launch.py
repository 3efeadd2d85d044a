import logging.handlers
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from torch import nn

from pvbias.data.workers import worker_context
from pvbias.distributed import all_gather_objects, barrier, get_rank, get_world_size
from pvbias.engine import CrossEntropy, launch, newest_checkpoint, parallel, train, training
from pvbias.errors import ConfigError, DataError, TrainingError
from pvbias.models import Recognizer

from .toys import CLASSES, SPEC, FakeLoader, TeacherAndStudent, make_cfg, make_trainer, tiny_recognizer, weights

NO_VIDEOS = SimpleNamespace(records=(), class_names=(), description="no videos")

# Jobs are module-level functions: the processes that launch() starts have to find them.


def train_both(cfg):
    """Train with one phase and with two (the second one accumulating); process 0 writes the weights."""
    results = {}
    for objective, accumulate in ((CrossEntropy, 1), (TeacherAndStudent, 1), (TeacherAndStudent, 2)):
        cfg.TRAIN.ACCUMULATE_STEPS = accumulate
        recognizer = tiny_recognizer()
        torch.manual_seed(get_rank())  # the student differs between processes until the trainer has made it the same
        loader = FakeLoader(4, rank=get_rank(), world_size=get_world_size())
        trainer = make_trainer(cfg, recognizer, objective, loader)
        trainer.train()
        everywhere = all_gather_objects(weights(nn.ModuleList([recognizer, trainer.objective])))
        assert all(torch.equal(everywhere[0], other) for other in everywhere)
        results[f"{objective.__name__} {accumulate}"] = everywhere[0]
    if get_rank() == 0:
        torch.save(results, Path(cfg.OUTPUT_DIR) / f"weights_{get_world_size()}.pt")


def batch_norm_statistics(cfg):
    recognizer = tiny_recognizer(norm=True)
    loader = FakeLoader(2, rank=get_rank(), world_size=get_world_size())
    make_trainer(cfg, recognizer, CrossEntropy, loader).train()
    first, *others = all_gather_objects(recognizer.module.norm.running_mean)
    assert others
    assert all(torch.equal(first, other) for other in others)


class Frames(nn.BatchNorm2d):
    """BatchNorm of frames, folded into the batch before and unfolded after it."""

    def forward(self, input):
        return super().forward(input.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(input), -1)).transpose(1, 2)


class WithNorm(TeacherAndStudent):
    """A student with BatchNorm."""

    def __init__(self, cfg, recognizer):
        super().__init__(cfg, recognizer)
        self.norm = nn.BatchNorm1d(3)

    def _predict(self, step):
        return self.student(self.norm(step.clips.mean((2, 3, 4))))


def synchronised(cfg):
    """Train with BatchNorm over all processes, with and without precise statistics; process 0 writes the networks."""
    results = {}
    for precise in (False, True):
        cfg.merge_from_list(["BN.NORM_TYPE", "sync_batchnorm", "BN.USE_PRECISE_STATS", precise])
        cfg.merge_from_list(["TRAIN.AUTO_RESUME", False])
        recognizer = tiny_recognizer(norm=True)
        recognizer.module.conv = nn.Sequential(recognizer.module.conv, Frames(6, momentum=None))
        loader = FakeLoader(3, rank=get_rank(), world_size=get_world_size())
        with patch.object(training, "build_train_loader", return_value=loader):
            train(cfg, recognizer, NO_VIDEOS, objective=WithNorm)
        assert type(recognizer.module.norm) is nn.BatchNorm3d  # again
        saved = torch.load(newest_checkpoint(cfg.OUTPUT_DIR), weights_only=True)
        own = {f"objective.{name}": value for name, value in saved["objective_state"].items()}
        results[precise] = {**saved["model_state"], **own}
    if get_rank() == 0:
        torch.save(results, Path(cfg.OUTPUT_DIR) / f"synchronised_{get_world_size()}.pt")


def train_one(cfg):
    train_both(cfg)
    synchronised(cfg)


def both(cfg):
    train_both(cfg)
    batch_norm_statistics(cfg)
    synchronised(cfg)


class Spare(nn.Module):
    """``used``, and two layers that the logits do not come from; of a clip whose first value is large, the second has a
    part in them."""

    def __init__(self):
        super().__init__()
        self.used, self.unused, self.sometimes = (nn.Linear(3, CLASSES) for _ in range(3))

    def forward(self, clip):
        bright = clip[:, 0, 0, 0, 0] > 0
        means = clip.mean((2, 3, 4))
        logits = self.used(means)
        return torch.where(bright[:, None], self.sometimes(means), 0) + logits if bright.any() else logits


class PartlyBright(FakeLoader):
    """Clips whose first value is large in every second mini-batch, the first half of it: process 0's, of two."""

    def epoch(self, *position):
        for number, batch in enumerate(super().epoch(*position)):
            batch.clips[:, 0, 0, 0, 0] = 0
            batch.clips[:2, 0, 0, 0, 0] = 255 * (number % 2)
            mine = slice(None) if get_world_size() == 1 else slice(2 * get_rank(), 2 * get_rank() + 2)
            yield type(batch)(clips=batch.clips[mine], labels=batch.labels[mine], names=batch.names[mine], bad=[])


def train_spare(cfg):
    """In small buckets, one with what no process has a gradient of; process 0 writes the weights and the warnings."""
    if get_world_size() > 1:  # a process of its own
        parallel._BUCKET_BYTES = 8
    warnings = logging.handlers.BufferingHandler(100)
    logging.getLogger("pvbias.engine.trainer").addHandler(warnings)
    torch.manual_seed(0)
    recognizer = Recognizer(Spare(), clip_spec=SPEC, head="used")
    make_trainer(cfg, recognizer, CrossEntropy, PartlyBright(4)).train()
    if get_rank() == 0:
        found = {"weights": dict(recognizer.module.state_dict()), "said": [r.getMessage() for r in warnings.buffer]}
        torch.save(found, Path(cfg.OUTPUT_DIR) / f"spare_{get_world_size()}.pt")
    else:
        assert not warnings.buffer


def fail_in_one(cfg):
    Path(cfg.OUTPUT_DIR, f"pid_{get_rank()}").write_text(str(os.getpid()))
    if get_rank() == 1:
        raise TrainingError("the second process cannot go on")
    barrier()


def record(cfg):
    """What torchrun's processes run (see below)."""
    everyone = all_gather_objects(get_rank())
    Path(cfg.OUTPUT_DIR, f"rank_{get_rank()}").write_text(f"{everyone} of {get_world_size()}")


def test_two_processes_take_the_steps_of_one(tmp_path):
    cfg = make_cfg(tmp_path)
    launch(train_one, cfg)
    cfg.NUM_GPUS = 2
    launch(both, cfg)
    one, two = (torch.load(tmp_path / f"weights_{count}.pt") for count in (1, 2))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=0, atol=1e-6, msg=name)
    one, two = (torch.load(tmp_path / f"synchronised_{count}.pt") for count in (1, 2))
    for precise, state in one.items():
        for name, expected in state.items():
            torch.testing.assert_close(two[precise][name], expected, rtol=1e-5, atol=1e-6, msg=f"{name}, {precise}")
    assert not torch.allclose(one[True]["norm.running_var"], one[False]["norm.running_var"], rtol=1e-3)


def test_parameters_that_the_loss_does_not_reach(tmp_path):
    """Ever, or in some steps and some processes: named after the first step, left alone, and two processes still take
    the steps of one."""
    cfg = make_cfg(tmp_path)
    launch(train_spare, cfg)
    cfg.NUM_GPUS = 2
    launch(train_spare, cfg)
    one, two = (torch.load(tmp_path / f"spare_{count}.pt") for count in (1, 2))
    torch.manual_seed(0)
    before = Spare().state_dict()
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, rtol=0, atol=1e-6, msg=name)
        assert torch.equal(value, before[name]) == name.startswith("unused."), name
    (said,) = one["said"]
    assert said.startswith("The loss reaches 2 of the 6 parameters that are trained.")
    assert "66.7 % of the weights: unused.weight, unused.bias, sometimes.weight, sometimes.bias." in said
    assert "CrossEntropy" in said
    assert two["said"] == [said]


def test_an_error_of_a_process_reaches_the_user_and_ends_the_others(tmp_path):
    started = time.monotonic()
    with pytest.raises(TrainingError, match=r"^the second process cannot go on$") as caught:
        launch(fail_in_one, make_cfg(tmp_path, "NUM_GPUS", 2))
    assert caught.value.exit_code == 5
    assert time.monotonic() - started < 60
    for rank in (0, 1):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid_{rank}").read_text()), 0)


def test_under_torchrun(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from pvbias.engine import launch\n"
        "from tests.engine.test_launch import record\n"
        "from tests.engine.toys import make_cfg\n"
        f"launch(record, make_cfg({str(tmp_path)!r}, 'NUM_GPUS', 1))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True)
    assert (tmp_path / "rank_0").read_text() == (tmp_path / "rank_1").read_text() == "[0, 1] of 2"


def inherited(cfg):
    """Write down what a worker has of this process."""
    queue = (context := worker_context(sent=put_inherited)).Queue()
    worker = context.Process(target=put_inherited, args=(queue,))
    worker.start()
    Path(cfg.OUTPUT_DIR, "inherited").write_text(f"{queue.get(timeout=60)}")
    worker.join()


def put_inherited(queue):
    handlers = {name: signal.getsignal(name) is signal.SIG_DFL for name in (signal.SIGTERM, signal.SIGUSR1)}
    files = {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    queue.put([getattr(sys, "told", None), set(handlers.values()), any("held.txt" in name for name in files)])


#: In a process of its own, since one that has begun its work shares nothing.
SHARING = """
import signal, sys, threading
from pvbias.engine import launch
from pvbias.interruption import answering_signals
from tests.engine.test_launch import inherited
from tests.engine.toys import make_cfg

folder, workers, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.told = "by the parent"
held = open(folder + "/held.txt", "w")
wait = threading.Event()
for _ in range(threads):
    threading.Thread(target=wait.wait).start()
with answering_signals(signal.SIGTERM, signal.SIGUSR1):
    launch(inherited, make_cfg(folder, "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", workers))
wait.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks share memory on Linux alone")
@pytest.mark.parametrize(("workers", "threads", "told"), [(2, 0, "by the parent"), (0, 0, None), (2, 1, None)])
def test_workers_share_what_the_process_has_imported(tmp_path, workers, threads, told):
    script = tmp_path / "sharing.py"
    script.write_text(SHARING)
    command = [sys.executable, str(script), str(tmp_path), str(workers), str(threads)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, env=environment, check=True, timeout=120)
    assert (tmp_path / "inherited").read_text() == f"{[told, {True}, False]}"


def fail_here(cfg):
    raise DataError("nothing to read")


def test_alone(tmp_path):
    with pytest.raises(DataError, match="nothing to read"):
        launch(fail_here, make_cfg(tmp_path, "NUM_GPUS", 1))


def test_impossible_requests(tmp_path, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match=r"NUM_SHARDS = 2: set MASTER_ADDR and MASTER_PORT"):
        launch(record, make_cfg(tmp_path, "NUM_SHARDS", 2))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"NUM_GPUS = 2, but this machine has 1"):
        launch(record, make_cfg(tmp_path, "NUM_GPUS", 2))
