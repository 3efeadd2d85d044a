"""Modulations: what each does to the frames, and that randomness belongs to the clip."""

import copy
import pickle
from collections import Counter
from itertools import permutations

import pytest
import torch

from pvbias.clips import ORIGINAL, Rearrangement, gather_frames, shuffled_order
from pvbias.registries import MODULATION
from pvbias.tools.main import main

CHANNELS_LAST = torch.channels_last_3d


def numbered_clips(num_clips: int = 3, num_frames: int = 5) -> torch.Tensor:
    """uint8 clips (N, 3, T, 2, 4) whose every pixel is ``10 * clip + frame``."""
    numbers = 10 * torch.arange(num_clips)[:, None] + torch.arange(num_frames)
    return numbers[:, None, :, None, None].expand(-1, 3, -1, 2, 4).to(torch.uint8).contiguous()


def frame_numbers(clips: torch.Tensor) -> list[list[int]]:
    """The numbers that :func:`numbered_clips` wrote, after checking that frames are still uniform."""
    assert torch.equal(clips, clips[:, :1, :, :1, :1].expand_as(clips))
    return clips[:, 0, :, 0, 0].tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (ORIGINAL, [0, 1, 2, 3, 4]),
        ("reverse", [4, 3, 2, 1, 0]),
        ("freeze_first", [0, 0, 0, 0, 0]),
        ("freeze_middle", [2, 2, 2, 2, 2]),
    ],
)
def test_fixed_modulations(name, expected):
    clips = numbered_clips(num_clips=2)
    assert frame_numbers(MODULATION.get(name)(clips, [7, 8])) == [expected, [10 + frame for frame in expected]]


def test_freeze_random_repeats_one_frame_and_reaches_all():
    frozen = frame_numbers(MODULATION.get("freeze_random")(numbered_clips(1).expand(200, -1, -1, -1, -1), range(200)))
    assert all(len(set(frames)) == 1 for frames in frozen)
    assert {frames[0] for frames in frozen} == {0, 1, 2, 3, 4}


def test_shuffle_permutes_each_clip_by_itself_and_is_never_the_identity():
    clips = numbered_clips(1, 4).expand(300, -1, -1, -1, -1)
    shuffled = frame_numbers(MODULATION.get("shuffle")(clips, range(300)))
    assert all(sorted(frames) == [0, 1, 2, 3] and frames != [0, 1, 2, 3] for frames in shuffled)
    assert len({tuple(frames) for frames in shuffled}) == 23


def test_shuffled_order_is_uniform_over_the_other_permutations():
    draws = 5 * 400
    counts = Counter(tuple(shuffled_order(3, seed).tolist()) for seed in range(draws))
    assert set(counts) == set(permutations(range(3))) - {(0, 1, 2)}
    chi_square = sum((count - draws / 5) ** 2 / (draws / 5) for count in counts.values())
    assert chi_square < 18.5  # 99.9 % quantile with 4 degrees of freedom


def test_two_frames_are_swapped_and_one_stays():
    assert shuffled_order(2, 3).tolist() == [1, 0]
    assert shuffled_order(1, 3).tolist() == [0]


@pytest.mark.parametrize("name", ["shuffle", "freeze_random"])
def test_a_clips_variant_depends_on_its_seed_alone(name):
    clips, seeds = numbered_clips(4), [11, 12, 13, 14]
    together = MODULATION.get(name)(clips, seeds)
    torch.manual_seed(99)
    backwards = MODULATION.get(name)(clips.flip(0), seeds[::-1]).flip(0)
    alone = torch.cat([MODULATION.get(name)(clip[None], [seed]) for clip, seed in zip(clips, seeds, strict=True)])
    assert torch.equal(together, backwards)
    assert torch.equal(together, alone)


@pytest.mark.parametrize("name", MODULATION.names())
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_modulations_keep_shape_type_layout_and_their_input(name, dtype):
    clips = torch.randint(0, 256, (2, 3, 4, 5, 6)).to(dtype)
    for layout in (torch.contiguous_format, CHANNELS_LAST):
        given = clips.contiguous(memory_format=layout)
        result = MODULATION.get(name)(given, [1, 2])
        assert result.shape == clips.shape
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=layout)
        assert torch.equal(given, clips)


def test_gather_frames_takes_each_clips_own_frames():
    gathered = gather_frames(numbered_clips(2), torch.tensor([[4, 0, 0], [1, 3, 2]]))
    assert frame_numbers(gathered) == [[4, 0, 0], [11, 13, 12]]


REARRANGEMENTS = [ORIGINAL, "reverse", "shuffle", "freeze_first", "freeze_middle", "freeze_random"]


@pytest.mark.parametrize("name", REARRANGEMENTS)
def test_a_rearrangement_says_which_frames_it_takes(name):
    modulation, seeds = MODULATION.get(name), [21, 22, 23]
    assert isinstance(modulation, Rearrangement)
    frames = modulation.frames(5, seeds)
    assert (frames.dtype, frames.shape) == (torch.int64, (3, 5))
    numbers = frame_numbers(modulation(numbered_clips(3), seeds))
    assert (frames + 10 * torch.arange(3)[:, None]).tolist() == numbers


@pytest.mark.parametrize("name", REARRANGEMENTS)
def test_rearrangements_travel_to_worker_processes_by_name(name):
    modulation = MODULATION.get(name)
    assert pickle.loads(pickle.dumps(modulation)) is modulation
    assert copy.deepcopy(modulation) is modulation
    assert len(pickle.dumps(modulation)) < 100
    assert MODULATION.origin(name) == "pvbias.clips.modulations"


def test_random_rearrangements_draw_what_they_always_have():
    """Variants of one version are those of another: results stay comparable."""
    assert MODULATION.get("freeze_random").frames(8, [0, 1, 2, 3])[:, 0].tolist() == [4, 5, 0, 2]
    assert MODULATION.get("shuffle").frames(4, [0, 1]).tolist() == [[0, 1, 3, 2], [1, 3, 2, 0]]


def test_a_plugins_own_rearrangement():
    @Rearrangement
    def by_twos(num_frames, seed):
        """Every frame twice."""
        return torch.arange(num_frames) // 2

    assert frame_numbers(by_twos(numbered_clips(2), [0, 0])) == [[0, 0, 1, 1, 2], [10, 10, 11, 11, 12]]
    assert by_twos.__doc__ == "Every frame twice."


def test_the_list_shows_what_they_are(capsys):
    assert main(["list", "modulations"]) == 0
    text = capsys.readouterr().out
    assert "The frames of each clip in reversed order." in text
    assert "Each clip's middle frame (``T // 2``), repeated." in text
