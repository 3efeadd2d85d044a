"""The oracle is right about every video, and its dynamic score is the bias of the videos, whatever the student says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pvbias.config import load_cfg
from pvbias.evaluation import Figure, Result
from pvbias.plugins.bias_metrics import dataset_bias, dynamic_score
from pvbias.plugins.decoupled_videos import source
from pvbias.plugins.decoupled_videos.mnist import Digits, load_digits

from .studies import script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "temporality"


@pytest.fixture(scope="module")
def oracle():
    return script(PROJECT / "oracle.py")


@pytest.fixture
def few_digits(oracle, monkeypatch):
    """Two digits of each class instead of 1,797."""

    def load(folder, split):
        digits = load_digits(folder, "test")
        chosen = np.concatenate([indices[:2] for indices in digits.of_class])
        labels = digits.labels[chosen]
        return Digits(digits.images[chosen], labels, tuple(np.flatnonzero(labels == digit) for digit in range(10)))

    monkeypatch.setattr(oracle, "load_digits", load)
    monkeypatch.setattr(source, "load_digits", load)
    for kept in (source._path, source._pen):
        kept.cache_clear()
    yield
    for kept in (source._path, source._pen):
        kept.cache_clear()


@pytest.mark.parametrize(
    ("label", "trajectories"), [("joint", "walk"), ("motion", "walk"), ("motion", "greedy"), ("appearance", "walk")]
)
def test_it_is_right_about_every_video_and_sure_of_it(oracle, few_digits, label, trajectories):
    keys = ["DECOUPLED.LABEL", label, "DECOUPLED.TRAJECTORIES", trajectories, "DECOUPLED.TEST_VIDEOS", "100"]
    cfg = load_cfg(PROJECT / "oracle.yaml", keys)
    videos = source.build_brush_mnist(cfg, "test")
    opened = [videos.open(record) for record in videos.records]
    clips = torch.from_numpy(np.stack([video.read(video.timestamps, lambda *_: (32, 32)) for video in opened]))
    labels = torch.tensor([record.label for record in videos.records])
    module = oracle.configure(cfg).build()
    with torch.no_grad():
        logits = module(clips.permute(0, 4, 1, 2, 3) / 255)
        unknown = module(torch.zeros(1, 3, 8, 32, 32))
    log_p = logits.log_softmax(1)
    assert (log_p.exp() == torch.nn.functional.one_hot(labels, log_p.shape[1])).all()
    assert (unknown == 0).all()
    # Eq. 2 and eq. 5 of any spatial classifier.
    torch.manual_seed(0)
    student = torch.randn_like(log_p).log_softmax(1)
    assert float(dynamic_score(log_p, student)) == pytest.approx(float(dataset_bias(student, labels)), rel=1e-12)


def test_the_table_says_what_the_runs_say(oracle, tmp_path, capsys):
    values = {
        "modulated_accuracy": [("top1", "original", 100.0, "%")],
        "dynamic_score_distill": [("dynamic_score", "distill", 2.25, "nats")],
        "dataset_bias": [("dataset_bias", "original", 2.25, "nats"), ("student_top1", "original", 20.0, "%")],
    }
    results = {
        evaluator: Result(
            figures=[
                Figure(name=name, value=value, unit=unit, level="clip", variant=variant)
                for name, variant, value, unit in figures
            ]
        )
        for evaluator, figures in values.items()
    }
    for label in ("motion", "appearance"):
        write_run(tmp_path / f"{label}_seed3", results)
    assert oracle.main(["--out", str(tmp_path), "--seeds", "3"]) == 0
    row = "| motion | 3 | 100.0 % | 2.250000 nats | 2.250000 nats | 20.0 % |"
    assert row in (tmp_path / "oracle.md").read_text(encoding="utf-8")
    assert row in capsys.readouterr().out
