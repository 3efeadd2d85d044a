"""Sample clips of runs side by side."""

import base64
import io
import re

import pytest
from PIL import Image

from pvbias.evaluation import Result

from .pages import page_of, words_of
from .runs import labelled_run


def with_samples(name, *, content, picture, label="run", predicted="run", video="test/001.mp4"):
    """A run that shows one video, whose picture is known by its width."""
    file = io.BytesIO()
    Image.new("RGB", (picture, 4)).save(file, "PNG")
    row = {"video": video, "content": content, "label": label, "predicted": predicted, "probability": 1.0}
    rows = [row | {"variant": variant, "image": f"{variant}.png"} for variant in ("original", "shuffle")]
    samples = Result(tables={"samples": rows}, images={f"{v}.png": file.getvalue() for v in ("original", "shuffle")})
    return labelled_run(name, results={"sample_clips": samples})


def strips_of(html):
    """(heading of the video, width of the picture, colours of the runs, what they say) of each strip."""
    found = []
    for article in html.split('<article class="sample">')[1:]:
        heading = words_of(article[: article.index("</h3>")])
        for strip in article.split('<div class="variant">')[1:]:
            picture = base64.b64decode(re.search(r"base64,([^\"]+)", strip)[1])
            said = strip[: strip.index("</div>")]
            colors = re.findall(r"background:(#\w+)", said)
            says = re.findall(r'class="(right|wrong)">. ([^<]+)<', said)
            found.append((heading, Image.open(io.BytesIO(picture)).width, colors, says))
    return found


def test_clips_of_the_same_name_are_not_the_same_clip(tmp_path):
    """A yellow shape labelled by its motion, and a blue one of the same name labelled by its colour."""
    motion = with_samples("motion", content="yellow", picture=10, label="left", predicted="left")
    colour = with_samples("appearance", content="blue", picture=20, label="blue", predicted="blue")

    first, second = "#0072B2", "#D55E00"
    assert strips_of(page_of(tmp_path, motion, colour)) == [
        *[("lefttest/001.mp4", 10, [first], [("right", "left")])] * 2,
        *[("bluetest/001.mp4", 20, [second], [("right", "blue")])] * 2,
    ]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"video": "b.mp4"}, [("runtest/001.mp4 · b.mp4", 10, 2)]),  # a copy of another name
        ({"picture": 20}, [("runtest/001.mp4", 10, 1), ("runtest/001.mp4", 20, 1)]),  # sampled in another way
        ({"label": "walk"}, [("runtest/001.mp4", 10, 1), ("walktest/001.mp4", 10, 1)]),
        ({"content": None}, [("runtest/001.mp4", 10, 1), ("runtest/001.mp4", 10, 1)]),  # not known, so not the same
    ],
)
def test_clips_of_the_same_content(tmp_path, other, expected):
    """They share a strip where the frames are the same, too, and an article where the label is."""
    runs = [
        with_samples("first", content="a", picture=10),
        with_samples("second", **{"content": "a", "picture": 10, "predicted": "sit"} | other),
    ]

    found = [(heading, width, len(colors)) for heading, width, colors, _ in strips_of(page_of(tmp_path, *runs))]

    assert sorted(found) == sorted(2 * expected)
