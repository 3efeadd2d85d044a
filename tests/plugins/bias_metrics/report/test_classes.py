"""The section of the classes."""

import re

import pytest

from ....report.pages import page_of, words_of
from ....report.runs import class_rows, labelled_run


def with_classes(name, accuracies):
    run = labelled_run(name)
    run.results["modulated_accuracy"].tables["per_class"] = class_rows(accuracies)
    return run


def rows_of(html):
    """Cells of the table of classes."""
    section = html[html.index('<section id="classes">') :]
    table = section[section.index('<table class="classes"') : section.index("</table>")]
    body = table[table.index("<tbody>") :]
    return [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in body.split("<tr>")[1:]]


def test_the_class_that_loses_most_comes_first(tmp_path):
    html = page_of(tmp_path, with_classes("run", {"sit": (70, 40), "run": (90, 20), "hop": (30, 35)}))

    assert rows_of(html) == [
        ["run", "10", "90.0", "20.0", "−70.0"],
        ["sit", "10", "70.0", "40.0", "−30.0"],
        ["hop", "10", "30.0", "35.0", "+5.0"],
    ]
    assert html.count('aria-label="Scatter plot') == 1


def test_runs_side_by_side_with_the_order_of_the_first(tmp_path):
    runs = with_classes("a", {"run": (90, 20), "sit": (70, 40)}), with_classes("b", {"sit": (50, 0), "swim": (10, 10)})

    assert rows_of(page_of(tmp_path, *runs)) == [
        ["run", "10", "90.0", "20.0", "−70.0", "–", "–", "–"],
        ["sit", "10", "70.0", "40.0", "−30.0", "50.0", "0.0", "−50.0"],
        ["swim", "10", "–", "–", "–", "10.0", "10.0", "0.0"],
    ]


def test_classes_of_one_name_are_told_apart_by_their_numbers(tmp_path):
    run = with_classes("run", {"jump": (50, 20), "other": (50, 40)})
    for row in run.results["modulated_accuracy"].tables["per_class"]:
        row["class_name"] = "jump"

    assert [row[0] for row in rows_of(page_of(tmp_path, run))] == ["jump (0)", "jump (1)"]


def test_very_many_classes_are_shown_at_their_ends(tmp_path):
    html = page_of(tmp_path, with_classes("run", {f"class {n:02}": (100, n) for n in range(30)}))

    text = words_of(html)
    ends = text[text.index("The six that lose most") :]
    assert ends.index("class 00") < ends.index("The six that lose least") < ends.index("class 29")
    assert "All classes (30), the largest loss first" in text


def test_no_classes_no_section(tmp_path):
    run = labelled_run()
    del run.results["modulated_accuracy"]

    assert "Class by class" not in page_of(tmp_path, run)


def test_the_scatter_has_original_clips_to_the_right_and_shuffled_ones_upwards(tmp_path):
    """A class of 90 % and 20 %: far to the right, low. The ticks of both axes are at 0, 25, 50, 75 and 100 %."""
    html = page_of(tmp_path, with_classes("run", {"run": (90, 20)}))
    svg = html[html.index('aria-label="Scatter plot') :]
    svg = svg[: svg.index("</svg>")]
    used = re.findall(r'<use href="#([^"]+)" x="([\d.]+)" y="([\d.]+)"', svg)
    ticks, (_, x, y) = used[:10], used[10]
    left, right = (float(ticks[number][1]) for number in (0, 4))
    bottom, top = (float(ticks[number][2]) for number in (5, 9))
    assert (float(x) - left) / (right - left) == pytest.approx(0.9, abs=0.001)
    assert (bottom - float(y)) / (bottom - top) == pytest.approx(0.2, abs=0.001)
    assert svg.index("accuracy on original clips") < svg.index("accuracy on shuffled clips")
