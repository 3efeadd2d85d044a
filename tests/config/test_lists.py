"""Lists are found by their names, from which the suffix may be left out."""

import pytest

from pvbias.config import load_cfg
from pvbias.config.lists import find_list, split_path, stream_path
from pvbias.errors import DataError
from pvbias.storage import expand


def test_a_suffix_may_be_left_out(tmp_path):
    (tmp_path / "ucf101").mkdir()
    for name in ("train1.csv", "test1.jsonl", "both.csv", "both.jsonl", "v1.0.csv", "plain"):
        (tmp_path / "ucf101" / name).touch()
    (tmp_path / "ucf101" / "train1.csv.d").mkdir()
    folder = tmp_path / "ucf101"
    assert find_list(folder / "train1") == folder / "train1.csv"
    assert find_list(folder / "test1") == folder / "test1.jsonl"
    assert find_list(folder / "v1.0") == folder / "v1.0.csv"
    for exact in ("plain", "train1.csv", "gone", "train-{0..9}.tar"):
        assert find_list(folder / exact) == folder / exact
    assert find_list(folder) == folder  # a folder of videos, whatever lies beside it
    with pytest.raises(DataError, match=r"both may be both\.csv or both\.jsonl: give the suffix"):
        find_list(folder / "both")
    assert str(find_list(expand("s3://bucket/train1"))) == "s3://bucket/train1"
    cfg = load_cfg(
        overrides=["DATA.PATH_TO_DATA_DIR", str(tmp_path), "DATA.TRAIN_SPLIT", "ucf101/train1", "DATA.VAL_SPLIT", ""]
    )
    assert split_path(cfg, "train") == folder / "train1.csv"
    assert split_path(cfg, "val") is None
    assert stream_path(cfg, "ucf101/test1") == folder / "test1.jsonl"
