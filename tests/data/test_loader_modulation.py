"""DATA.MODULATION: every clip goes through it before anything else sees it."""

import pytest
import torch

from pvbias.clips import Shuffle, shuffled_order, view_seeds
from pvbias.config import load_cfg
from pvbias.data import build_source, build_test_loader, build_train_loader
from pvbias.errors import ConfigError

from ..video.videos import data_cfg, frame_number, write_video

FRAMES = 8


@pytest.fixture(scope="module")
def annotation(tmp_path_factory):
    """Eight videos whose frames tell their numbers."""
    folder = tmp_path_factory.mktemp("numbered")
    for number in range(8):
        write_video(folder / f"v{number}.mp4", 30, size=(32, 32))
    file = folder / "all.csv"
    file.write_text("".join(f"v{number}.mp4 {number % 3}\n" for number in range(8)))
    return file


def configured(annotation, modulation, *, workers=0, flip=True):
    sizes = {"TRAIN_CROP_SIZE": 32, "TEST_CROP_SIZE": 32, "TEST_SHORT_SIDE": 32, "TRAIN_JITTER_SCALES": [32, 32]}
    cfg = data_cfg(annotation, NUM_FRAMES=FRAMES, SAMPLING_RATE=1, MODULATION=modulation, RANDOM_FLIP=flip, **sizes)
    cfg.TEST.NUM_SPATIAL_CROPS = 1
    cfg.DATA_LOADER.NUM_WORKERS = workers
    return cfg


def views(annotation, modulation, *, rank=0, world_size=1, workers=0):
    cfg = configured(annotation, modulation, workers=workers)
    loader = build_test_loader(cfg, build_source(cfg, "test"), rank=rank, world_size=world_size)
    return {video.record.name: video.clips for video in loader}


def batches(annotation, modulation, *, epoch=0, flip=True, workers=0, rank=0, world_size=1):
    cfg = configured(annotation, modulation, workers=workers, flip=flip)
    loader = build_train_loader(cfg, build_source(cfg, "train"), rank=rank, world_size=world_size)
    return list(loader.epoch(epoch))


def numbers(clip):
    """The numbers that the frames of a clip ``(C, T, H, W)`` tell."""
    return [frame_number(frame) for frame in clip.permute(1, 2, 3, 0).numpy()]


def test_clips_are_as_they_are_by_default(annotation):
    assert load_cfg().DATA.MODULATION == "original"
    for clips in views(annotation, "original").values():
        # 30 frames, clips of 8: the first and the last ones.
        assert [numbers(clip) for clip in clips] == [list(range(8)), list(range(22, 30))]


@pytest.mark.parametrize(
    ("modulation", "order"),
    [("reverse", range(FRAMES - 1, -1, -1)), ("freeze_first", [0] * FRAMES), ("freeze_middle", [4] * FRAMES)],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_training_and_testing_see_the_modulated_clips(annotation, modulation, order, workers):
    """The same clips, crops and mirrorings as without, in the other order."""
    order = list(order)
    plain, changed = views(annotation, "original"), views(annotation, modulation, workers=workers)
    assert plain.keys() == changed.keys()
    for name, clips in changed.items():
        assert clips.dtype == torch.uint8
        assert clips.is_contiguous(memory_format=torch.channels_last_3d)
        assert torch.equal(clips, plain[name][:, :, order])
    for before, after in zip(
        batches(annotation, "original"), batches(annotation, modulation, workers=workers), strict=True
    ):
        assert after.names == before.names
        assert after.clips.is_contiguous(memory_format=torch.channels_last_3d)
        assert torch.equal(after.clips, before.clips[:, :, order])


def test_the_function_of_a_plugin_reaches_the_workers(annotation):
    import pvbias.plugins.decoupled_videos  # noqa: F401 (registers it)

    plain, changed = views(annotation, "original"), views(annotation, "footprint_max", workers=1)
    for name, clips in changed.items():
        assert torch.equal(clips, plain[name].amax(2, keepdim=True).expand_as(clips))


def test_test_shuffles_are_the_same_in_any_process_and_others_in_every_view(annotation):
    found = views(annotation, "shuffle")
    halves = [views(annotation, "shuffle", rank=rank, world_size=2, workers=1) for rank in (0, 1)]
    for name, clips in found.items():
        assert torch.equal(clips, (halves[0] | halves[1])[name])
    orders = [tuple(n - 22 * view for n in numbers(clips[view])) for clips in found.values() for view in (0, 1)]
    assert all(sorted(order) == list(range(FRAMES)) for order in orders)
    assert tuple(range(FRAMES)) not in orders
    assert len(set(orders)) == len(orders)


def test_an_evaluators_shuffle_neither_repeats_nor_undoes_the_loaders(annotation):
    cfg = configured(annotation, "shuffle")
    for name, clips in views(annotation, "shuffle").items():
        seeds = view_seeds(cfg.RNG_SEED, name, len(clips))
        for view, again in enumerate(Shuffle()(clips, seeds)):
            first = [n - 22 * view for n in numbers(clips[view])]
            assert first != shuffled_order(FRAMES, seeds[view]).tolist()
            assert [n - 22 * view for n in numbers(again)] != list(range(FRAMES))


def test_training_shuffles_are_drawn_anew_in_every_epoch_and_the_same_when_asked_again(annotation):
    first, second, again = (batches(annotation, "shuffle", epoch=epoch, flip=False) for epoch in (0, 1, 0))
    elsewhere = batches(annotation, "shuffle", flip=False, workers=2)
    parts = [batches(annotation, "shuffle", flip=False, rank=rank, world_size=2) for rank in (0, 1)]
    for number, batch in enumerate(first):
        assert torch.equal(batch.clips, again[number].clips)
        assert torch.equal(batch.clips, elsewhere[number].clips)
        assert torch.equal(batch.clips, torch.cat([part[number].clips for part in parts]))
    by_epoch = [
        {name: clip for batch in epoch for name, clip in zip(batch.names, batch.clips, strict=True)}
        for epoch in (first, second)
    ]
    orders = [{name: order(clip) for name, clip in clips.items()} for clips in by_epoch]
    assert orders[0].keys() == orders[1].keys()
    assert sum(orders[0][name] == orders[1][name] for name in orders[0]) <= 1


def order(clip):
    """Where each frame of a clip comes in time, 0 .. T - 1."""
    told = numbers(clip)
    return [sorted(told).index(number) for number in told]


def test_an_unknown_name_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigError, match=r"command line: DATA\.MODULATION: .*'shufle'.*Did you mean 'shuffle'"):
        load_cfg(None, ["DATA.MODULATION", "shufle"])
