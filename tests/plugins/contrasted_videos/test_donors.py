"""Donors: of the right class, never the video itself, the same whatever the order of the list."""

import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from pvbias.data import VideoRecord
from pvbias.errors import ConfigError, DataError
from pvbias.plugins.contrasted_videos.donors import Donors, read_pairs

from .toys import Square, Squares, config


def listed(labels):
    return SimpleNamespace(
        records=[VideoRecord(path=f"/v/{i}.mp4", name=f"{i}.mp4", label=label) for i, label in enumerate(labels)],
        class_names=(),
        description="",
    )


def test_the_same_class_and_another_class():
    source = listed([0, 2, 2, 0, None, 2, 0, 3])
    same, other = (Donors(config(), source, kind) for kind in ("same", "random"))
    for record in source.records:
        found = same.of(record), other.of(record)
        if record.label is None:
            assert found == (None, None)
        else:
            assert found[1].label not in (None, record.label)
            if record.label == 3:
                assert found[0] is None  # alone in its class
            else:
                assert found[0].label == record.label
                assert found[0].name != record.name


def test_all_donors_are_equally_likely():
    source = listed([0] * 2000 + [1, 2, 3])
    names = [Donors(config(), source, "random").of(record).name for record in source.records[:2000]]
    counts = np.unique(names, return_counts=True)[1]
    assert len(counts) == 3
    assert abs(counts - 2000 / 3).max() < 4 * (2000 * 2 / 9) ** 0.5


def test_of_a_small_class_the_others_are_equally_likely():
    """Of 1,500 classes of three videos: the next one in the list is drawn as often as the one after it."""
    source = listed(np.repeat(np.arange(1500), 3).tolist())
    donors = Donors(config(), source, "same")
    ahead = [
        (int(donors.of(record).name[:-4]) - number) % 3 == 1
        for number, record in enumerate(source.records)
        if number % 3 == 0
    ]
    assert abs(np.mean(ahead) - 0.5) < 4 * 0.5 / 1500**0.5


def test_they_belong_to_the_seed():
    source, cfg = listed([0, 1] * 50), config()
    first = [Donors(cfg, source, "random").of(record).name for record in source.records]
    assert first == [Donors(cfg, source, "random").of(record).name for record in source.records]
    cfg.RNG_SEED += 1
    assert first != [Donors(cfg, source, "random").of(record).name for record in source.records]


class Rooms(Squares):
    """The place of colour k is of brightness 20 + 30 k, but for the last one's, which is like the first one's."""

    def open(self, record):
        number = int(record.name.split(".")[0])
        video = Square(number, number % 4, number // 4)
        background = video.masks == 0
        video.frames[background] = [20, 70, 120, 26][number % 4]
        video.frames[~background] = [255, 0, 255, 0][number % 4]  # the actors look otherwise
        return video


def test_near_and_far_classes_by_their_backgrounds():
    source = Rooms("colour")
    close, far = (Donors(config(), source, kind) for kind in ("close", "far"))
    assert [close.of(record).label for record in source.records[:4]] == [3, 3, 1, 0]
    assert [far.of(record).label for record in source.records[:4]] == [2, 2, 0, 2]
    assert Donors(config(), listed([5, 5, 5]), "close").of(listed([5]).records[0]) is None


def test_pairs_of_a_list_and_of_hat(tmp_path):
    """HAT's pickles hold a dictionary of name: [donor, its frames, its class]."""
    (tmp_path / "pairs.csv").write_text("0.mp4,2.mp4\n1.mp4,0\n")
    with open(tmp_path / "swap.pickle", "wb") as file:
        pickle.dump({"0": ["2", 300, 1], "1": ["0", 250, 0]}, file)
    source, cfg = listed([0, 1, 1]), config()
    for name in ("pairs.csv", "swap.pickle"):
        cfg.CONTRASTED.PAIRS = str(tmp_path / name)
        donors = Donors(cfg, source, "pairs")
        assert [getattr(donors.of(record), "name", None) for record in source.records] == ["2.mp4", "0.mp4", None]


def test_a_file_of_pairs_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"CONTRASTED\.PAIRS = '' is no file"):
        read_pairs("")
    evil = tmp_path / "evil.pickle"
    evil.write_bytes(pickle.dumps({"a": [os.system, 1, 2]}))
    with pytest.raises(DataError, match=r"it holds a \w+\.system"):
        read_pairs(str(evil))
    (tmp_path / "three.csv").write_text("a,b,c\n")
    with pytest.raises(DataError, match="neither lines `name,donor`"):
        read_pairs(str(tmp_path / "three.csv"))
    (tmp_path / "twice.csv").write_text("a,b\na.mp4,c\n")
    with pytest.raises(DataError, match="'a' has several donors"):
        read_pairs(str(tmp_path / "twice.csv"))
    cfg = config()
    parts = SimpleNamespace(
        records=[VideoRecord(path="/v/0", name="0.mp4", label=0, start=at, end=at + 1) for at in (0.0, 1.0)]
    )
    (tmp_path / "part.csv").write_text("1,0\n")
    cfg.CONTRASTED.PAIRS = str(tmp_path / "part.csv")
    with pytest.raises(DataError, match="names '0' as a donor, and several videos are called that"):
        Donors(cfg, parts, "pairs")
    (tmp_path / "others.csv").write_text("a,b\n")
    cfg.CONTRASTED.PAIRS = str(tmp_path / "others.csv")
    with pytest.raises(DataError, match="names none of the 2 videos as a donor"):
        Donors(cfg, listed([0, 1]), "pairs")
