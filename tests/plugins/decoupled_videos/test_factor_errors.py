"""Footprints, and errors taken apart by factor, against hand-worked cases."""

import pytest
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.config import get_cfg
from pvbias.data import VideoRecord
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.decoupled_videos import FactorErrors, FootprintMax, FootprintSum
from tests.evaluation.toys import as_outputs

SPEC = ClipSpec(num_frames=1, sampling_rate=1, crop_size=1, test_crop_size=1, short_side=1)
VARIANTS = ("original", "reverse", "shuffle", "footprint_max")
#: Three brushes, four shapes.
NAMES = [f"brush {brush} + shape {shape}" for brush in range(3) for shape in range(4)]


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.BIAS.BOOTSTRAP_SAMPLES = 200
    return cfg


def test_the_footprint_keeps_the_largest_value_of_each_channel():
    clips = torch.zeros(2, 3, 3, 2, 2, dtype=torch.uint8)
    clips[0, 0, :, 0, 0] = torch.tensor([10, 200, 30])
    clips[0, 1, :, 0, 0] = torch.tensor([250, 0, 0])
    clips[1, 2, :, 1, 0] = torch.tensor([1, 2, 3])
    found = FootprintMax()(clips, [0, 0])
    expected = torch.zeros_like(clips)
    expected[0, 0, :, 0, 0] = 200
    expected[0, 1, :, 0, 0] = 250
    expected[1, 2, :, 1, 0] = 3
    assert found.dtype == torch.uint8
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("values", "dtype", "total"),
    [([10, 20, 30], torch.uint8, 60), ([100, 100, 100], torch.uint8, 255), ([0.25, 0.5, 0.125], torch.float32, 0.875),
     ([0.5, 0.5, 0.5], torch.float32, 1)],
)  # fmt: skip
def test_the_summed_footprint_ends_at_the_range(values, dtype, total):
    clips = torch.tensor(values, dtype=dtype).view(1, 1, 3, 1, 1).expand(1, 3, 3, 2, 2)
    found = FootprintSum()(clips, [0])
    assert found.dtype == dtype
    assert torch.equal(found, torch.full((1, 3, 3, 2, 2), total, dtype=dtype))


@pytest.mark.parametrize("footprint", [FootprintMax(), FootprintSum()])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_footprints_are_laid_out_like_the_clips_and_leave_them_alone(footprint, memory_format):
    clips = torch.randint(256, (2, 3, 4, 5, 6), dtype=torch.uint8).contiguous(memory_format=memory_format)
    before = clips.clone()
    assert footprint(clips, [1, 2]).is_contiguous(memory_format=memory_format)
    assert torch.equal(clips, before)


class Linear(nn.Module):
    """Something with as many classes as are asked for."""

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)


def factor_errors(cfg, videos, names=NAMES, num_classes=None, times=None, attributes=None):
    """``videos``: (label, logits of the views on each variant, or the same for all), each so many times, with such
    attributes."""
    recognizer = Recognizer(Linear(num_classes or max(len(names), 2)), clip_spec=SPEC, head="head")
    evaluator = FactorErrors(cfg, recognizer, names)
    assert set(evaluator.needs.modulations) == set(VARIANTS)
    for index, (label, logits) in enumerate(videos):
        logits = logits if isinstance(logits, dict) else dict.fromkeys(VARIANTS, logits)
        tensors = {variant: torch.tensor(logits.get(variant, logits["original"])) for variant in VARIANTS}
        clips = torch.zeros(len(tensors["original"]), 3, 1, 1, 1, dtype=torch.uint8)
        record = (
            VideoRecord(path="", name=str(index), label=label, attributes=attributes[index]) if attributes else None
        )
        evaluator.process(
            VideoViews(index=index, name=str(index), label=label, clips=clips, record=record), as_outputs(tensors)
        )
    if times:
        rows = [row for row, count in zip(evaluator.rows.values(), times, strict=True) for _ in range(count)]
        evaluator.rows = dict(enumerate(rows))
    return evaluator.evaluate()


def best(*classes):
    """Logits of one view, in which these classes share the first place."""
    return [5.0 if k in classes else -0.1 * k for k in range(len(NAMES))]


def class_of(brush, shape):
    return 4 * brush + shape


def figures(result, level="video", variant="original"):
    return {f.name: f.value for f in result.figures if (f.level, f.variant) == (level, variant)}


