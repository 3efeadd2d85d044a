"""Dynamic score and accuracy on modulated clips, against closed forms and hand-worked cases."""

import math

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec, modulation, view_seeds
from pvbias.config import get_cfg
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.bias_metrics import DynamicScore, ModulatedAccuracy

VARIANTS = ("original", "shuffle", "reverse", "freeze_middle")
DRAWS = ("freeze(frame=random, draw=1)", "freeze(frame=random, draw=2)")
SPEC = ClipSpec(num_frames=8, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)


class PerFrame(nn.Module):
    """The paper's purely spatial classifier (eq. 1): the mean over frames of a classifier of single frames."""

    def __init__(self, num_classes=7, average="probabilities"):
        super().__init__()
        self.average = average
        self.head = nn.Linear(3 * 4 * 4, num_classes)
        nn.init.normal_(self.head.weight, std=2)

    def forward(self, clip):
        frames = self.head(clip.transpose(1, 2).flatten(2))  # (N, T, K)
        return frames.softmax(2).mean(1).log() if self.average == "probabilities" else frames.mean(1)


class Ordered(PerFrame):
    """Sees only how the first frame differs from the last one: motion and nothing else."""

    def forward(self, clip):
        return self.head((clip[:, :, -1] - clip[:, :, 0]).flatten(1))


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.BIAS.BOOTSTRAP_SAMPLES = 200
    return cfg


def recognizer(module=None):
    torch.manual_seed(0)
    return Recognizer(module or PerFrame(), clip_spec=SPEC, head="head")


def run(evaluator, model, num_videos=12, num_views=3):
    generator = torch.Generator().manual_seed(1)
    for index in range(num_videos):
        clips = torch.randint(256, (num_views, 3, 8, 4, 4), generator=generator, dtype=torch.uint8)
        seeds = view_seeds(0, f"{index}.mp4", num_views)
        with torch.no_grad():
            logits = {variant: model(modulation(variant)(clips, seeds)) for variant in VARIANTS}
        evaluator.process(VideoViews(index=index, name=f"{index}.mp4", label=index % 7, clips=clips), logits)
    return figures(evaluator.evaluate())


def feed(evaluator, videos):
    """``videos``: (label, logits by variant); a variant that is not given is like the original."""
    for index, (label, logits) in enumerate(videos):
        logits = {spec: torch.tensor(logits.get(spec, logits["original"])) for spec in evaluator.modulations}
        clips = torch.zeros(len(logits["original"]), 3, 1, 1, 1, dtype=torch.uint8)
        evaluator.process(VideoViews(index=index, name=str(index), label=label, clips=clips), logits)
    return evaluator.evaluate()


def figures(result):
    return {(figure.name, figure.variant, figure.level): figure for figure in result.figures}


def log(*probabilities):
    return [math.log(p) for p in probabilities]


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_per_frame_model_has_shuffle_score_zero_and_full_agreement(cfg, average):
    model = recognizer(PerFrame(average=average))
    found = run(DynamicScore(cfg, model, []), model)
    for level in ("clip", "video"):
        assert 0 <= found["dynamic_score", "shuffle", level].value < 1e-9
        assert found["agreement", "shuffle", level].value == 100
        # One frame of eight is not all of them: freezing does change a per-frame model's mean.
        assert found["dynamic_score", "freeze_middle", level].value > 0.01


def test_motion_model_has_the_entropy_deficit_as_freeze_score(cfg):
    """Without bias and motion its prediction is uniform: KL(p || uniform) = ln K - H(p)."""
    model = recognizer(Ordered())
    nn.init.zeros_(model.head.bias)
    deficits = []

    class Entropy(DynamicScore):
        def process(self, video, logits):
            p = logits["original"].double().softmax(1)
            deficits.append((math.log(7) + (p * p.log()).sum(1)).mean().item())
            super().process(video, logits)

    found = run(Entropy(cfg, model, []), model)
    expected = sum(deficits) / len(deficits)
    assert found["dynamic_score", "freeze_middle", "clip"].value == pytest.approx(expected, rel=1e-6)
    assert expected > 0.1


