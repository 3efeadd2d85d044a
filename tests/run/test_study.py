"""Studies of several runs: intervals over seeds, and what they are said to mean."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy import stats

from pvbias.errors import ConfigError
from pvbias.run.study import Run, Study, interval, rank_correlation, text, verdict


def test_intervals_are_students():
    """1, 2 and 3: their standard error is 1 / sqrt(3), and t of 2 degrees of freedom 4.303."""
    mean, half = interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / math.sqrt(3)))
    assert text([1.0, 2.0, 3.0], 2) == "2.00 ± 2.48"
    assert text([0.5], 1, sign="+") == "+0.5"


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        ([2.0], "one seed does not tell"),
        ([-1.0, 0.0, 2.0], "no difference that these seeds can tell"),
        ([2.0, 2.1, 1.9], "it helps"),
        ([-2.0, -2.1, -1.9], "it does harm"),
    ],
)
def test_verdicts(gained, said):
    assert verdict(gained).startswith(said)


@pytest.mark.parametrize(
    ("first", "second", "rho", "p"),
    [
        ((1, 2, 3, 4, 5), (10, 20, 30, 40, 50), 1.0, 2 / 120),  # of the 120 orders the same and the reverse
        ((1, 2, 3, 4), (1, 2, 4, 3), 0.8, 8 / 24),  # 1 - 6 * 2 / 60; orders: 1 of +-1, 3 of +-0.8, on both sides
        ((0.5, 3.0, math.inf), (3, 2, 1), -1.0, 2 / 6),
    ],
)
def test_rank_correlations_are_exact(first, second, rho, p):
    assert rank_correlation(first, second) == (pytest.approx(rho), pytest.approx(p))


def test_rank_correlations_share_ranks_as_scipy_does():
    first, second = (1, 2, 2, 4, 5, 7), (3, 1, 1, 8, 2, 8)
    assert rank_correlation(first, second)[0] == pytest.approx(stats.spearmanr(first, second).statistic)
    assert all(math.isnan(value) for value in rank_correlation((1, 1, 1), (1, 2, 3)))


def test_a_seed_is_one_training():
    """Twice the same has no variance, and any difference would be beyond chance."""
    options = SimpleNamespace(out=Path("out"), set=[], jobs=1, dry_run=True, in_process=False, seeds=[3, 4, 3])
    with pytest.raises(ConfigError, match="--seeds 3 4 3: each is that of one training"):
        Study.from_args(options)


def test_one_process_makes_the_runs_one_after_another(tmp_path):
    keys = "TRAIN.DATASET brush_mnist TEST.DATASET brush_mnist DECOUPLED.SIZE 16 DECOUPLED.FRAMES 4 TRAIN.ENABLE False "
    keys += "DECOUPLED.TEST_VIDEOS 2 DATA.NUM_FRAMES 2 DATA.TRAIN_CROP_SIZE 16 DATA_LOADER.NUM_WORKERS 0 "
    keys += "DATA.TEMPORAL_SAMPLING rate BIAS.ENABLE False"
    config = tmp_path / "config.yaml"
    config.write_text("MODEL: {MODEL_NAME: r3d_small}\n")
    study = Study(out=tmp_path, extra=tuple(keys.split()), in_process=True)
    found = study.finish([Run(name="test", seed=seed, config=config) for seed in (0, 1)])
    assert [run.num_videos for run in found] == [2, 2]
    again = replace(study, extra=(*study.extra, "LOG_PERIOD", "3"))  # which no figure depends on
    assert [run.num_videos for run in again.finish([Run(name="test", seed=0, config=config)])] == [2]
    for other in (replace(study, extra=(*study.extra, "DECOUPLED.TEST_VIDEOS", "3")), replace(study, extra=())):
        with pytest.raises(ConfigError, match=r"(?s)test_seed1 was made with other settings:.*TEST_VIDEOS: was 2, is"):
            other.make([Run(name="test", seed=1, config=config)])
    with pytest.raises(ConfigError, match="--in-process and --jobs 2"):
        Study(out=tmp_path, jobs=2, in_process=True)
