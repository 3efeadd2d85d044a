"""Which process measures which videos: every one once, in equal parts, whatever the number of processes."""

import random

import pytest

from pvbias.config import get_cfg
from pvbias.data import VideoRecord
from pvbias.data.sharding import assign_chunks, split_into_chunks


def config(sampling="rate", *, batch_size=16, views=10, crops=3):
    cfg = get_cfg()
    cfg.DATA.TEMPORAL_SAMPLING = sampling
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS, cfg.DATA.WINDOW_STRIDE = 8, 2, 16.0, 8
    cfg.TEST.BATCH_SIZE, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = batch_size, views, crops
    return cfg


def videos(count, **times):
    return [
        VideoRecord(path=f"{i}", name=f"{i}", **{key: value[i] for key, value in times.items()}) for i in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "keys", "size"),
    [
        (5000, {}, 8),  # 8 videos of 30 views are 15 batches of 16
        (5000, {"views": 1, "crops": 1}, 16),
        (5000, {"views": 16, "crops": 1}, 1),
        (5000, {"sampling": "windows"}, 1),
        (200, {}, 3),  # 8 would be 25 chunks
        (7, {}, 1),
    ],
)
def test_a_chunk_is_the_fewest_videos_that_fill_batches(count, keys, size):
    chunks = split_into_chunks(config(**keys), videos(count))
    assert {len(chunk) for chunk in chunks[:-1]} == {size}
    assert [index for chunk in chunks for index in chunk] == list(range(count))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 64])
def test_every_chunk_has_one_process_and_parts_are_equal(world_size):
    cfg, records = config(), videos(1003)
    chunks = split_into_chunks(cfg, records)
    assigned = assign_chunks(cfg, records, chunks, world_size)
    assert sorted((chunk for mine in assigned for chunk in mine), key=min) == chunks
    counts = [len(mine) for mine in assigned]
    assert max(counts) - min(counts) <= 1
    assert all(mine == sorted(mine, key=min) for mine in assigned)


def test_long_videos_are_spread_where_their_ends_are_known():
    """The rule's guarantee: no process has more than 4/3 of what the best assignment would give the fullest one."""
    lengths = random.Random(0).choices([2.0, 10.0, 300.0], [0.8, 0.19, 0.01], k=1000)
    records = videos(1000, start=[5.0] * 1000, end=[5.0 + length for length in lengths])
    cfg = config("windows")
    loads = [
        sum(lengths[min(chunk)] for chunk in mine)
        for mine in assign_chunks(cfg, records, split_into_chunks(cfg, records), 8)
    ]
    assert max(loads) <= 4 / 3 * max(sum(lengths) / 8, 300.0)
    assert max(loads) - min(loads) <= 2.0  # enough short ones to fill up with
    # Not known, or not worth anything: in turn.
    plain = assign_chunks(cfg, videos(1000), split_into_chunks(cfg, videos(1000)), 8)
    assert [[min(chunk) for chunk in mine] for mine in plain] == [list(range(rank, 1000, 8)) for rank in range(8)]
    cfg = config("rate", views=16, crops=1)
    assert assign_chunks(cfg, records, split_into_chunks(cfg, records), 8) == plain