def test_score_of_two_classes_by_hand(cfg):
    """One video, two views: clip level is the mean of two divergences, video level that of the mean probabilities."""
    original = [log(0.9, 0.1), log(0.5, 0.5)]
    shuffled = [log(0.6, 0.4), log(0.25, 0.75)]
    result = feed(
        DynamicScore(cfg, recognizer(), []),
        [(None, {"original": original, "shuffle": shuffled, "freeze_middle": original})],
    )
    found = figures(result)
    first = 0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    second = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    video = 0.7 * math.log(0.7 / 0.425) + 0.3 * math.log(0.3 / 0.575)
    assert found["dynamic_score", "shuffle", "clip"].value == pytest.approx((first + second) / 2, abs=1e-6)
    assert found["dynamic_score", "shuffle", "video"].value == pytest.approx(video, abs=1e-6)
    assert found["dynamic_score", "freeze_middle", "clip"].value == 0
    assert found["dynamic_score", "shuffle", "clip"].unit == "nats"
    # View 1: class 0 and 0. View 2: class 0 (the first of two equal ones) and 1. Mean: class 0 and 1.
    assert found["agreement", "shuffle", "clip"].value == 50
    assert found["agreement", "shuffle", "video"].value == 0
    assert result.not_applicable == ""


def test_score_is_the_mean_over_videos_with_an_interval_around_it(cfg):
    """Half of the videos score ln 2 (certain against even), half 0; the views of a video are not counted as videos."""
    certain, even = [[0.0, -200.0]], [[0.0, 0.0]]
    videos = [(None, {"original": certain * 2, "shuffle": even * 2})] * 50
    videos += [(None, {"original": certain * 7})] * 50
    found = figures(feed(DynamicScore(cfg, recognizer(), []), videos))["dynamic_score", "shuffle", "clip"]
    assert found.value == pytest.approx(math.log(2) / 2)
    assert found.count == 100
    low, high = found.interval
    assert low < found.value < high
    assert high - low == pytest.approx(2 * 1.96 * math.log(2) * 0.05, rel=0.25)


def test_extreme_logits_stay_finite(cfg):
    found = figures(
        feed(DynamicScore(cfg, recognizer(), []), [(0, {"original": [[3e4, -3e4]], "shuffle": [[-3e4, 3e4]]})])
    )
    assert found["dynamic_score", "shuffle", "clip"].value == pytest.approx(6e4)


def test_frame_to_freeze_is_the_configured_one(cfg):
    cfg.BIAS.FREEZE_FRAME = "random"
    assert DynamicScore(cfg, recognizer(), []).modulations == ("original", "freeze_random", "shuffle")
    assert "freeze_random" in ModulatedAccuracy(cfg, recognizer(), []).modulations


def test_the_score_of_random_frames_is_the_mean_over_those_drawn(cfg):
    """KL of (0.9, 0.1) to itself is 0; to (0.5, 0.5) it is ln 2 - H(0.9); to (0.1, 0.9), 0.8 ln 9."""
    cfg.BIAS.FREEZE_FRAME, cfg.BIAS.FREEZE_DRAWS = "random", 3
    draws = dict(zip(("freeze_random", *DRAWS), (log(0.9, 0.1), log(0.5, 0.5), log(0.1, 0.9)), strict=True))
    logits = {"original": [log(0.9, 0.1)], **{spec: [row] for spec, row in draws.items()}}
    found = figures(feed(DynamicScore(cfg, recognizer(), []), [(None, logits)]))
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    expected = (0 + (math.log(2) - entropy) + 0.8 * math.log(9)) / 3
    for level in ("clip", "video"):
        assert found["dynamic_score", "freeze_random", level].value == pytest.approx(expected, abs=1e-6)
        assert found["agreement", "freeze_random", level].value == pytest.approx(200 / 3)
    assert {variant for _, variant, _ in found} == {"freeze_random", "shuffle"}


