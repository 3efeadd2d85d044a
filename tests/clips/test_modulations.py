"""The contract of modulations: specs, parameters, names, labels, and that randomness belongs to the clip."""

import copy
import pickle
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from pvbias.clips import (
    ORIGINAL,
    Freeze,
    Modulation,
    Rearrangement,
    Shuffle,
    gather_frames,
    modulation,
    modulation_label,
    parameter,
    view_seeds,
)
from pvbias.errors import ConfigError
from pvbias.registries import MODULATION
from pvbias.tools.main import main

from .numbered import frame_numbers, numbered_clips

#: Each registered one that takes clips alone, and some with parameters.
SPECS = [
    *(name for name in MODULATION.names() if not modulation(name).tracks),
    "freeze(frame=random, draw=2)",
    "shuffle(segments=2)",
    "shuffle_within(segments=2)",
]


@pytest.fixture
def registry():
    restore = MODULATION.snapshot()
    yield MODULATION
    restore()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_modulations_keep_shape_type_layout_and_their_input(spec, dtype):
    clips = torch.randint(0, 256, (2, 3, 8, 5, 7)).to(dtype)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        given = clips.contiguous(memory_format=layout)
        result = modulation(spec)(given, [1, 2])
        assert result.shape == clips.shape
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=layout)
        assert torch.equal(given, clips)


@pytest.mark.parametrize("spec", SPECS)
def test_a_modulated_clip_depends_on_its_seed_alone(spec):
    clips, seeds = numbered_clips(4, 8), [11, 12, 13, 14]
    together = modulation(spec)(clips, seeds)
    torch.manual_seed(99)
    backwards = modulation(spec)(clips.flip(0), seeds[::-1]).flip(0)
    alone = torch.cat([modulation(spec)(clip[None], [seed]) for clip, seed in zip(clips, seeds, strict=True)])
    assert torch.equal(together, backwards)
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("shuffle", "shuffle"),
        ("shuffle()", "shuffle"),
        ("shuffle(segments=0)", "shuffle"),
        (" shuffle ( segments = 4 ) ", "shuffle(segments=4)"),
        ("freeze", "freeze_middle"),
        ("freeze(frame=first)", "freeze_first"),
        ("freeze(frame='middle')", "freeze_middle"),
        ('freeze(draw=0,frame="random")', "freeze_random"),
        ("freeze(draw=3, frame=random)", "freeze(frame=random, draw=3)"),
    ],
)
def test_one_modulation_has_one_name_however_it_is_written(text, spec):
    """Under the names that results have had before there were parameters."""
    made = modulation(text)
    assert made.spec == spec
    assert modulation(spec) == made
    assert made != modulation("reverse")


