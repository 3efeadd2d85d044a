"""How long a step, an epoch and a test take on many GPUs while nothing goes wrong, and what bounds them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from rates import Model, Rates

from pvbias.errors import ConfigError


def ring_all_reduce(size: float, n: int, bandwidth: float, latency: float) -> float:
    """Seconds in which n processes add up ``size`` bytes on a ring: 2 (n - 1) / n size / bandwidth + 2 (n - 1) latency.

    Each of the 2 (n - 1) moves of a ring takes an n-th of the bytes over each link (Patarasu and Yuan, 2009).

    Args:
        size: bytes.
        n: processes, >= 1.
        bandwidth: bytes a second of a link.
        latency: seconds of a hop.
    """
    return 2 * (n - 1) / n * size / bandwidth + 2 * (n - 1) * latency


def slowest(n: int) -> float:
    """By how many standard deviations the slowest of n GPUs is later than the mean: Blom's approximation to the
    expected maximum of n normal numbers (0 for one; within 1 % from 8 on)."""
    return NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A training step on all GPUs; all times in seconds.

    Attributes:
        batch: clips of each GPU.
        work, fixed: of a GPU, for its clips, and however few they are.
        waiting: for the slowest GPU.
        all_reduce: the exchange of gradients, all of it.
        exposed: what of it no backward pass hides.
        decoding, reading, opening: how long cores and the shared file system need for the clips of a step.
    """

    batch: int
    work: float
    fixed: float
    waiting: float
    all_reduce: float
    exposed: float
    decoding: float
    reading: float
    opening: float

    @property
    def computing(self) -> float:
        """Without the input."""
        return self.work + self.fixed + self.waiting + self.exposed

    @property
    def seconds(self) -> float:
        """The clips of the next step are prepared in the meantime: the slower of the two counts."""
        return max(self.computing, self.decoding, self.reading, self.opening)

    @property
    def bound(self) -> str:
        """What takes the time: the input, where that is slower than the step; else the largest part of the step."""
        inputs = {"decoding": self.decoding, "file system: bytes": self.reading, "file system: opens": self.opening}
        parts = {
            "GPU": self.work,
            "fixed cost of a step": self.fixed,
            "all-reduce": self.exposed,
            "slowest GPU": self.waiting,
        }
        times = parts if max(inputs.values()) <= self.computing else inputs
        return max(times, key=lambda name: times[name])


def step(rates: Rates, model: Model, gpus: int) -> Step:
    """A step on ``gpus`` GPUs.

    Gradients travel in buckets while the backward pass makes the next ones; the last bucket is exchanged when there is
    nothing left to compute. On several machines the ring goes through all GPUs, and the network between machines is its
    slowest link.

    Raises:
        ConfigError: more GPUs than the largest mini-batch has clips.
    """
    batch = int(min(rates.gpu_batch, rates.batch_limit // gpus))
    if batch < 1:
        raise ConfigError(f"--gpus {gpus}: a mini-batch has {rates.batch_limit:g} clips at most (batch_limit).")
    nodes = math.ceil(gpus / rates.gpus_per_node)
    hops_between = nodes if nodes > 1 else 0
    latency = (hops_between * rates.latency_between + (gpus - hops_between) * rates.latency_within) / gpus
    bandwidth = rates.bandwidth_between if nodes > 1 else rates.bandwidth_within
    buckets = math.ceil(model.gradient_bytes / rates.bucket_bytes)
    all_reduce = buckets * ring_all_reduce(model.gradient_bytes / buckets, gpus, bandwidth, latency)
    work, fixed = batch * model.clip_seconds / rates.gpu_speed, model.step_seconds
    hidden = rates.backward_share * work
    return Step(
        batch=batch,
        work=work,
        fixed=fixed,
        waiting=slowest(gpus) * rates.step_jitter * (work + fixed),
        all_reduce=all_reduce,
        exposed=max(all_reduce - hidden, all_reduce / buckets),
        decoding=batch * model.decode_seconds / rates.cores_per_gpu,
        reading=batch * gpus * model.read_bytes / rates.storage_bandwidth,
        opening=batch * gpus / rates.storage_opens,
    )


def epoch_seconds(rates: Rates, model: Model, gpus: int) -> float:
    """Steps, and the wait for the first mini-batch, which one core prepares alone.

    What is left over and fills no mini-batch is for other epochs, as in pvbias.
    """
    one = step(rates, model, gpus)
    return steps_per_epoch(rates, one, gpus) * one.seconds + one.batch * model.decode_seconds


def steps_per_epoch(rates: Rates, one: Step, gpus: int) -> int:
    """Full mini-batches in the data set."""
    return max(int(rates.train_videos // (one.batch * gpus)), 1)


def test_seconds(rates: Rates, model: Model, gpus: int) -> float:
    """All views of all test videos, shared out without padding: the GPU that has one video more counts."""
    forward = (1 - rates.backward_share) * model.clip_seconds * model.test_scale / rates.gpu_speed
    of_a_video = max(rates.test_views * forward, model.test_decode_seconds / rates.cores_per_gpu)
    reading = rates.test_videos * max(rates.video_bytes / rates.storage_bandwidth, 1 / rates.storage_opens)
    return rates.start(gpus) + max(math.ceil(rates.test_videos / gpus) * of_a_video, reading)
