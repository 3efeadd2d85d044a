"""Videos told apart by what is in the file."""

from PIL import Image

from pvbias.video import content_fingerprint


def test_size_and_beginning_decide(tmp_path):
    beginning = bytes(range(256)) * 4096  # the first MiB
    for name, content in (
        ("a", beginning),
        ("b", beginning),
        ("longer", beginning + b"x"),
        ("other", b"x" + beginning[1:]),
    ):
        (tmp_path / name).write_bytes(content)

    found = {name: content_fingerprint(str(tmp_path / name)) for name in ("a", "b", "longer", "other")}

    assert found["a"] == found["b"]
    assert len({found["a"], found["longer"], found["other"]}) == 3


def test_folders_of_images(tmp_path):
    for folder, grey in (("a", 0), ("same", 0), ("other", 9), ("longer", 0)):
        (tmp_path / folder).mkdir()
        for number in range(3 + (folder == "longer")):
            Image.new("L", (4, 4), grey).save(tmp_path / folder / f"{number:03}.png")

    found = {folder: content_fingerprint(str(tmp_path / folder)) for folder in ("a", "same", "other", "longer")}

    assert found["a"] == found["same"]
    assert len(set(found.values())) == 3


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()

    assert content_fingerprint(str(tmp_path / "nowhere")) is None
    assert content_fingerprint(str(tmp_path / "empty")) is not None
