import base64
import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import Figure, Predictions, Result
from pvbias.report import read_training, write_comparison, write_report, write_results

from .runs import accuracy_figures, class_rows, jpeg, labelled_run, unlabelled_run

EVIL = "<script>alert('x')</script> & \"quoted\" $x_1$ {{ 7*7 }} 日本語 " + "long" * 60


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.skipping = [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.skipping = tag == "style"

    def handle_endtag(self, tag):
        self.skipping = False

    def handle_data(self, data):
        if not self.skipping:
            self.text += data

    def values(self, *names):
        return [attrs[name] for _, attrs in self.tags for name in names if name in attrs]


def page_of(tmp_path, *runs):
    folders = []
    for number, run in enumerate(runs):
        folders.append(tmp_path / f"run{number}")
        write_results(folders[-1], run)
    path = write_report(folders[0]) if len(runs) == 1 else write_comparison(folders, tmp_path / "out")
    return path.read_text(encoding="utf-8")


def words_of(html):
    return " ".join(Page(html).text.split())


def test_one_run_says_what_was_measured(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("first")))

    assert "Shuffling the frames costs 31.6 points of accuracy: 64.3 % in order, 32.7 % shuffled." in text
    assert "Uses the order of frames, but leans on appearance" in text
    assert "predictions become very different: 1.50 nats on average" in text
    assert "The first choice stays the same for 40 % of the videos" in text
    assert "1 of 1,001 videos: 1 × no video stream" in text
    for part in ("b/broken.mp4", "blocks.2.conv", "a/clip.mp4", "✓ run", "75 %", "MODEL_NAME: x3d_xs", "video level"):
        assert part in text


def test_what_the_objective_says_of_its_training_is_on_the_page(tmp_path):
    said = "Rev2Net: the decoders start at blocks.2 and reach 9 of 17 layers, 6.9 % of the encoder's weights"
    assert said in words_of(page_of(tmp_path, labelled_run("trained", training=said)))


@pytest.mark.parametrize("runs", [1, 2])
def test_names_from_outside_are_only_ever_text(tmp_path, runs):
    run = labelled_run(EVIL, weights=EVIL, command=EVIL, config=EVIL, class_names=[EVIL], sampling=EVIL)
    run.bad_videos = [{"name": EVIL, "cause": EVIL, "detail": EVIL}]
    run.results["modulated_accuracy"].tables["per_class"] = class_rows({EVIL: (90, 5), "other": (50, 40)})
    for row in run.results["sample_clips"].tables["samples"]:
        row |= {"video": EVIL, "label": EVIL, "predicted": EVIL}
    run.results["asdt"].tables["layers"][0]["layer"] = EVIL
    note = [Figure(name=EVIL, value=None, unit=EVIL, level=EVIL, variant=EVIL, note=EVIL)]
    run.results[EVIL] = Result(figures=note, tables={EVIL: [{EVIL: EVIL}]})
    run.results["other"] = Result(not_applicable=EVIL)

    html = page_of(tmp_path, *[run] * runs)
    page = Page(html)

    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert EVIL in page.text
    assert "<script" not in html


@pytest.mark.parametrize("runs", [1, 3])
def test_the_page_needs_nothing_beside_it(tmp_path, runs):
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])
    page = Page(html)

    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    sources = page.values("src", "href", "xlink:href", "srcset", "data")
    assert sources
    assert all(source.startswith(("#", "data:image/jpeg;base64,")) for source in sources)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html
    assert "http" not in html


