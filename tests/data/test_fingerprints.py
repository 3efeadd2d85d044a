"""Fingerprints of lists are what they were in earlier versions, whose results are compared with and gone on from."""

import pytest

from pvbias.data import RecordList, VideoRecord, fingerprint, list_fingerprints, set_fingerprints


class Source:
    """Three videos, two of them there."""

    class_names = ("run", "sit down")
    description = "three videos"

    def __init__(self, folder, part):
        names = ["a.mp4", "it's/\udcfe.mkv", "gone.avi"]
        for size, name in enumerate(names[:2], 3):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x" * size)
        self.records = RecordList.of(
            VideoRecord(path=str(folder / name), name=name, label=label, start=part if label else None)
            for name, label in zip(names, (0, None, 1), strict=True)
        )


#: By version 0.1.0 at its commit c59a8b3.
@pytest.mark.parametrize(
    ("part", "whole", "listed", "labelled"),
    [
        (None, "806601af7ee879a2", "2fd65008fa2628ed", "339fa16b475ae639"),
        (1.5, "d2e42c3bde9a5ef9", "e27eb241e152762c", "4940210eb6e74a63"),
    ],
)
def test_fingerprints_are_those_of_earlier_versions(tmp_path, part, whole, listed, labelled):
    source = Source(tmp_path, part)
    assert fingerprint(source)[:16] == whole
    assert list_fingerprints(source)["list"][:16] == listed
    assert set_fingerprints(source).label_names[:16] == labelled
