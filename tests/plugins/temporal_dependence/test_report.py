"""The section on dependence on time."""

from pvbias.evaluation import Figure, Result
from pvbias.plugins.temporal_dependence import ReversedPairs, TemporalDependence, TemporalOcclusion

from ...report.pages import page_of, words_of
from ...report.runs import labelled_run
from .toys import Apart, config, feed, moving, recognizer


def run_of(*kinds):
    run = labelled_run("mover", num_classes=2, clip_seconds=1.6)
    names = {
        TemporalDependence: "temporal_dependence",
        ReversedPairs: "reversed_pairs",
        TemporalOcclusion: "temporal_occlusion",
    }
    clips = [moving(number, (1, -1)[number % 2], 1) for number in range(8)]
    for kind in kinds:
        evaluator = kind(config(), recognizer(Apart(1)), ("opening door", "closing door"))
        run.results[names[kind]] = feed(evaluator, clips, [number % 2 for number in range(8)])[1]
    return run


def section_of(html):
    return html[html.index('<section id="timing">') :].split("</section>")[0]


def test_the_section_says_what_was_measured(tmp_path):
    html = section_of(page_of(tmp_path, run_of(TemporalDependence, ReversedPairs, TemporalOcclusion)))
    text = words_of(html)
    assert "Temporal extent: 2" in text
    assert "of 16 frames" in text
    assert ", 0.2" in text  # seconds: of 1.6 for 16 frames
    assert "No single class can be told to gain or lose" in text  # 4 videos of each
    assert "opening door / closing door" in text
    assert "Friedman" in text
    assert html.count("<svg") == 2 * 7 + 1


def test_a_run_without_an_extent_says_so(tmp_path):
    run = labelled_run("still")
    extent = Figure(name="extent", value=None, unit="frames", level="clip", note="undefined: ...")
    run.results["temporal_dependence"] = Result(figures=[extent])
    assert "No temporal extent" in words_of(section_of(page_of(tmp_path, run)))
