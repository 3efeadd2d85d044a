"""The linear probe as an example plugin: its accuracy beside a fit by hand, and embeddings that are found again."""

import logging

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from pvbias.clips import ClipSpec
from pvbias.config import complete
from pvbias.data import BadVideoLog, build_source, build_test_loader
from pvbias.evaluation import run_evaluators
from pvbias.models import Recognizer
from pvbias.registries import EVALUATOR
from pvbias.report import read_results
from pvbias.run import run
from pvbias.runtime import choose_settings

from .example_plugins import configured, importable


@pytest.fixture(autouse=True)
def plugin():
    with importable():
        yield


@pytest.fixture
def measure(tmp_path):
    """``measure(recognizer)``: the probe's result on the test videos, and how many clips went through the network."""
    cfg = complete(configured(tmp_path, "linear_probe", "DATA.RANDOM_FLIP", False), num_classes=10)

    def build():
        layers = [torch.nn.AdaptiveAvgPool3d((2, 3, 3)), torch.nn.Flatten(), torch.nn.Linear(54, 10)]
        spec = ClipSpec(num_frames=4, sampling_rate=4, crop_size=16, test_crop_size=16, short_side=16)
        return Recognizer(torch.nn.Sequential(*layers), clip_spec=spec, head="2")

    def probe(recognizer):
        seen = []
        handle = recognizer.head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
        settings = choose_settings(cfg, recognizer, training=False)
        evaluators = {"linear_probe": EVALUATOR.get("linear_probe")(cfg, settings.place(recognizer), ())}
        log = BadVideoLog(cfg.OUTPUT_DIR, 0.1)
        source = build_source(cfg, "test")
        results = run_evaluators(cfg, recognizer, source, evaluators, settings=settings, bad_log=log)
        handle.remove()
        return results["linear_probe"], sum(seen)

    probe.cfg, probe.build = cfg, build
    return probe


def embeddings(cfg, recognizer, split):
    """Means over the views, and the labels."""
    rows = list(build_test_loader(cfg, build_source(cfg, split), rank=0, world_size=1))
    with torch.no_grad():
        features = torch.stack([recognizer.eval().embed(video.clips).mean(0) for video in rows])
    return features, [video.record.label for video in rows]


def test_accuracy_is_that_of_a_classifier_on_embeddings(measure):
    recognizer = measure.build()
    result, _ = measure(recognizer)
    (figure,) = result.figures
    train, labels = embeddings(measure.cfg, recognizer, "train")
    test, truth = embeddings(measure.cfg, recognizer, "test")
    mean, deviation = train.mean(0), train.std(0, correction=0)
    deviation[deviation == 0] = 1  # where nothing ever moves
    classifier = LogisticRegression(max_iter=1000).fit((train - mean) / deviation, labels)
    assert figure.value == pytest.approx(100 * classifier.score((test - mean) / deviation, truth))
    assert figure.value > 20  # chance is 10
    assert figure.count == 20
    assert figure.interval[0] < figure.value < figure.interval[1]


def test_embeddings_of_the_training_videos_are_found_again(measure, caplog):
    recognizer = measure.build()
    first, clips = measure(recognizer)
    assert clips == 2 * (40 + 20)  # two views of the training and the test videos
    with caplog.at_level(logging.INFO):
        again, clips = measure(recognizer)
    assert "found in" in caplog.text
    assert clips == 2 * 20
    assert again.figures == first.figures
    with torch.no_grad():
        recognizer.head.weight.add_(1)
    assert measure(recognizer)[1] == 2 * (40 + 20)  # another network


def test_a_run_has_it_as_a_headline(tmp_path, caplog):
    keys = ("BIAS.EVALUATORS", "['linear_probe']", "DECOUPLED.TRAIN_VIDEOS", 16)
    with caplog.at_level(logging.INFO):
        run(configured(tmp_path, "linear_probe", *keys))
    (figure,) = read_results(tmp_path / "run").results["linear_probe"].figures
    assert 0 <= figure.value <= 100
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("linear probe") >= 1
