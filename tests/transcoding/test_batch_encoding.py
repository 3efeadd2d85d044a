"""Workers that encode: what they heed of signals, and what the main process does when one of them is gone."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pvbias.data import VideoRecord
from pvbias.data.bad_videos import BadVideoLog
from pvbias.data.manifest import list_folder
from pvbias.errors import DataError
from pvbias.shard import Shard
from pvbias.transcoding.batch_encoding import encode_all, plan_jobs
from pvbias.transcoding.encoding import Encoding

from ..data.test_flow import CodedVideo

NAMES = [f"{index}.mp4" for index in range(4)]


class PatientVideos:
    """Videos that open once the file ``go`` is there; ``opened_<process>`` tells that somebody waits for it."""

    class_names, description = (), "made up"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = [VideoRecord(path=name, name=name, label=0) for name in NAMES]

    def open(self, record):
        (self.folder / f"opened_{os.getpid()}").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.01)
        return CodedVideo(np.zeros((3, 16, 16, 2)), [0, 1, 2])


@pytest.fixture
def encode_while(tmp_path):
    """``encode_while(act)`` encodes with two workers, and calls ``act`` with their process numbers once they work."""

    def interrupt(act):
        while len(list(tmp_path.glob("opened_*"))) < 2:
            time.sleep(0.01)
        act([int(path.name.removeprefix("opened_")) for path in tmp_path.glob("opened_*")])
        (tmp_path / "go").touch()

    def encode_while(act):
        source, out = PatientVideos(tmp_path), tmp_path / "out"
        thread = threading.Thread(target=interrupt, args=(act,))
        thread.start()
        log, encoding = BadVideoLog(str(out), 0.0), Encoding(lossless=True)
        try:
            outcome = encode_all(plan_jobs(source.records), source, out, encoding, workers=2, log=log, progress=False)
        finally:
            thread.join()
        return outcome

    return encode_while


def test_signals_that_tell_a_job_to_leave_are_not_for_workers(encode_while):
    def tell(workers):
        for worker in workers:
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(worker, number)

    assert sorted(encode_while(tell).finished) == NAMES


def test_a_worker_that_dies(encode_while):
    with pytest.raises(DataError, match=r"A worker process died \(.*killed by SIGKILL, at [01]\.mp4.*memory"):
        encode_while(lambda workers: os.kill(workers[0], signal.SIGKILL))
    assert not multiprocessing.active_children()


def test_each_video_is_in_one_shard(tmp_path):
    source, out = PatientVideos(tmp_path), tmp_path / "out"
    (tmp_path / "go").touch()
    made = []
    for shard in (Shard(index, 3) for index in range(3)):
        log = BadVideoLog(str(list_folder(out, shard)), 0.0)
        encoding = Encoding(lossless=True)
        jobs = plan_jobs(source.records)
        made.append(encode_all(jobs, source, out, encoding, workers=0, log=log, shard=shard, progress=False).finished)
    assert [sorted(names) for names in made] == [["0.mp4", "3.mp4"], ["1.mp4"], ["2.mp4"]]