@pytest.mark.parametrize("runs", [1, 3])
def test_ids_are_unique_and_every_reference_has_its_target(tmp_path, runs):
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])

    ids = Page(html).values("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) <= set(ids)


def test_the_same_results_give_the_same_bytes(tmp_path):
    first = page_of(tmp_path / "a", labelled_run(), labelled_run("other"))
    second = page_of(tmp_path / "b", labelled_run(), labelled_run("other"))

    assert first == second


def test_pictures_in_tables_of_unknown_evaluators(tmp_path):
    """A name of one of the evaluator's images is shown as that image; other text stays text."""
    rows = [
        {"video": "a.mp4", "first_look": "x.jpg", "strip": "y.png"},
        {"video": "x.jp", "first_look": "", "strip": None},
    ]
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    images = {"x.jpg": jpeg(), "y.png": png.getvalue(), "z.jpg": b"no picture"}
    result = Result(
        tables={"looks": [*rows, {"video": "b.mp4", "first_look": "z.jpg", "strip": "y.png"}]}, images=images
    )

    page = Page(page_of(tmp_path, labelled_run(results={"looker": result})))

    shown = [(attrs["alt"], attrs["src"].split(";")[0]) for tag, attrs in page.tags if tag == "img"]
    assert shown == [("first look", "data:image/jpeg"), ("strip", "data:image/png"), ("strip", "data:image/png")]
    assert "a.mp4" in page.text
    assert "x.jpg" not in page.text
    assert "z.jpg" in page.text


def test_videos_without_labels(tmp_path):
    text = words_of(page_of(tmp_path, unlabelled_run()))

    assert "Not measured: None of the 12 videos has a label." in text
    assert "Predictions change a lot" in text
    assert "The model has no convolution over time." in text
    assert "Log ratio" not in text
    assert "could not be used" not in text


def test_an_undefined_ratio_is_reported_with_its_reason(tmp_path):
    run = labelled_run()
    run.results["modulated_accuracy"].figures = accuracy_figures({"original": 88.0, "shuffle": 0.0})

    text = words_of(page_of(tmp_path, run))

    assert "Depends on the order of frames" in text
    assert "undefined (zero denominator)" in text


def test_a_run_with_no_figures_at_all_has_a_page(tmp_path):
    assert "no figures that are put into words" in words_of(page_of(tmp_path, labelled_run(results={})))


def test_runs_that_do_not_compare_are_marked(tmp_path):
    other = labelled_run("other", data_fingerprint="f2", clip_seconds=2.0, precision="bf16", views="10 clips")

    text = words_of(page_of(tmp_path, labelled_run("first"), other))

    for warning in (
        "videos are not the same",
        "sampled differently",
        "Number formats differ",
        "different views",
    ):
        assert warning in text


def test_labels_are_the_same_where_their_numbers_or_their_names_are(tmp_path):
    def warned(first, second):
        runs = [labelled_run(name, label_fingerprints=prints) for name, prints in (("a", first), ("b", second))]
        return "labelled differently" in words_of(page_of(tmp_path, *runs))

    assert not warned(["n1", ""], ["n1", "c1"])  # names for the same numbers
    assert not warned(["n1", "c1"], ["n2", "c1"])  # the same classes, numbered otherwise
    assert not warned([], ["n1", "c1"])  # an older run
    assert warned(["n1", "c1"], ["n2", "c2"])
    assert warned(["n1", ""], ["n2", "c1"])


def test_runs_on_the_same_footing_are_not(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("first"), labelled_run("second", seed=7)))

    assert "Compare with care" not in text


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    text = words_of(page_of(tmp_path, labelled_run("same"), labelled_run("same")))

    assert "same (run0)" in text
    assert "same (run1)" in text


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


def test_a_comparison_joins_the_tables(tmp_path):
    page_of(tmp_path, labelled_run("first"), labelled_run("second"))

    with (tmp_path / "out" / "tables" / "asdt_layers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["depth"]) for row in rows] == [(run, d) for run in ("first", "second") for d in "123"]


def test_a_comparison_of_one_run_is_refused(tmp_path):
    write_results(tmp_path, labelled_run())

    with pytest.raises(ConfigError, match="two runs"):
        write_comparison([tmp_path], tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        write_comparison([tmp_path, tmp_path / "nowhere"], tmp_path / "out")


def confusion_of(html):
    """Rows of the matrix: heading, videos, cells."""
    table = html[html.index('<table class="confusion">') :]
    table = table[: table.index("</table>")]
    return [re.findall(r"<t[hd][^>]*>(?:<span>)?([^<]*)", row) for row in table.split("<tr>")[1:]]


def test_a_confusion_matrix(tmp_path):
    """By hand: of three videos of "run" one is taken for "walk"; nothing is ever "sit"; "stand" is nobody's label."""
    chosen, labels = [0, 0, 1, 1, 3, 2], [0, 0, 0, 1, 1, -1]
    predictions = Predictions(
        names=[f"{n}.mp4" for n in range(6)],
        labels=np.array(labels),
        probabilities=np.eye(4, dtype=np.float32)[chosen],
        class_names=["run", "walk", "sit", "stand"],
    )

    html = page_of(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions)}))

    assert confusion_of(html) == [
        ["Label", "videos", "run", "walk", "stand"],
        ["run", "3", "67", "33", ""],
        ["walk", "2", "", "50", "50"],
    ]
    assert "run walk 1 33 % walk stand 1 50 %" in words_of(html.replace("</td>", " "))


