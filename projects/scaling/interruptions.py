"""What preemptions, failures and time limits cost a training, and how often it should save."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from rates import Model, Rates

DAY = 86400.0


def young(save: float, mean: float) -> float:
    """Seconds of work between checkpoints, sqrt(2 save mean): first order (Young, 1974).

    Args:
        save: seconds that writing one takes.
        mean: seconds from one loss of work to the next.
    """
    return math.sqrt(2 * save * mean)


def daly(save: float, mean: float) -> float:
    """As :func:`young`, of higher order: sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + (C / 2M) / 9) - C, and M where C >= 2 M
    (Daly, 2006, eq. 37)."""
    if save >= 2 * mean:
        return mean
    ratio = save / (2 * mean)
    return young(save, mean) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save


@dataclass(frozen=True, kw_only=True)
class Interruptions:
    """What happens to a job, seconds.

    Attributes:
        mean: from one interruption that loses work to the next, exponentially distributed.
        mean_announced: likewise, of those before which the job saves.
        save: to write a checkpoint.
        down: in the queue after an interruption.
        restart: from there to the first step; may itself be interrupted.
    """

    mean: float
    mean_announced: float
    save: float
    down: float
    restart: float

    def expected(self, work: float, interval: float) -> float:
        """Expected seconds until ``work`` seconds are done, with a checkpoint after every ``interval`` of them.

        exp(R / M) (M + D) (exp((interval + C) / M) - 1) for each interval (Herault and Robert, 2015, eq. 1.5), and for
        each announced interruption C + D + R.
        """
        full = math.exp(self.restart / self.mean) * (self.mean + self.down)
        seconds = work / interval * full * math.expm1((interval + self.save) / self.mean)
        return seconds * (1 + (self.save + self.down + self.restart) / self.mean_announced)

    def lost(self, interval: float) -> float:
        """Expected seconds that one interruption without notice costs: half an interval, the queue, the restart."""
        return (interval + self.save) / 2 + self.down + self.restart

    def simulate(self, work: float, interval: float, trials: int, seed: int = 0) -> np.ndarray:
        """Seconds until the work is done, float ``(trials,)``: interruptions drawn one by one."""
        rng = np.random.default_rng(seed)
        segment = interval + self.save
        total = work / interval * segment  # of running, saving included
        lose = 1 / self.mean / (1 / self.mean + 1 / self.mean_announced)
        seconds, saved = np.zeros(trials), np.zeros(trials)
        restart = np.zeros(trials)  # of this attempt; the first has none
        running = np.arange(trials)
        while running.size:
            up = rng.exponential(1 / (1 / self.mean + 1 / self.mean_announced), running.size)
            announced = rng.random(running.size) >= lose
            reached = saved[running] + np.maximum(up - restart[running], 0)
            done = reached >= total
            seconds[running[done]] += restart[running[done]] + total - saved[running[done]]
            left, up, announced, reached = running[~done], up[~done], announced[~done], reached[~done]
            since = reached - saved[left]
            saved[left] += np.where(announced, since, since // segment * segment)
            seconds[left] += up + announced * self.save + self.down
            restart[left] = self.restart
            running = left
        return seconds


def interruptions(rates: Rates, model: Model, gpus: int) -> Interruptions:
    """Of a job on ``gpus`` GPUs: any of its machines ends it, and where several are taken together, once."""
    nodes = math.ceil(gpus / rates.gpus_per_node)
    preemptions = math.ceil(nodes / rates.preempted_together) * rates.node_preemptions / DAY
    return Interruptions(
        mean=1 / (nodes * rates.node_failures / DAY + (1 - rates.announced) * preemptions),
        mean_announced=1 / (1 / rates.time_limit_seconds + rates.announced * preemptions),
        save=model.checkpoint_bytes / rates.save_bandwidth,
        down=rates.requeue_seconds * nodes**rates.requeue_growth,
        restart=rates.start(gpus) + model.checkpoint_bytes / rates.load_bandwidth,
    )