@pytest.mark.parametrize("spec", ["original", "shuffle", "reverse", "freeze_first", "freeze_middle", "freeze_random"])
def test_the_names_of_earlier_results_stay(spec):
    assert modulation(spec).spec == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shufle", "'shufle'.* Did you mean 'shuffle'"),
        ("freeze(fram=first)", "freeze has no parameter 'fram'. Did you mean 'frame'"),
        ("freeze(frame=midle)", "freeze: frame cannot be 'midle'. Did you mean 'middle'"),
        ("freeze(frame=7)", "freeze: frame cannot be '7'. Known: first, middle, random"),
        ("freeze(frame=random, draw=-1)", "draw must be a whole number, at least 0, not -1"),
        ("freeze(frame=random, draw=1.5)", "draw must be a whole number, at least 0, not '1.5'"),
        ("freeze(draw=1)", "draw=1 counts random frames, and frame=middle is none"),
        ("freeze(frame=first, frame=first)", "frame is given twice"),
        ("freeze(first)", "'first' is not of the form PARAMETER=VALUE"),
        ("freeze(frame=first,)", "'' is not of the form"),
        ("freeze_first(frame=random)", "freeze_first takes no parameters, and 'frame'"),
        ("freeze(frame=random", "NAME.PARAMETER=VALUE, ....* In a YAML list, one with a comma takes quotation marks"),
        ("freeze frame", "is no modulation: write NAME or NAME"),
        ("", "'' is no modulation"),
        ("shuffle(segments=1)", "0 or at least 2, not 1"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(spec, message):
    with pytest.raises(ConfigError, match=message):
        modulation(spec)


def test_parameters_are_checked_from_python_too():
    with pytest.raises(ConfigError, match="frame cannot be 'last'"):
        Freeze(frame="last")
    with pytest.raises(ConfigError, match="segments must be a whole number, at least 0, not True"):
        Shuffle(segments=True)


@dataclass(frozen=True)
class Fade(Modulation):
    """Frames that get darker: factor 1, ``rate``, ``rate`` ** 2, ..."""

    rate: float = parameter(0.5, "factor from frame to frame", at_least=0)
    inverse: bool = parameter(False, "the last frame is the bright one")

    @property
    def label(self):
        """What a clip then is."""
        return f"faded by {self.rate:g}"

    def __call__(self, clips, seeds):
        """The faded clips."""
        factors = self.rate ** torch.arange(clips.shape[2]).float()
        factors = factors.flip(0) if self.inverse else factors
        return (clips * factors[:, None, None]).to(clips.dtype)


def test_a_plugins_modulation_with_parameters(registry):
    registry.register(Fade, name="fade")
    registry.register(Fade(rate=0.1), name="blackout")
    made = modulation("fade(rate=2, inverse=true)")
    assert made == Fade(rate=2.0, inverse=True) == Fade(rate=2, inverse=True)
    assert made.spec == Fade(rate=2, inverse=True).spec == "fade(rate=2.0, inverse=True)"
    assert (modulation("fade").spec, modulation("fade(rate=0.1)").spec) == ("fade", "blackout")
    assert made.label == "faded by 2"
    assert modulation("fade")(torch.full((1, 3, 3, 1, 1), 8), [0])[0, 0, :, 0, 0].tolist() == [8, 4, 2]
    assert made(torch.full((1, 3, 3, 1, 1), 8), [0])[0, 0, :, 0, 0].tolist() == [32, 16, 8]
    for wrong, why in (("rate=nan", "a number, at least 0, not nan"), ("inverse=1", "True or False, not '1'")):
        with pytest.raises(ConfigError, match=why):
            modulation(f"fade({wrong})")


def test_a_plain_function_is_a_modulation_without_parameters(registry):
    def upside_down(clips, seeds):
        return clips.flip(3)

    registry.register(upside_down)
    made = modulation("upside_down")
    clips = torch.arange(24).reshape(1, 1, 2, 3, 4)
    assert torch.equal(made(clips, [0]), clips.flip(3))
    assert (made.spec, made.label, made.registered) == ("upside_down", "upside down", upside_down)
    assert made == modulation("upside_down()")
    assert not isinstance(made, Rearrangement)
    with pytest.raises(ConfigError, match="upside_down takes no parameters, and 'axis'"):
        modulation("upside_down(axis=3)")


def test_a_class_that_is_no_dataclass_says_so(registry):
    class Hold(Rearrangement):
        step: int = parameter(2, "frames")

        def order(self, num_frames, seed):
            return torch.arange(num_frames) // self.step * self.step

    registry.register(Hold, name="hold")
    with pytest.raises(TypeError, match=r"Hold.step is no parameter: .*@dataclass\(frozen=True\)"):
        modulation("hold")


def test_labels():
    labels = {
        ORIGINAL: "original",
        "reverse": "played backwards",
        "shuffle": "shuffled",
        "shuffle(segments=4)": "cut into 4 shuffled segments",
        "shuffle_within": "shuffled inside each of 4 segments",
        "freeze(frame=first)": "frozen to its first frame",
        "freeze_middle": "frozen to its middle frame",
        "freeze_random": "frozen to one of its frames",
        "freeze(frame=random, draw=2)": "frozen to one of its frames (draw 2)",
        "subsample(step=3)": "reduced to one frame in 3",
        # measured with a plugin that is not here
        "of_the_lab(size=3)": "of the lab(size=3)",
    }
    assert {spec: modulation_label(spec) for spec in labels} == labels


@pytest.mark.parametrize("spec", SPECS)
def test_modulations_travel_to_worker_processes(spec):
    made = modulation(spec)
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made
    assert hash(copy.copy(made)) == hash(made)


def test_a_process_whose_registry_is_empty_can_use_one():
    """As a spawned worker's is of plugins: here even of what the core registers."""
    code = (
        "import pickle, sys, pvbias.clips; from pvbias.registries import MODULATION; MODULATION._obj_map.clear();"
        "print(pickle.loads(sys.stdin.buffer.read()).frames(4, [0, 1]).tolist())"
    )
    sent = pickle.dumps(modulation("shuffle(segments=2)"))
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True, timeout=120)
    assert done.stdout.decode().strip() == "[[2, 3, 0, 1], [2, 3, 0, 1]]"


def test_gather_frames_takes_each_clips_own_frames():
    gathered = gather_frames(numbered_clips(2), torch.tensor([[4, 0, 0], [1, 3, 2]]))
    assert frame_numbers(gathered) == [[4, 0, 0], [11, 13, 12]]


def test_the_list_shows_parameters_and_labels(capsys):
    assert main(["list", "modulations"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "reverse: played backwards The frames of each clip in reversed order. from pvbias.clips" in text
    assert "freeze: frozen to its middle frame One frame of each clip, repeated. frame=middle (one of first," in text
    assert "freeze_first: frozen to its first frame One frame of each clip, repeated. the same as freeze(fr" in text
    assert "segments=4 (a whole number, at least 2): parts of a clip that keep their places" in text


def test_the_seed_of_a_view_is_of_the_run_the_video_the_view_and_the_purpose():
    """The same numbers as ever: results stay comparable."""
    seeds = view_seeds(0, "a.mp4", 3)
    assert seeds == [2318506628984693861, 3030096929334652981, 641308122870978923]
    assert view_seeds(0, "a.mp4", 3, first=1) == seeds[1:]
    others = view_seeds(1, "a.mp4", 3) + view_seeds(0, "b.mp4", 3) + view_seeds(0, "a.mp4", 3, purpose="x/")
    assert len({*seeds, *others}) == 12
