"""Pictures of the glossary."""

import re
from xml.etree import ElementTree

from pvbias.registries import METRIC
from pvbias.report.sketches import PAGE, Range, Row, clips, line

from .pages import page_of
from .runs import labelled_run


def test_every_term_that_is_explained_has_a_picture_of_its_own():
    pictures = {term: picture for _, metric in METRIC for term, picture in metric.pictures.items()}
    assert {term for _, metric in METRIC for term in metric.glossary} == set(pictures)
    assert len(set(pictures.values()) | set(PAGE.values())) == len(pictures) + len(PAGE)


def test_a_page_shows_a_picture_beside_each_explanation(tmp_path):
    html = page_of(tmp_path, labelled_run("run"))
    box = html[html.index("How to read this") :]
    box = box[: box.index("</dl>")]
    assert box.count("<dt>") == box.count('<svg class="sketch"') == len(re.findall("<dd><svg", box)) >= 6


def test_sketches_are_svg_with_what_they_were_given():
    picture = ElementTree.fromstring(clips(Row("a & b", (0, None, 2), 0.5), Row("c", (), 1.0)))
    assert [text.text for text in picture.iter("text")] == ["a & b", "c"]
    assert len([*picture.iter("circle")]) == 2  # a hidden frame shows nothing
    widths = [float(rect.get("width")) for rect in picture.iter("rect")]
    assert widths[-4:] == [84, 42, 84, 84]
    spans = ElementTree.fromstring(line("0", "1", Range("a point", 0.5, 0.5), Range("a part", 0.1, 0.2)))
    assert {text.text for text in spans.iter("text")} == {"0", "1", "a point", "a part"}
    assert len([*spans.iter("circle")]) == 1
