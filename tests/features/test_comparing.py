"""Features that do not belong together are refused, and both are named."""

from dataclasses import replace

import pytest

from pvbias.errors import DataError
from pvbias.features import Fingerprint, check_same_classes, check_same_network, check_same_videos, write_features

from .test_folder import KEY, NAMES, some


def test_features_of_other_networks_and_videos_are_refused_by_name(tmp_path):
    ours = Fingerprint(model="x3d_s", weights="a.pyth", weights_digest="1", videos="a.csv", settings={"views": "1"})

    def written(name, fingerprint, names=NAMES, labels=None):
        return write_features(tmp_path / name, {KEY: some(7, 1, 2)}, names, labels=labels, fingerprint=fingerprint)

    first = written("first", ours)
    check_same_network(first, written("second", replace(ours, videos="b.csv")))
    check_same_videos(first, written("third", replace(ours, weights_digest="2")))
    other = written("fourth", replace(ours, weights="b.pyth", weights_digest="2"))
    with pytest.raises(DataError, match=r"first has features of x3d_s with the weights 'a.pyth'.*fourth of .*'b.pyth'"):
        check_same_network(first, other)
    with pytest.raises(DataError, match=r"first and .*fifth were made differently: views '1' and '3'"):
        check_same_network(first, written("fifth", replace(ours, settings={"views": "3"})))
    with pytest.raises(DataError, match=r"first has 7 videos of 'a.csv', and .*sixth 7.*differs is '1.mp4'"):
        check_same_videos(first, written("sixth", ours, [NAMES[0], "b.mp4", *NAMES[2:]]))
    with pytest.raises(DataError, match=r"first has 0 class names and .*eighth 2\. Their labels do not mean the same"):
        check_same_classes(first, write_features(tmp_path / "eighth", {KEY: some(7, 2)}, NAMES, class_names=["a", "b"]))
    with pytest.raises(DataError, match="other labels"):
        check_same_videos(first, written("seventh", ours, labels=[1] * 7))
