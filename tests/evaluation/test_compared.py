"""What original clips are compared with: the evaluator's own modulations, and BIAS.MODULATIONS."""

import pytest

from pvbias.clips import Freeze, Shuffle
from pvbias.config import load_cfg
from pvbias.errors import ConfigError
from pvbias.evaluation.compared import compared_modulations


def compared(overrides=()):
    cfg = load_cfg(None, overrides)
    return compared_modulations(cfg, Freeze(frame=cfg.BIAS.FREEZE_FRAME), Shuffle())


def test_by_default_the_evaluators_own():
    assert compared() == {"freeze_middle": ("freeze_middle",), "shuffle": ("shuffle",)}


def test_further_ones_come_behind_and_none_comes_twice():
    specs = "[shuffle(segments=4), shuffle, freeze(frame=middle), 'shuffle_within( segments=2 )']"
    assert list(compared(["BIAS.MODULATIONS", specs])) == [
        "freeze_middle", "shuffle", "shuffle(segments=4)", "shuffle_within(segments=2)"
    ]  # fmt: skip


def test_clips_frozen_to_a_random_frame_are_several_of_it():
    found = compared(["BIAS.FREEZE_FRAME", "random", "BIAS.FREEZE_DRAWS", "3"])
    draws = ("freeze_random", "freeze(frame=random, draw=1)", "freeze(frame=random, draw=2)")
    assert found == {"freeze_random": draws, "shuffle": ("shuffle",)}
    found = compared(["BIAS.MODULATIONS", "[freeze_random]", "BIAS.FREEZE_DRAWS", "3"])
    assert (found["freeze_middle"], found["freeze_random"]) == (("freeze_middle",), draws)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BIAS: {MODULATIONS: [shufle]}", r"BIAS.MODULATIONS: .*'shufle'. Did you mean 'shuffle'"),
        ("BIAS: {MODULATIONS: [shuffle(segment=4)]}", "BIAS.MODULATIONS: shuffle has no parameter 'segment'"),
        ("BIAS: {MODULATIONS: ['freeze(frame=last)']}", "BIAS.MODULATIONS: freeze: frame cannot be 'last'"),
        ("BIAS: {MODULATIONS: [freeze(frame=random, draw=1)]}", "one with a comma takes quotation marks"),
        ("BIAS: {MODULATIONS: [4]}", r"BIAS.MODULATIONS = \[4\] must be a list of modulations"),
        ("BIAS: {MODULATIONS: [reverse, original]}", "BIAS.MODULATIONS = .* has 'original', the clips that the others"),
        ("BIAS: {MODULATIONS: [shuffle(segments=9)]}\nDATA: {NUM_FRAMES: 8}",
         r"BIAS.MODULATIONS: shuffle\(segments=9\): clips of 8 frames do not have 9 segments"),
        ("DATA: {NUM_FRAMES: 4, MODULATION: shuffle_within}", "DATA.MODULATION: shuffle_within: clips of 4 frames"),
        ("BIAS: {FREEZE_DRAWS: 2}", "BIAS.FREEZE_DRAWS = 2 needs random frames, and BIAS.FREEZE_FRAME = 'middle'"),
        ("BIAS: {FREEZE_DRAWS: 9, FREEZE_FRAME: random}\nDATA: {NUM_FRAMES: 8}",
         "BIAS.FREEZE_DRAWS = 9 is larger than DATA.NUM_FRAMES = 8"),
    ],
)  # fmt: skip
def test_wrong_ones_are_errors_when_the_file_is_read(tmp_path, text, message):
    file = tmp_path / "measure.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as found:
        load_cfg(file)
    assert str(file) in str(found.value)
