"""Exact pairs of made-up videos: one factor stays to the pixel, the other is drawn anew."""

import numpy as np
import pytest

from pvbias.clips import modulation
from pvbias.data.tracks import build_tracks
from pvbias.errors import ConfigError
from tests.evaluation.toys import NoiseSource

from .test_source import config, frames_of, source_of


def exchanged(source, index, factor):
    video = source.open_exchanged(source.records[index], factor)
    return video.read(list(video.timestamps), lambda height, width: (height, width)), video


@pytest.mark.parametrize("dataset", ["brush_mnist", "places_faces_mnist"])
def test_the_other_factor_stays(dataset):
    source = source_of(dataset)
    for index in range(6):
        own = source.open(source.records[index])
        frames, video = exchanged(source, index, "appearance")
        np.testing.assert_array_equal(video.centres, own.centres)
        assert (frames != frames_of(source, index)).any()
        frames, video = exchanged(source, index, "motion")
        assert (video.centres != own.centres).any()
        # Not where either of them is: the place, and one image that moves.
        np.testing.assert_array_equal(np.sort(video._brush.ravel()), np.sort(own._brush.ravel()))
        np.testing.assert_array_equal(video._background, own._background)


def test_it_is_drawn_uniformly_and_again_alike():
    source = source_of("brush_mnist", TEST_VIDEOS=300)
    motions = [exchanged(source, index, "motion")[1].centres.tobytes() for index in range(0, 300, 3)]
    assert len(set(motions)) > 60
    again = source_of("brush_mnist", TEST_VIDEOS=300)
    np.testing.assert_array_equal(exchanged(source, 5, "motion")[0], exchanged(again, 5, "motion")[0])


def test_they_are_tracks_and_modulations():
    source = source_of("brush_mnist")
    assert modulation("same_motion").tracks == ("same_motion",)
    assert set(build_tracks(config("brush_mnist"), source, ["same_motion", "same_appearance"])) == {
        "same_motion",
        "same_appearance",
    }
    with pytest.raises(ConfigError, match=r"generated videos only .* noise"):
        build_tracks(config("brush_mnist"), NoiseSource(), ["same_motion"])
