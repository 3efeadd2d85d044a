"""The measures as functions and as update / compute metrics: by hand, against scipy, and against the evaluators."""

import doctest
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.bias_metrics import (
    AgreementMetric,
    DatasetBiasMetric,
    DynamicScore,
    DynamicScoreMetric,
    LogRatioMetric,
    ModulatedAccuracy,
    agreement,
    dataset_bias,
    dynamic_score,
    log_ratio,
    metrics,
)
from tests.evaluation.toys import as_outputs

CLASSES = 7


def log(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def random_logs(clips, seed, classes=CLASSES):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(clips, classes, generator=generator)).log_softmax(1)


def test_the_examples_run():
    failed, tried = doctest.testmod(metrics)
    assert (failed, tried > 25) == (0, True)


def test_the_examples_of_the_readme_run():
    readme = Path(metrics.__file__).parent / "README.md"
    failed, tried = doctest.testfile(str(readme), module_relative=False)
    assert (failed, tried > 10) == (0, True)


def test_the_dynamic_score_is_the_mean_divergence_in_nats():
    p, q = random_logs(20, 0), random_logs(20, 1)
    expected = entropy(p.double().exp().numpy(), q.double().exp().numpy(), axis=1).mean()
    assert float(dynamic_score(p, q)) == pytest.approx(expected, rel=1e-6)
    assert float(dynamic_score(p, p)) == 0
    hand = (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5) + 0) / 2
    assert float(dynamic_score(log([0.75, 0.25], [0.5, 0.5]), log([0.5, 0.5], [0.5, 0.5]))) == pytest.approx(hand)


def test_probabilities_of_zero():
    """0 ln(0 / q) is 0 also where q is 0; what q holds for impossible and p does not is infinitely far."""
    assert float(dynamic_score(log([1, 0, 0]), log([0.5, 0.5, 0]))) == pytest.approx(math.log(2))
    assert float(dynamic_score(log([0.5, 0.5]), log([1, 0]))) == math.inf


def test_the_dynamic_score_has_gradients_on_both_sides():
    """d KL(p || q) / d logits of q is q - p."""
    x = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    dynamic_score(x.log_softmax(1), y.log_softmax(1)).backward()
    torch.testing.assert_close(y.grad, y.detach().softmax(1) - x.detach().softmax(1))
    assert x.grad.abs().sum() > 0


def test_agreement_by_hand():
    p = log([0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1])
    q = log([0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6])
    assert float(agreement(p, q)) == 0.5


def test_log_ratio_by_hand():
    """All four right against three; a tie of two counts for a half."""
    labels = torch.tensor([0, 0, 1, 1])
    right = log([0.6, 0.4], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9])
    other = log([0.6, 0.4], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9])
    tied = log([0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9])
    assert log_ratio(right, other, labels) == pytest.approx(math.log(4 / 3))
    assert log_ratio(right, tied, labels) == pytest.approx(math.log(4 / 3.5))
    assert log_ratio(right, right, labels) == 0
    assert log_ratio(right, right.flip(1), labels) == math.inf
    assert log_ratio(right.flip(1), right, labels) == -math.inf
    assert math.isnan(log_ratio(right.flip(1), right.flip(1), labels))


