"""Contrasted accuracy of models that are known to go by appearance alone, or by motion alone."""

import pytest
import torch

from pvbias.data import build_test_loader
from pvbias.errors import ConfigError
from pvbias.evaluation.accuracy import Accuracy
from pvbias.evaluation.runner import check_needs
from pvbias.needs import Needs
from pvbias.plugins.contrasted_videos import ContrastedAccuracy, contrast_credit

from .toys import Dynamic, Guessing, Squares, Static, config, figures, recognizer


def measured(tmp_path, module, source, **options):
    return figures(ContrastedAccuracy(config(**options), recognizer(module), ()), tmp_path, source)


@pytest.mark.parametrize("level", ["clip", "video"])
def test_a_static_model_has_none(tmp_path, level):
    found, _ = measured(tmp_path, Static(), Squares("colour"))
    assert found["top1", level, "scuba"] == found["top1", level, "scufo"] == 100
    assert found["contrasted_accuracy", level, "scuba"] == 0


@pytest.mark.parametrize("level", ["clip", "video"])
def test_a_dynamic_model_has_its_accuracy(tmp_path, level):
    found, _ = measured(tmp_path, Dynamic(), Squares("way"))
    assert found["top1", level, "scuba"] == found["contrasted_accuracy", level, "scuba"] == 75
    assert found["top1", level, "scufo"] == 0


def test_guessing_has_none(tmp_path):
    found, _ = measured(tmp_path, Guessing(), Squares("way"))
    assert found["top1", "video", "scuba"] == pytest.approx(100 / 6)
    assert found["contrasted_accuracy", "video", "scuba"] == 0


def test_videos_without_a_label_or_an_actor_are_left_out(tmp_path):
    _, result = measured(tmp_path, Dynamic(), Squares("way", unlabelled=[15], empty=[0, 1, 2]))
    assert {figure.count for figure in result.figures} == {12}
    note = "1 videos without a label are left out; 3 videos whose mask is empty are left out"
    assert {figure.note for figure in result.figures} == {note}
    _, result = measured(tmp_path, Dynamic(), Squares("way", empty=range(16)))
    assert result.not_applicable == "There is no video to count: 16 videos whose mask is empty are left out."


def test_where_there_is_no_other_class_there_is_no_background_of_one(tmp_path):
    source = Squares("colour")
    source.records = [record for record in source.records if record.label == 2]
    cfg = config()
    cfg.CONTRASTED.BACKGROUNDS = ["frames"]
    _, result = figures(ContrastedAccuracy(cfg, recognizer(Static()), ()), tmp_path, source)
    assert "4 videos without another video for their background" in result.not_applicable


@pytest.mark.parametrize("names", [[], ["stripes", "stripe"]])
def test_backgrounds_that_there_are_not(names):
    cfg = config()
    cfg.CONTRASTED.BACKGROUNDS = names
    with pytest.raises(ConfigError, match=r"CONTRASTED\.BACKGROUNDS = .*: some of stripes, images, frames"):
        ContrastedAccuracy(cfg, recognizer(Static()), ())


def test_batches_and_workers_change_nothing(tmp_path):
    one, _ = measured(tmp_path, Dynamic(), Squares("way"), batch_size=1)
    assert one == measured(tmp_path, Dynamic(), Squares("way"), batch_size=7)[0]


def test_videos_without_masks_are_refused(tmp_path):
    source = Squares("way")
    source.open_mask = None
    unmasked = type(
        "Unmasked", (), {"records": source.records, "class_names": (), "description": "", "open": source.open}
    )
    with pytest.raises(ConfigError, match=r"DATA\.MASK_DIR is empty, and masks are needed"):
        measured(tmp_path, Dynamic(), unmasked())


@pytest.mark.parametrize("modality", ["flow", "rgb+flow"])
@pytest.mark.parametrize(
    "spec", ["scuba", "scufo", "background_only", "human_only", "action_swap", "appearance_free", "restyle"]
)
def test_clips_of_flow_are_refused_whoever_asks(modality, spec):
    """Flow is coded in three channels, as RGB is, and stripes or noise would be taken for motion."""
    cfg = config()
    cfg.DATA.MODALITY = modality
    asking = Accuracy(cfg, recognizer(Static()), ())
    asking.needs = Needs(modulations=("original", spec))
    with pytest.raises(ConfigError, match=rf"^{spec} is for clips that show RGB, and DATA\.MODALITY = '{modality[:3]}"):
        check_needs(Squares("way"), {"accuracy": asking})
    if (spec, modality) == ("restyle", "flow"):
        cfg.DATA.MODULATION = spec
        with pytest.raises(ConfigError, match="restyle is for clips that show RGB"):
            build_test_loader(cfg, Squares("way"), rank=0, world_size=1, split="test")


def test_networks_of_flow_are_refused():
    cfg = config()
    cfg.DATA.MODALITY = "flow"
    with pytest.raises(ConfigError, match=r"makes clips of RGB, and DATA\.MODALITY = 'flow'"):
        ContrastedAccuracy(cfg, recognizer(Static()), ())


@pytest.mark.parametrize(
    ("moving", "still", "expected"),
    [
        ([1.0, 0, 0], [0, 1.0, 0], 1),  # right, then wrong
        ([1.0, 0, 0], [1.0, 0, 0], 0),
        ([0, 1.0, 0], [0, 1.0, 0], 0),
        ([1.0, 1, 0], [0, 1.0, 0], 1 / 2),  # right half of the time
        ([1.0, 0, 0], [1.0, 1, 0], 1 / 2),  # wrong half of the time
        ([1.0, 1, 0], [1.0, 1, 0], 0),  # the same order both times
        ([1.0, 1, 0], [1.0, 0, 1], 1 / 2 - 1 / 3),  # before class 1 and behind class 2: 2 0 1, one of 6 orders
    ],
)
def test_ties_are_broken_alike_on_both_clips(moving, still, expected):
    credit = contrast_credit(torch.tensor([moving, moving]), torch.tensor([still, still]), 0)
    assert credit.tolist() == pytest.approx([expected, expected])
