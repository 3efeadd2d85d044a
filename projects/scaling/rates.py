"""What a plan is made from: the rates of models, data set and cluster, and the file that they are in."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pvbias.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Model:
    """What one model costs. "Here" is pvbias on a core of the machine that was measured.

    Attributes:
        parameters: numbers that are trained.
        weights_bytes: parameters and buffers, in a checkpoint.
        decode_seconds: of a core, to prepare a training clip: read, decode, resize, crop.
        read_bytes: of a file, read for a training clip.
        test_decode_seconds: of a core, to prepare all views of a test video.
        test_scale: pixels of a test view, relative to a training clip's.
        clip_seconds: of a GPU, for a training clip: forward, backward, update.
        step_seconds: of a GPU, for a step, however few clips it has.
    """

    parameters: float
    weights_bytes: float
    decode_seconds: float
    read_bytes: float
    test_decode_seconds: float
    test_scale: float
    clip_seconds: float
    step_seconds: float

    @property
    def gradient_bytes(self) -> float:
        """float32."""
        return 4 * self.parameters

    @property
    def checkpoint_bytes(self) -> float:
        """Weights and SGD's momentum; what else there is in a checkpoint is small."""
        return self.weights_bytes + 4 * self.parameters


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The data set, the cluster and what goes wrong on it.

    Attributes:
        train_videos, test_videos, video_bytes: the data set; bytes of a prepared file.
        test_views: of a test video.
        epochs: of a training.
        gpu_batch: clips that a GPU has memory for.
        batch_limit: clips of the largest mini-batch that still trains as well.
        gpus_per_node, cores_per_gpu: of a machine; cores that decode.
        gpu_speed: of its GPUs, relative to those whose step times the models have.
        storage_bandwidth, storage_opens: bytes and files a second, of the file system that all machines share.
        bandwidth_within, bandwidth_between: bytes a second of a ring, over the GPUs of a machine, and of one machine
            to the next.
        latency_within, latency_between: seconds of a hop.
        bucket_bytes: gradients that are exchanged together.
        backward_share: of a step, in which gradients can be exchanged; the rest of it is what a forward takes.
        step_jitter: standard deviation of a GPU's step, relative to the step.
        save_bandwidth, load_bandwidth: bytes a second, of a checkpoint.
        start_seconds: from a process's start to its first step, without loading the checkpoint, on a machine that has
            the programs in its memory.
        start_opens: files that each process opens meanwhile, on the file system that all machines share; 0: the
            programs are in a container's image or on the machines' own disks.
        start_bytes: that each machine reads of them, the first time.
        requeue_seconds: that a job on one machine waits in the queue before it is started again.
        requeue_growth: how that grows: by the number of machines to this power; 0: not at all.
        node_failures, node_preemptions: a day, of one machine; each ends the whole job.
        preempted_together: machines that one preemption takes at once, side by side; 1: each by itself.
        announced: share of the preemptions before which the job gets a signal and can save.
        time_limit_seconds: of a job; announced.
    """

    train_videos: float
    test_videos: float
    video_bytes: float
    test_views: float
    epochs: float
    gpu_batch: float
    batch_limit: float
    gpus_per_node: float
    cores_per_gpu: float
    gpu_speed: float
    storage_bandwidth: float
    storage_opens: float
    bandwidth_within: float
    bandwidth_between: float
    latency_within: float
    latency_between: float
    bucket_bytes: float
    backward_share: float
    step_jitter: float
    save_bandwidth: float
    load_bandwidth: float
    start_seconds: float
    start_opens: float
    start_bytes: float
    requeue_seconds: float
    requeue_growth: float
    node_failures: float
    node_preemptions: float
    preempted_together: float
    announced: float
    time_limit_seconds: float

    def start(self, gpus: int) -> float:
        """Seconds from the start of a job's processes to their first step, without loading the checkpoint: each of them
        opens the files of its programs, and each machine reads them, on a file system that answers them one by one."""
        opening = gpus * self.start_opens / self.storage_opens
        reading = math.ceil(gpus / self.gpus_per_node) * self.start_bytes / self.storage_bandwidth
        return self.start_seconds + opening + reading


_Kind = TypeVar("_Kind", Model, Rates)
#: The others have to be positive.
_MAY_BE_ZERO = {"latency_within", "latency_between", "step_jitter", "step_seconds", "announced", "node_preemptions"}
_MAY_BE_ZERO |= {"start_opens", "start_bytes", "requeue_growth"}


def read_rates(path: Path, overrides: Sequence[str] = ()) -> tuple[Rates, dict[str, Model]]:
    """A file of rates: ``{"rates": {name: {"value", "unit", "origin"}}, "models": {model: {name: {...}}}}``.

    Args:
        path: JSON.
        overrides: ``NAME=VALUE``, of the rates; or of all models.

    Raises:
        ConfigError: a rate that is missing, unknown, or no number in its range.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rates, models = content["rates"], content["models"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"--rates {path}: no file of rates as measure.py writes it: {error}") from error
    changed: dict[str, dict[str, Any]] = {"rates": {}, "models": {}}
    own, of_models = ([field.name for field in dataclasses.fields(kind)] for kind in (Rates, Model))
    for override in overrides:
        name, _, value = override.partition("=")
        if name not in (*own, *of_models):
            raise ConfigError(f"--set {override}: there is no rate {name!r}. {did_you_mean(name, [*own, *of_models])}")
        changed["rates" if name in own else "models"][name] = {"value": value}
    return (
        _read(Rates, rates | changed["rates"], f"{path}, rates"),
        {name: _read(Model, model | changed["models"], f"{path}, {name}") for name, model in models.items()},
    )


def _read(kind: type[_Kind], entries: Mapping[str, Mapping[str, Any]], where: str) -> _Kind:
    names = [field.name for field in dataclasses.fields(kind)]
    for name in entries:
        if name not in names:
            raise ConfigError(f"{where}: there is no rate {name!r}. {did_you_mean(name, names)}")
    values = {}
    for name in names:
        if name not in entries:
            raise ConfigError(f"{where}: {name} is missing. Measure it (measure.py), or say what you assume.")
        try:
            values[name] = float(entries[name]["value"])
        except (KeyError, TypeError, ValueError):
            values[name] = math.nan
        if not (values[name] > 0 or (values[name] == 0 and name in _MAY_BE_ZERO)) or math.isinf(values[name]):
            raise ConfigError(f"{where}: {name} is {entries[name].get('value')!r}, and has to be a positive number.")
    return kind(**values)
