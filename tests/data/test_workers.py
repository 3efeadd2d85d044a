"""Workers that a file takes down, and main scripts that cannot be imported."""

import os
import signal
import subprocess
import sys
import time
import types
from multiprocessing import resource_sharer

import numpy as np
import pytest
import torch

from pvbias.data import BadVideo, VideoRecord, build_test_loader, build_train_loader
from pvbias.data.bad_videos import BadVideoLog
from pvbias.data.workers import worker_context
from pvbias.errors import ConfigError, DataError
from pvbias.transcoding.batch_encoding import encode_all, plan_jobs
from pvbias.transcoding.encoding import Encoding
from pvbias.video import BadVideoError

from ..evaluation.toys import NoiseVideo, config
from .test_flow import CodedVideo

#: Of twelve videos: one that crashes, one that calls exit(), one that is merely bad.
CRASHING, LEAVING, BAD = 3, 7, 5
CAUSES = {
    "3.mp4": ("decoder crash", "two processes that read it ended: killed by SIGSEGV"),
    "7.mp4": ("decoder crash", "two processes that read it ended: exit code 9"),
    "5.mp4": ("unreadable", "noise"),
}


class Videos:
    """Videos of noise. Some take their process down as native code does, where that is a worker.

    Args:
        survives: they are bad videos instead: what the same clips look like without a crash.
        flow: the videos are coded flow, in frames that can be encoded.
    """

    class_names, description = (), "made up"

    def __init__(self, *, survives=False, flow=False):
        self.records = [VideoRecord(path=f"{i}.mp4", name=f"{i}.mp4", label=i % 3) for i in range(12)]
        self.main_process, self.survives, self.flow = os.getpid(), survives, flow

    def open(self, record):
        number = int(record.name.split(".")[0])
        if number == BAD:
            raise BadVideoError(*CAUSES[record.name])
        if number in (CRASHING, LEAVING):
            if self.survives:
                raise BadVideoError(*CAUSES[record.name])
            assert os.getpid() != self.main_process
            if number == LEAVING:
                os._exit(9)
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # torch's workers print what it was
            os.kill(os.getpid(), signal.SIGSEGV)
        return CodedVideo(np.full((3, 16, 16, 2), number / 10), [0, 1, 2]) if self.flow else NoiseVideo(number)


def causes(bad):
    return {video.name: (video.cause, video.detail) for video in bad}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_measurement_goes_on_without_the_files_that_crash(workers):
    found = list(build_test_loader(config(workers), Videos(), rank=0, world_size=1))
    expected = list(build_test_loader(config(), Videos(survives=True), rank=0, world_size=1))
    assert causes(video for video in found if isinstance(video, BadVideo)) == CAUSES
    assert len(found) == len(expected) == 12
    for video, other in zip(found, expected, strict=True):
        assert video == other if isinstance(video, BadVideo) else torch.equal(video.clips, other.clips)


def test_a_training_sees_all_other_samples_in_the_same_order():
    def batches(workers, **options):
        cfg = config(workers)
        cfg.TRAIN.BATCH_SIZE, cfg.DATA.TRAIN_JITTER_SCALES = 4, [8, 8]
        loader = build_train_loader(cfg, Videos(**options), rank=0, world_size=1)
        return [batch for epoch, start in ((0, 0), (1, 1), (0, 2)) for batch in loader.epoch(epoch, start)]

    found, expected = batches(2), batches(0, survives=True)
    assert len(found) == len(expected) == 3 + 2 + 1
    assert causes(video for batch in found for video in batch.bad) == CAUSES
    for batch, other in zip(found, expected, strict=True):
        assert (batch.names, batch.bad) == (other.names, other.bad)
        assert torch.equal(batch.clips, other.clips)


def test_files_are_written_without_those_that_crash(tmp_path):
    source, encoding = Videos(flow=True), Encoding(lossless=True)
    log = BadVideoLog(str(tmp_path), 1.0)
    jobs = plan_jobs(source.records)
    outcome = encode_all(jobs, source, tmp_path, encoding, workers=2, log=log, progress=False)
    assert causes(outcome.bad) == CAUSES
    assert sorted(outcome.finished) == sorted({record.name for record in source.records} - set(CAUSES))
    assert sorted(path.name for path in tmp_path.glob("*.mp4*")) == sorted(outcome.finished)  # no half of one


class CrashesOnce(Videos):
    """The first process that opens the video dies, the next ones read it: it was not this video's fault."""

    def __init__(self, flag):
        super().__init__(survives=True)
        self.flag = flag

    def open(self, record):
        if record.name == "1.mp4" and not self.flag.exists():
            self.flag.touch()
            os._exit(9)
        return super().open(record)