def test_one_video_of_each_kind(cfg):
    label = class_of(1, 2)
    right, other_brush, other_shape, other_both = (
        best(class_of(*pair)) for pair in ((1, 2), (0, 2), (1, 3), (2, 0))
    )  # fmt: skip
    result = factor_errors(cfg, [(label, [logits]) for logits in (right, other_brush, other_shape, other_both)])
    for level in ("clip", "video"):
        for variant in VARIANTS:
            assert figures(result, level, variant) == {
                "joint_accuracy": 25,
                "appearance_accuracy": 50,
                "motion_accuracy": 50,
                "appearance_errors": 25,
                "motion_errors": 25,
                "both_errors": 25,
            }
    assert result.tables == {
        "appearance_confusion": [
            {"true": "brush 1", "predicted": "brush 0", "videos": 1},
            {"true": "brush 1", "predicted": "brush 2", "videos": 1},
        ],
        "motion_confusion": [
            {"true": "shape 2", "predicted": "shape 0", "videos": 1},
            {"true": "shape 2", "predicted": "shape 3", "videos": 1},
        ],
    }
    assert not result.not_applicable


def test_table_1a_of_the_paper(cfg):
    """2.49 % brush errors, 0.11 % shape errors, 0.03 % both, of 10,000 videos."""
    predictions = (class_of(0, 1), class_of(2, 1), class_of(0, 3), class_of(1, 0))
    videos = [(class_of(0, 1), [best(predicted)]) for predicted in predictions]
    found = figures(factor_errors(cfg, videos, times=(9737, 249, 11, 3)))
    expected = {
        "appearance_errors": 2.49,
        "motion_errors": 0.11,
        "both_errors": 0.03,
        "joint_accuracy": 97.37,
        "appearance_accuracy": 97.48,
        "motion_accuracy": 99.86,
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_variants_are_told_apart(cfg):
    label = class_of(0, 0)
    logits = {"original": [best(label)], "reverse": [best(class_of(0, 2))], "footprint_max": [best(class_of(1, 0))]}
    result = factor_errors(cfg, [(label, logits)])
    assert figures(result)["joint_accuracy"] == figures(result, variant="shuffle")["joint_accuracy"] == 100
    assert figures(result, variant="reverse")["motion_errors"] == 100
    assert figures(result, variant="footprint_max")["appearance_errors"] == 100
    assert result.tables == {"appearance_confusion": [], "motion_confusion": []}


def test_clips_count_by_themselves_and_videos_by_their_mean_probabilities(cfg):
    """Two views err slightly, in the motion; the third is sure and right."""
    label, wrong = class_of(0, 0), class_of(0, 1)
    slightly = [0.0] * 12
    slightly[wrong] = 0.1
    surely = [0.0] * 12
    surely[label] = 9.0
    result = factor_errors(cfg, [(label, [slightly, slightly, surely])])
    assert figures(result, "clip")["motion_errors"] == pytest.approx(200 / 3)
    assert figures(result, "clip")["appearance_accuracy"] == 100
    assert figures(result, "video")["joint_accuracy"] == 100


def test_ties_count_in_parts_as_guessing_would(cfg):
    """Between the right class and one with the wrong motion: half a motion error. All classes alike: chance."""
    label = class_of(1, 1)
    result = factor_errors(cfg, [(label, [best(label, class_of(1, 3))])])
    assert figures(result)["joint_accuracy"] == figures(result)["motion_errors"] == 50
    assert result.tables["motion_confusion"] == [{"true": "shape 1", "predicted": "shape 3", "videos": 0.5}]
    found = figures(factor_errors(cfg, [(k, [[0.0] * 12]) for k in range(12)]))
    assert found["joint_accuracy"] == pytest.approx(100 / 12)
    assert found["appearance_accuracy"] == pytest.approx(100 / 3)
    assert found["motion_accuracy"] == pytest.approx(100 / 4)


def test_errors_and_accuracy_make_a_hundred(cfg):
    generator = torch.Generator().manual_seed(0)
    videos = [(int(i) % 12, torch.randint(3, (3, 12), generator=generator).double().tolist()) for i in range(40)]
    result = factor_errors(cfg, videos)
    for level in ("clip", "video"):
        found = figures(result, level)
        total = found["joint_accuracy"] + found["appearance_errors"] + found["motion_errors"] + found["both_errors"]
        assert total == pytest.approx(100, abs=1e-9)
        assert found["appearance_accuracy"] == pytest.approx(found["joint_accuracy"] + found["motion_errors"])


def test_intervals_and_counts(cfg):
    label = class_of(0, 0)
    videos = [(label, [best(label if i < 80 else class_of(2, 0))]) for i in range(100)] + [(None, [best(0)])] * 3
    result = factor_errors(cfg, videos)
    (figure,) = (f for f in result.figures if (f.name, f.level, f.variant) == ("appearance_errors", "video", "reverse"))
    assert (figure.value, figure.unit, figure.count) == (20, "%", 100)
    low, high = figure.interval
    assert high - low == pytest.approx(2 * 1.96 * 4, rel=0.25)  # a share of 20 % of 100 videos: deviation 4 %
    assert "3 videos without a label" in figure.note


def test_the_confusion_is_cut_after_twenty_pairs(cfg):
    """Class i, taken for class i + 1, i times: the rarest ones are left out."""
    names = [f"place {k} + motion 0" for k in range(30)]
    videos = [
        (k, [[5.0 if other == (k + 1) % 30 else 0.0 for other in range(30)]]) for k in range(30) for _ in range(k)
    ]
    tables = factor_errors(cfg, videos, names).tables
    assert [row["videos"] for row in tables["appearance_confusion"]] == list(range(29, 9, -1))
    assert tables["appearance_confusion"][0] == {"true": "place 29", "predicted": "place 0", "videos": 29}
    assert tables["motion_confusion"] == []


def test_the_motion_comes_after_the_last_plus(cfg):
    names = ["rock + roll + motion 0", "rock + roll + motion 1"]
    found = factor_errors(cfg, [(0, [[0.0, 1.0]])], names)
    assert figures(found)["motion_errors"] == 100


@pytest.mark.parametrize(
    ("names", "num_classes", "reason"),
    [
        ([], 2, "have no names"),
        (["walk", "run"], 2, "'walk' is not one of appearance and motion"),
        (["brush 0 + shape 0", "brush 1"], 2, "'brush 1'"),
        (NAMES, 13, "13 classes apart, and 12 have names"),
    ],
)
def test_classes_that_cannot_be_taken_apart(cfg, names, num_classes, reason):
    result = factor_errors(cfg, [(0, [[0.0] * num_classes])], names, num_classes)
    assert reason in result.not_applicable
    assert not result.figures
    assert not result.tables


PARTS = [{"appearance": brush, "motion": shape} for brush in ("red", "blue") for shape in (7, 8)]


def test_attributes_say_what_the_parts_of_a_class_are(cfg):
    """Classes 0 to 3 are red 7, red 8, blue 7, blue 8, whatever they are called: one video of each is taken for class
    0."""
    videos = [(label, [[5.0, 0.0, 0.0, 0.0]]) for label in range(4)]
    for names in ([], ["a", "b", "c", "d"], ["a + b", "a + c", "d + e", "d + f"]):
        result = factor_errors(cfg, videos, names, num_classes=4, attributes=PARTS)
        found = figures(result)
        assert [found[f"{what}_errors"] for what in ("appearance", "motion", "both")] == [25, 25, 25]
        assert result.tables["motion_confusion"] == [{"true": 8, "predicted": 7, "videos": 2}]


@pytest.mark.parametrize(
    "attributes",
    [
        [*PARTS[:3], PARTS[2]],  # class 3 is blue 7, too, and there is another
        [*PARTS[:3], {"appearance": "blue"}],
        [*PARTS[:3], {}],
    ],
)
def test_names_say_it_where_attributes_do_not(cfg, attributes):
    videos = [(min(label, 2), [[5.0, 0.0, 0.0, 0.0]]) for label in range(4)]
    found = figures(factor_errors(cfg, videos, ["a + b", "a + c", "d + b", "d + c"], attributes=attributes))
    assert (found["joint_accuracy"], found["motion_errors"], found["appearance_errors"]) == (25, 25, 50)
    reason = factor_errors(cfg, videos, [], num_classes=4, attributes=attributes).not_applicable
    assert "have no names" in reason
    assert "attributes 'appearance' and 'motion'" in reason


def test_videos_without_labels(cfg):
    assert "None of the 2 videos has a label" in factor_errors(cfg, [(None, [best(0)])] * 2).not_applicable