def test_a_confusion_matrix_of_very_many_classes_is_a_list(tmp_path):
    labels = np.arange(100)
    predictions = Predictions(
        names=[f"{n}.mp4" for n in range(100)],
        labels=labels,
        probabilities=np.eye(100, dtype=np.float32)[np.where(labels == 7, 8, labels)],
    )

    html = page_of(tmp_path, labelled_run(results={"accuracy": Result(predictions=predictions)}))

    assert '<table class="confusion">' not in html
    assert "Most frequent confusions (1 row)" in words_of(html)


def test_curves_of_a_training(tmp_path):
    lines = [
        {"kind": "start", "epoch": 0, "iteration": 0},
        {
            "kind": "train",
            "epoch": 0.5,
            "iteration": 5,
            "recognizer/loss": 2.5,
            "student/loss": 1.5,
            "recognizer/lr": 0.1,
        },
        {"kind": "train", "epoch": 1.0, "iteration": 10, "recognizer/loss": None, "student/loss": 1.25, "top1": 50.0},
        {"kind": "validation", "epoch": 1.0, "iteration": 10, "top1": 40.0},
    ]
    log = tmp_path / "train_log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "train", "ep')

    trained = read_training(log)
    html = page_of(tmp_path, labelled_run(results={"training": trained}))

    assert trained.tables["steps"][1] == {
        "epoch": 1.0,
        "iteration": 10,
        "recognizer/loss": None,
        "student/loss": 1.25,
        "recognizer/lr": None,
        "top1": 50.0,
    }
    assert trained.tables["validation"] == [{"epoch": 1.0, "iteration": 10, "top1": 40.0}]
    assert html.count('aria-label="Line plot') == 2
    for legend in ("recognizer/loss", "student/loss", "top1, training", "top1, validation"):
        assert legend in html
    assert read_training(tmp_path / "nothing.jsonl") is None


def test_a_long_training_is_thinned_out_and_keeps_its_end(tmp_path):
    log = tmp_path / "train_log.jsonl"
    rows = [{"kind": "train", "epoch": n / 100, "iteration": n, "loss": 1.0} for n in range(1, 1002)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))

    steps = read_training(log).tables["steps"]

    assert 150 <= len(steps) <= 200
    assert steps[-1]["iteration"] == 1001


def test_trainings_side_by_side(tmp_path):
    """A run of several phases beside one of one, and one that has not trained."""
    runs = [
        labelled_run(name, results={"training": Result(tables={"steps": steps})} if steps else {})
        for name, steps in (
            ("plain", [{"epoch": 1.0, "loss": 1.0, "top1": 30.0}]),
            ("phases", [{"epoch": 1.0, "recognizer/loss": 2.0, "student/loss": 9.0, "recognizer/top1": 40.0}]),
            ("measured only", []),
        )
    ]

    html = page_of(tmp_path, *runs)

    assert html.count('aria-label="Line plot') == 2
    assert "Top-1 accuracy, training clips" in html
    assert "Steps: phases" in html


@pytest.mark.parametrize("runs", [1, 3])
def test_tables_scroll_by_themselves_and_configurations_are_not_printed(tmp_path, runs):
    """So that a phone shows a table that is wider than its screen, and paper no pages of YAML."""
    html = page_of(tmp_path, *[labelled_run(f"run {number}") for number in range(runs)])
    style = html[html.index("<style>") : html.index("</style>")]
    screen, _, paper = style.partition("@media print")

    assert html.count("<table") == html.count('<div class="scroll"><table')
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", screen)
    assert 'content: "scroll sideways' in screen
    assert html.count('<details class="unprinted"><summary>Configuration') == runs
    assert "details.unprinted > :not(summary) { display: none; }" in paper
