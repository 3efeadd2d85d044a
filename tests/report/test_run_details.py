"""The end of the page: what could not be measured, bad videos, and what was measured how."""

from pvbias.evaluation import Figure, Result
from pvbias.plugin_loading import load_plugins
from pvbias.report.run_details import bad_videos, details, not_measured

from .runs import labelled_run

load_plugins()


def test_what_could_not_be_measured_has_its_name_in_words():
    undefined = {"value": None, "unit": "log ratio", "variant": "shuffle", "note": "both are 0"}
    run = labelled_run(
        results={
            "self_convolution": Result(not_applicable="no kernels"),
            "my_evaluator": Result(not_applicable="no reason"),
            "modulated_accuracy": Result(
                figures=[Figure(name="log_ratio", level=level, **undefined) for level in ("video", "clip")]
            ),
        }
    )

    assert not_measured([run]) == [
        ("run", "temporal channels (self-convolution)", "no kernels"),
        ("run", "my evaluator", "no reason"),
        ("run", "log ratio of accuracies, shuffled, video level", "both are 0"),  # said once for both levels
    ]


def test_the_first_bad_videos_and_all_their_causes():
    bad = [{"name": f"{n}.mp4", "cause": "empty" if n else "no video stream", "detail": "?"} for n in range(60)]

    ((run, tried, causes, listed),) = bad_videos([labelled_run(bad_videos=bad)])

    assert (run, tried, causes) == ("run", 1060, [("empty", 59), ("no video stream", 1)])
    assert len(listed) == 50
    assert listed[0] == {"name": "0.mp4", "cause": "no video stream", "detail": "?"}
    assert bad_videos([labelled_run(bad_videos=[])]) == []


def test_where_runs_differ():
    runs = [labelled_run("a", duration_seconds=59.94), labelled_run("b", duration_seconds=3 * 3600 + 120)]
    runs[1].versions["torch"] = "2.11"

    rows = {what: (values, differ) for what, values, differ in details(runs)}

    assert rows["Took"] == (["59.9 s", "3 h 2 min"], True)
    assert rows["Model"] == (["x3d_xs", "x3d_xs"], False)
    assert rows["Version: torch"] == (["–", "2.11"], True)
    assert rows["Machine: threads"] == (["2", "2"], False)
