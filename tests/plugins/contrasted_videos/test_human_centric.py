"""Background Only, Human Only and Action Swap: models that see the actor alone, or the place alone."""

import pytest

from pvbias.errors import ConfigError
from pvbias.plugins.contrasted_videos import ActionSwapAccuracy, HumanBackgroundAccuracy
from pvbias.video import BadVideoError

from .toys import Dynamic, OfPlace, Squares, Static, config, figures, recognizer

CHANCE = pytest.approx(100 / 6)


@pytest.mark.parametrize(("module", "of_background", "of_human"), [(OfPlace, 100, CHANCE), (Static, CHANCE, 100)])
def test_the_place_alone_and_the_actor_alone(tmp_path, module, of_background, of_human):
    found, _ = figures(HumanBackgroundAccuracy(config(), recognizer(module()), ()), tmp_path, Squares("colour"))
    assert found["top1", "video", "original"] == 100
    assert found["top1", "video", "background_only"] == of_background
    assert found["top1", "clip", "human_only"] == of_human


def swapped(tmp_path, module, source, swaps=("same", "random"), align=True):
    cfg = config()
    cfg.CONTRASTED.SWAPS, cfg.CONTRASTED.ALIGN = list(swaps), align
    return figures(ActionSwapAccuracy(cfg, recognizer(module()), ()), tmp_path, source)


@pytest.mark.parametrize("align", [True, False])
def test_who_goes_by_the_place_finds_the_donors_class(tmp_path, align):
    found, _ = swapped(tmp_path, OfPlace, Squares("colour"), align=align)
    swap = "action_swap" if align else "action_swap(aligned=False)"
    same = swap.replace("action_swap", "action_swap(donor=same)") if align else "action_swap(donor=same, aligned=False)"
    assert found["top1", "video", same] == 100
    assert ("background_error", "video", same) not in found
    assert found["top1", "video", swap] == 0
    assert found["background_error", "video", swap] == found["background_error", "clip", swap] == 100


def test_who_goes_by_the_actor_is_right(tmp_path):
    found, _ = swapped(tmp_path, Static, Squares("colour"))
    assert found["top1", "video", "action_swap"] == 100
    assert found["background_error", "video", "action_swap"] == 0


def test_motion_survives_where_the_actor_stays_in_its_place(tmp_path):
    found, _ = swapped(tmp_path, Dynamic, Squares("way"), ["random"], align=False)
    assert found["top1", "video", "action_swap(aligned=False)"] == 75


def test_videos_without_a_donor_are_left_out(tmp_path):
    source = Squares("colour", unlabelled=[4, 8, 12])  # 0 is alone in its class
    _, result = swapped(tmp_path, Static, source)
    note = "3 videos without a label are left out; 1 videos without another video for their background are left out"
    assert {(figure.count, figure.note) for figure in result.figures} == {(12, note)}


class OneBroken(Squares):
    """The masks of a video of each class cannot be read."""

    def open_mask(self, record):
        if record.name in ("4.mp4", "5.mp4", "6.mp4", "7.mp4"):
            raise BadVideoError("missing", "no mask")
        return super().open_mask(record)


def test_a_donor_that_cannot_be_read_gives_way_to_the_next(tmp_path):
    """Whose class is then the one that the background gives away; the others are measured all the same."""
    cfg = config()
    cfg.CONTRASTED.SWAPS = ["random"]
    found, result = figures(ActionSwapAccuracy(cfg, recognizer(OfPlace()), ()), tmp_path, OneBroken("colour"))
    assert {figure.count for figure in result.figures} == {12}
    assert found["background_error", "video", "action_swap"] == 100


def test_a_kind_of_donor_that_there_is_not(tmp_path):
    with pytest.raises(ConfigError, match=r"CONTRASTED\.SWAPS = \['near'\]: some of same, random, close, far, pairs"):
        swapped(tmp_path, Static, Squares("colour"), ["near"])


def paired(tmp_path, module, source, donors):
    """Figures of a model on pairs, and what their notes say."""
    (tmp_path / "pairs.csv").write_text("".join(f"{video}.mp4,{donor}.mp4\n" for video, donor in donors))
    cfg = config()
    cfg.CONTRASTED.SWAPS, cfg.CONTRASTED.PAIRS = ["pairs"], str(tmp_path / "pairs.csv")
    found, result = figures(ActionSwapAccuracy(cfg, recognizer(module()), ()), tmp_path, source)
    by_name = {name: value for (name, level, _), value in found.items() if level == "video"}
    return by_name, {(figure.count, figure.note) for figure in result.figures}


def test_pairs_of_one_class_have_no_background_error(tmp_path):
    """Such as HAT's lists of the same class, where who is right would be wrong."""
    source = Squares("colour")  # the class is the number modulo 4
    found, notes = paired(tmp_path, Static, source, [(video, (video + 4) % 16) for video in range(16)])
    assert (found, notes) == ({"top1": 100}, {(16, "")})
    donors = [(video, (video + (4 if video < 6 else 1)) % 16) for video in range(16)]
    found, notes = paired(tmp_path, Static, source, donors)
    assert found == {"top1": 100, "background_error": 0}
    assert notes == {(10, "6 videos whose background is of their own class (pairs) are left out")}