def test_dataset_bias_is_the_cross_entropy():
    logits, labels = torch.randn(9, 5), torch.arange(9) % 5
    expected = torch.nn.functional.cross_entropy(logits.double(), labels)
    torch.testing.assert_close(dataset_bias(logits.double().log_softmax(1), labels), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, q, y: dynamic_score(p.exp(), q), "add up to .* and not to 1: these are no log-probabilities"),
        (lambda p, q, y: agreement(p, q + 1), "add up to 2.72 and not to 1.*take log_softmax"),
        (lambda p, q, y: dynamic_score(p, q[:, :3]), r"of the same clips and classes, not \(4, 7\) and \(4, 3\)"),
        (lambda p, q, y: dynamic_score(p[0], q[0]), r"\(N, K\)"),
        (lambda p, q, y: log_ratio(p, q, y + 7), "class numbers from 0 to 6"),
        (lambda p, q, y: dataset_bias(q, y[:2]), r"\(N,\) = \(4,\)"),
        (lambda p, q, y: dynamic_score(p, q * math.nan), "a NaN among the log-probabilities"),
        (lambda p, q, y: dynamic_score(p[:0], q[:0]), "no clips, and no mean"),
        (lambda p, q, y: agreement(p[:0], q[:0]), "no clips, and no mean"),
        (lambda p, q, y: log_ratio(p[:0], q[:0], y[:0]), "no clips, and no mean"),
        (lambda p, q, y: dataset_bias(q[:0], y[:0]), "no clips, and no mean"),
        (lambda p, q, y: log_ratio(p, q, y.bool()), "class numbers from 0 to 6"),
        (lambda p, q, y: dataset_bias(q, y.float()), "class numbers from 0 to 6"),
        (lambda p, q, y: DynamicScoreMetric(level="view"), "level = 'view' must be one of clip, video"),
        (lambda p, q, y: DynamicScoreMetric(samples=0), "samples = 0 must be at least 1"),
        (lambda p, q, y: DynamicScoreMetric().compute(), "no clips yet, call update first"),
        (lambda p, q, y: DynamicScoreMetric().update(p, q, videos=["a"]), "4 clips, and videos are named for 1"),
        (lambda p, q, y: LogRatioMetric().update(p, q, y, videos=["a", "a", "b", "b"]), "'a' has the labels 0 and 1"),
        (lambda p, q, y: DynamicScoreMetric().merge(AgreementMetric()), "cannot take over what AgreementMetric"),
    ],
)
def test_what_is_not_a_distribution_is_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call(random_logs(4, 0), random_logs(4, 1), torch.arange(4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_of_any_width(dtype):
    """uint8 is a mask where it is an index."""
    q, labels = random_logs(4, 1), torch.tensor([0, 1, 1, 0])
    right, half = (
        log([0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]),
        log([0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]),
    )
    assert log_ratio(right, half, labels.to(dtype)) == pytest.approx(math.log(2))
    torch.testing.assert_close(dataset_bias(q, labels.to(dtype)), dataset_bias(q, labels))


def test_videos_are_told_apart_by_what_their_names_say():
    p, q = random_logs(4, 0), random_logs(4, 1)
    expected = {}
    for names in (
        [3, 4, 3, 4],
        torch.tensor([3, 4, 3, 4]),
        list(torch.tensor([3, 4, 3, 4])),
        [np.int64(3), torch.tensor(4), 3.0, 4],
        ["b", 4, "b", 4],
    ):
        metric = DynamicScoreMetric()
        metric.update(p, q, videos=names)
        expected[str(names)] = metric.compute()
        assert metric.compute().count == 2
    assert len({found.value for found in expected.values()}) == 1


def test_a_batch_that_does_not_fit_is_not_added_in_part():
    p, q, labels = random_logs(4, 0), random_logs(4, 1), torch.arange(4)
    metric, other, same = LogRatioMetric(), LogRatioMetric(), LogRatioMetric()
    metric.update(p[:2], q[:2], labels[:2], videos=["a", "b"])
    other.update(p[2:], q[2:], labels[2:], videos=["c", "b"])
    same.update(p[:2], q[:2], labels[:2], videos=["a", "b"])
    with pytest.raises(ValueError, match="'b' has the labels 1 and 3"):
        metric.update(p[2:], q[2:], labels[2:], videos=["c", "b"])
    with pytest.raises(ValueError, match="'b' has the labels 1 and 3"):
        metric.merge(other)
    with pytest.raises(ValueError, match="of 3 classes, those before of 7"):
        metric.update(log([0.2, 0.3, 0.5]), log([0.2, 0.3, 0.5]), labels[:1], videos=["a"])
    with pytest.raises(ValueError, match="seen its own clips already"):
        metric.merge(metric)
    assert metric.compute() == same.compute()


def test_half_precision_is_a_distribution_too():
    for dtype in (torch.bfloat16, torch.float16):
        p, q = (torch.randn(8, 400).to(dtype).log_softmax(1) for _ in range(2))
        expected = dynamic_score(p.double().log_softmax(1), q.double().log_softmax(1))
        assert float(dynamic_score(p, q)) == pytest.approx(float(expected), rel=0.05)


VIEWS = [3, 1, 4, 2, 3, 5, 1, 2, 3, 4]


@pytest.fixture
def measured():
    """Logits of ten videos on original and shuffled clips, and what the evaluators say of them."""
    cfg = get_cfg()
    cfg.BIAS.BOOTSTRAP_SAMPLES, cfg.RNG_SEED = 300, 5
    spec = ClipSpec(num_frames=1, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
    model = Recognizer(torch.nn.Sequential(torch.nn.Linear(1, CLASSES)), clip_spec=spec, head="0")
    videos, found = [], {}
    evaluators = [DynamicScore(cfg, model, []), ModulatedAccuracy(cfg, model, [])]
    for index, views in enumerate(VIEWS):
        p, label = random_logs(views, index), index % CLASSES
        p[:, label] += 2
        q = random_logs(views, 50 + index)
        q[:, label] += index % 3
        videos.append((p, q, label))
        clips = torch.zeros(views, 3, 1, 1, 1, dtype=torch.uint8)
        for evaluator in evaluators:
            logits = {spec: p if spec == "original" else q for spec in evaluator.needs.modulations}
            evaluator.process(VideoViews(index=index, name=str(index), label=label, clips=clips), as_outputs(logits))
    for evaluator in evaluators:
        found |= {(f.name, f.level): f for f in evaluator.evaluate().figures if f.variant == "shuffle"}
    return videos, found


def feed(metric, videos, indices, labelled):
    for index in indices:
        p, q, label = videos[index]
        labels = (torch.full((len(p),), label),) if labelled else ()
        metric.update(p.double().log_softmax(1), q.double().log_softmax(1), *labels, videos=[index] * len(p))
    return metric


@pytest.mark.parametrize("level", ["clip", "video"])
@pytest.mark.parametrize(
    ("kind", "name", "scale"),
    [(DynamicScoreMetric, "dynamic_score", 1), (AgreementMetric, "agreement", 100), (LogRatioMetric, "log_ratio", 1)],
)
def test_metrics_give_the_evaluators_figures(measured, level, kind, name, scale):
    videos, found = measured
    figure, labelled = found[name, level], kind is LogRatioMetric
    made = [kind(level=level, samples=300, seed=5) for _ in range(3)]
    feed(made[0], videos, range(10), labelled)
    # in two processes, of which each has clips of video 4, and backwards
    feed(made[1], videos, range(9, 4, -1), labelled)
    feed(made[2], videos, range(4), labelled)
    p, q, label = videos[4]
    for metric, part in ((made[1], slice(2, None)), (made[2], slice(2))):
        feed(metric, {4: (p[part], q[part], label)}, [4], labelled)
    made[1].merge(pickle.loads(pickle.dumps(made[2])))
    for metric in made[:2]:
        estimate = metric.compute()
        assert scale * estimate.value == pytest.approx(figure.value, rel=1e-9)
        assert [scale * end for end in estimate.interval] == pytest.approx(figure.interval, rel=1e-9)
        assert estimate.count == figure.count == 10
    made[0].reset()
    with pytest.raises(ValueError, match="no clips yet"):
        made[0].compute()


def test_the_levels_of_a_dataset_bias():
    """Of a video's two clips: the mean of -ln 0.5 and -ln 0.1, or that of the mean probability 0.3."""
    values = {}
    for level in ("clip", "video"):
        metric = DatasetBiasMetric(level=level)
        metric.update(log([0.5, 0.5], [0.1, 0.9]), torch.tensor([0, 0]), videos=np.array([3, 3]))
        values[level] = metric.compute()
    assert values["clip"].value == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert values["video"].value == pytest.approx(-math.log(0.3))
    assert (values["video"].count, values["video"].interval) == (1, None)


def test_videos_by_number_in_a_tensor_are_one_video():
    metric = DynamicScoreMetric()
    metric.update(random_logs(4, 0), random_logs(4, 1), videos=torch.tensor([1, 1, 2, 1]))
    metric.update(random_logs(2, 2), random_logs(2, 3), videos=[1, 2])
    assert metric.compute().count == 2


def test_clips_without_a_video_are_each_of_their_own():
    first, second = DynamicScoreMetric(), DynamicScoreMetric()
    p, q = random_logs(6, 0), random_logs(6, 1)
    first.update(p[:2], q[:2])
    first.update(p[2:4], q[2:4])
    second.update(p[4:], q[4:])
    first.merge(second)
    found = first.compute()
    assert found.count == 6
    assert found.value == pytest.approx(float(dynamic_score(p, q)))
    with pytest.raises(ValueError, match="of all clips or of none"):
        first.update(p[:1], q[:1], videos=["a"])
    named = DynamicScoreMetric()
    named.update(p[:1], q[:1], videos=["a"])
    with pytest.raises(ValueError, match="of all clips or of none"):
        first.merge(named)


def test_a_log_ratio_without_a_value_says_why():
    metric = LogRatioMetric()
    metric.update(log([0.9, 0.1]), log([0.1, 0.9]), torch.tensor([0]))
    found = metric.compute()
    assert found.value is None
    assert "zero denominator" in found.note