def test_accuracy_on_random_frames_is_the_mean_over_those_drawn(cfg):
    """Of one video one draw in three is right, of the other all: 2 / 3 of clips that are all right as they are."""
    cfg.BIAS.FREEZE_FRAME, cfg.BIAS.FREEZE_DRAWS = "random", 3
    once = {"original": scores(0), "freeze_random": scores(1), DRAWS[0]: scores(6), DRAWS[1]: scores(0)}
    result = feed(ModulatedAccuracy(cfg, recognizer(), []), [(0, once), (0, {"original": scores(0)})])
    found = figures(result)
    for level in ("clip", "video"):
        assert found["top1", "freeze_random", level].value == pytest.approx(200 / 3)
        assert found["log_ratio", "freeze_random", level].value == pytest.approx(math.log(3 / 2))
        assert found["top1", "original", level].value == 100
    assert {variant for _, variant, _ in found} == {"original", "shuffle", "reverse", "freeze_random"}
    assert result.tables["per_class"][0]["top1_freeze_random"] == pytest.approx(200 / 3)


def test_the_configuration_adds_modulations(cfg):
    cfg.BIAS.MODULATIONS = ["shuffle( segments=2 )"]
    even, sure = [log(0.5, 0.5)], [log(0.9, 0.1)]
    logits = {"original": even, "shuffle(segments=2)": sure}
    found = figures(feed(DynamicScore(cfg, recognizer(), []), [(None, logits)]))
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert found["dynamic_score", "shuffle(segments=2)", "video"].value == pytest.approx(expected)
    assert found["dynamic_score", "shuffle", "video"].value == 0
    found = figures(feed(ModulatedAccuracy(cfg, recognizer(), []), [(1, {"original": even})]))
    assert found["top1", "shuffle(segments=2)", "video"].value == 50


def scores(best, num_classes=7):
    """Logits whose ``best`` is first, the others falling with their number."""
    row = [-float(k) for k in range(num_classes)]
    row[best] = 1.0
    return [row]


def test_accuracies_and_log_ratios_by_hand(cfg):
    """Ten videos of class 0, ten of class 6: all right as they are; shuffled, half of class 0 and none of class 6."""
    videos = [(0, {"original": scores(0), "shuffle": scores(0 if i < 5 else 1)}) for i in range(10)]
    videos += [(6, {"original": scores(6), "shuffle": scores(0), "reverse": scores(6)})] * 10
    result = feed(ModulatedAccuracy(cfg, recognizer(), ["walk", "b", "c", "d", "e", "f", "run"]), videos)
    found = figures(result)
    for level in ("clip", "video"):
        assert found["top1", "original", level].value == 100
        assert found["top1", "shuffle", level].value == 25
        assert found["top1", "reverse", level].value == 100
        # Class 0 is second where it is not first; class 6 is last of seven, beyond the fifth place.
        assert found["top5", "shuffle", level].value == 50
        ratio = found["log_ratio", "shuffle", level]
        assert ratio.value == pytest.approx(math.log(4))
        assert ratio.interval[0] < ratio.value < ratio.interval[1]
        assert found["log_ratio", "freeze_middle", level].value == 0
    rows = {(row["class"], row["level"]): row for row in result.tables["per_class"]}
    assert rows[0, "video"]["class_name"] == "walk"
    assert rows[0, "video"]["videos"] == 10
    assert rows[0, "video"]["top1_shuffle"] == 50
    assert rows[0, "video"]["log_ratio_shuffle"] == pytest.approx(math.log(2))
    assert rows[0, "video"]["log_ratio_shuffle_low"] < math.log(2) < rows[0, "video"]["log_ratio_shuffle_high"]
    assert rows[6, "clip"]["log_ratio_shuffle"] is None
    assert "zero denominator" in rows[6, "clip"]["note"]
    assert len({tuple(row) for row in result.tables["per_class"]}) == 1  # the same columns in all rows


def test_zero_denominator_is_reported_and_not_a_number(cfg):
    found = figures(
        feed(ModulatedAccuracy(cfg, recognizer(), []), [(0, {"original": scores(0), "shuffle": scores(1)})])
    )
    ratio = found["log_ratio", "shuffle", "video"]
    assert ratio.value is None
    assert ratio.interval is None
    assert "zero denominator" in ratio.note


def test_per_frame_model_has_log_ratio_zero_for_shuffle_and_reverse(cfg):
    model = recognizer()
    found = run(ModulatedAccuracy(cfg, model, []), model, num_videos=60)
    for variant in ("shuffle", "reverse"):
        assert found["top1", variant, "clip"].value == found["top1", "original", "clip"].value > 0
        assert found["log_ratio", variant, "clip"].value == 0
