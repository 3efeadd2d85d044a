"""The section of scenes on the page."""

from pvbias.evaluation import Figure, Result
from pvbias.plugins.scene_bias.report import SCENES
from pvbias.registries import REPORT_SECTION
from tests.report.pages import page_of, words_of
from tests.report.runs import labelled_run


def test_the_section_has_the_curve_and_the_commonest_places(tmp_path):
    run = labelled_run()
    assert REPORT_SECTION.get(SCENES).build([run]) is None
    places = [
        {"place": f"place {number}", "videos": 20 - number, "share": 100 * (20 - number) / 210, "common": number < 16}
        for number in range(20)
    ]
    run.results["scene_bias"] = Result(
        figures=[
            Figure(name="place_information", value=0.31, unit="nats", level="video", interval=(0.2, 0.4), count=210),
            Figure(name="top1", value=56.3, unit="%", level="video", variant="common places", count=200),
            Figure(name="top1_difference", value=6.9, unit="points", level="video", count=210),
        ],
        tables={
            "places": places,
            "common_place_curve": [{"score": 0.0, "videos": 100.0}, {"score": 1.0, "videos": 12.5}],
        },
    )
    words = words_of(page_of(tmp_path, run))
    assert "4 others" in words
    assert "9.5 % (20)" in words
    assert "place 15" in words
    assert "top-1 accuracy, rare less common places" in words
    assert "common-place score, % of frames, or more" in words