def test_a_file_is_bad_only_if_it_crashes_again(tmp_path):
    found = list(build_test_loader(config(1), CrashesOnce(tmp_path / "flag"), rank=0, world_size=1))
    assert (tmp_path / "flag").exists()
    assert causes(video for video in found if isinstance(video, BadVideo)) == CAUSES


def send_and_close(queue, sent):
    """Send a tensor, stop handing over memory, and end a little later: what a crash looks like from outside."""
    queue.put(torch.ones(3))
    queue.close()
    queue.join_thread()
    resource_sharer._resource_sharer._listener.close()
    sent.set()
    time.sleep(0.3)
    os._exit(9)


def test_a_worker_that_ends_before_its_memory_is_taken_over_is_known_to_have_ended():
    context = worker_context(sent=send_and_close)
    queue, sent = context.Queue(), context.Event()
    context.Process(target=send_and_close, args=(queue, sent)).start()
    assert sent.wait(60)
    with pytest.raises(OSError, match=r"refused|No such file"):
        queue.get(timeout=60)
    assert [death.exitcode for death in context.deaths()] == [9]


class TooLarge(Videos):
    def open(self, record):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_kernel_kills_for_memory_and_no_file_is_blamed(tmp_path):
    with pytest.raises(DataError, match=r"killed by SIGKILL, at 0\.mp4.*too little memory"):
        list(build_test_loader(config(1), TooLarge(), rank=0, world_size=1))
    log = BadVideoLog(str(tmp_path), 1.0)
    with pytest.raises(DataError, match=r"killed by SIGKILL, at \d+\.mp4.*too little memory"):
        encode_all(
            plan_jobs(Videos().records),
            TooLarge(),
            tmp_path,
            Encoding(lossless=True),
            workers=1,
            log=log,
            progress=False,
        )


#: README's example, as a script without ``if __name__ == "__main__"``.
SCRIPT = """
import torch
import pvbias

print("begins")
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(2), torch.nn.Flatten(), torch.nn.Linear(24, 2))
spec = pvbias.ClipSpec(num_frames=4, sampling_rate=2, crop_size=16, test_crop_size=16, short_side=20)
recognizer = pvbias.Recognizer.wrap(network, spec)
keys = ["DATA.TEST_SPLIT", "{data}", "OUTPUT_DIR", "{out}", "BIAS.EVALUATORS", "[dynamic_score]"]
cfg = pvbias.load_cfg(overrides=[*keys, "DATA_LOADER.NUM_WORKERS", "1", "TEST.NUM_ENSEMBLE_VIEWS", "1"])
print(sorted(pvbias.measure(cfg, recognizer)))
"""

#: Something of the script itself has to get to the workers.
MODULATION = """
from pvbias.registries import MODULATION

def upside_down(clips, seeds):
    return clips.flip(3)

MODULATION.register(upside_down)
"""


def run_script(text, bar_videos, tmp_path, *, standard_input=False):
    text = text.replace("{data}", str(bar_videos / "test.csv")).replace("{out}", str(tmp_path / "out"))
    script = tmp_path / "script.py"
    script.write_text(text)
    command = [sys.executable, "-" if standard_input else str(script)]
    text = text if standard_input else None
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, cwd=tmp_path)


def test_a_script_that_measures_needs_no_guard(bar_videos, tmp_path):
    done = run_script(SCRIPT, bar_videos, tmp_path, standard_input=True)
    assert done.stdout.splitlines() == ["begins", "['accuracy', 'dynamic_score']"], done.stderr
    assert (tmp_path / "out" / "report.html").exists()


OWN = MODULATION + SCRIPT.replace('"BIAS.EVALUATORS"', '"DATA.MODULATION", "upside_down", "BIAS.EVALUATORS"')
GUARDED = MODULATION + 'if __name__ == "__main__":' + OWN.removeprefix(MODULATION).replace("\n", "\n    ")


def test_what_a_script_defines_gets_to_the_workers(bar_videos, tmp_path):
    done = run_script(GUARDED, bar_videos, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begins") == 1


def test_or_it_says_what_to_write(bar_videos, tmp_path):
    done = run_script(OWN, bar_videos, tmp_path)
    assert done.returncode != 0
    assert 'Put that below a line `if __name__ == "__main__":`' in done.stderr
    assert not (tmp_path / "out" / "report.html").exists()


def test_what_is_defined_in_a_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    cell = type("Cell", (), {"__module__": "__main__"})
    with pytest.raises(ConfigError, match=r"Cell is defined in a notebook.*put it into a module"):
        worker_context(sent=[cell])
    worker_context(sent=[Videos()])
