"""Near-duplicates: planted ones are found, at the stated rate of false alarms."""

import numpy as np
import pytest

from pvbias.errors import DataError
from pvbias.features import find_duplicates, write_features

VIDEOS, WIDTH = 1500, 24


def drawn(seed, count=VIDEOS):
    """Clusters of several widths, in features whose scales differ."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(6, WIDTH)) * 2
    spread = generator.choice([0.5, 1.0, 2.0], size=(count, 1))
    points = centres[generator.integers(6, size=count)] + spread * generator.normal(size=(count, WIDTH))
    return (points * np.geomspace(1, 100, WIDTH)).astype(np.float32)


def folder(path, points, prefix, **others):
    arrays = {("embedding", "original"): points, **others.pop("arrays", {})}
    return write_features(path, arrays, [f"{prefix}{number}" for number in range(len(points))], **others)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("train"), drawn(0), "train")


def test_false_alarms_come_at_their_rate(reference, tmp_path):
    """Of 1,500 videos without a copy: 15 at 0.01, give or take three times 4."""
    tested = folder(tmp_path / "test", drawn(1), "test")
    for rate, most in ((0.01, 27), (0.1, 185)):
        found = find_duplicates(reference, tested, rate=rate)
        assert 0.4 * rate * VIDEOS <= len(found.pairs) <= most
        assert found.reference[0] <= most
    assert found.dimension == pytest.approx(WIDTH, rel=0.35)
    assert "150.0 expected" in str(found)


def test_planted_copies_are_found(reference, tmp_path):
    """Ten of 200 videos are copies with 5 % of the spread as noise; one of the originals is in the reference twice."""
    points, generator = drawn(2, 200), np.random.default_rng(3)
    originals = np.concatenate([drawn(0), drawn(0)[:1]])
    noise = generator.normal(size=(10, WIDTH)) * np.geomspace(1, 100, WIDTH)
    points[50:60] = originals[:10] + 0.05 * noise
    found = find_duplicates(folder(tmp_path / "train", originals, "train"), folder(tmp_path / "test", points, "test"))
    pairs = {pair.video: pair.other for pair in found.pairs[:10]}
    expected = {f"test{50 + number}": f"train{number}" for number in range(10)}
    assert pairs | {"test50": "train0"} == expected
    assert pairs["test50"] in ("train0", f"train{VIDEOS}")
    assert len(found.pairs) <= 13
    assert [pair.p_value for pair in found.pairs] == sorted(pair.p_value for pair in found.pairs)
    assert found.reference[0] >= 2  # the one that is there twice


def test_mirrored_copies_are_found_by_features_of_mirrored_clips(tmp_path):
    originals, mirrored = drawn(0, 300), drawn(4, 300)
    train = folder(tmp_path / "train", originals, "train", arrays={("embedding", "mirror"): mirrored})
    test = folder(tmp_path / "test", np.concatenate([drawn(5, 50), mirrored[7:8]]), "test")
    (pair, *others) = find_duplicates(train, test).pairs
    assert (pair.video, pair.other, pair.modulation) == ("test50", "train7", "mirror")
    assert len(others) <= 2
    assert "test50" not in [
        pair.video for pair in find_duplicates(folder(tmp_path / "plain", originals, "t"), test).pairs
    ]


def test_within_a_list_groups_are_left_out(tmp_path):
    points = drawn(0, 300)
    points[10], points[20] = points[11], points[21]
    sources = [f"source {number}" for number in range(300)]
    sources[20] = sources[21]
    train = folder(tmp_path / "train", points, "v", attributes={"source": sources})
    assert {pair.video for pair in find_duplicates(train).pairs} >= {"v10", "v11", "v20", "v21"}
    alone = {pair.video for pair in find_duplicates(train, group_by="source").pairs}
    assert {"v10", "v11"} <= alone
    assert not {"v20", "v21"} & alone


@pytest.mark.parametrize("copies", [4, 5, 6, 20])
def test_exact_copies_are_found_however_many_there_are(tmp_path, copies):
    """With k of them the k-th nearest is as near as the nearest, at the distance of rounding or none."""
    points = drawn(0, 300)
    points[:copies] = points[0]
    train = folder(tmp_path / "train", points, "train")
    test = folder(tmp_path / "test", np.concatenate([drawn(5, 20), points[:1]]), "test")
    assert {pair.video for pair in find_duplicates(train).pairs} >= {f"train{number}" for number in range(copies)}
    nearest = find_duplicates(train, test).pairs[0]
    assert (nearest.video, nearest.distance, nearest.p_value) == ("test20", 0, 0)


def test_what_cannot_be_searched(reference, tmp_path):
    with pytest.raises(DataError, match="takes 10"):
        find_duplicates(folder(tmp_path / "few", drawn(0, 9), "v"))
    with pytest.raises(DataError, match="half of the videos or more"):
        find_duplicates(folder(tmp_path / "twice", np.repeat(drawn(0, 20), 2, axis=0), "v"))
    with pytest.raises(DataError, match="no attribute 'source'"):
        find_duplicates(reference, group_by="source")
    with pytest.raises(DataError, match="rate = 1"):
        find_duplicates(reference, rate=1)
