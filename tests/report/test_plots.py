"""Plots as SVG elements of a page."""

import re

import pytest

from pvbias.report import plots

LINES = [plots.Curve("$loss$ <b>", 0, [(0.0, 2.0), (1.0, 1.0)]), plots.Curve("other", 1, [(0.0, 3.0)])]


def test_text_is_text_and_ids_have_the_prefix():
    svg = plots.curves(LINES, axis="loss", prefix="mine", alt='"quoted" & more')

    assert svg.startswith('<svg class="plot" role="img" aria-label="&quot;quoted&quot; &amp; more"')
    assert "$loss$ &lt;b&gt;" in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert ids
    assert all(each.startswith("mine-") for each in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= set(ids)
    assert "font-family" not in svg


def test_the_same_data_give_the_same_bytes():
    first, again = (plots.curves(LINES, axis="loss", prefix="p", alt="a") for _ in range(2))

    assert first == again


def test_bars_have_their_values_and_say_what_is_undefined():
    series = [plots.Series(0, "run", [plots.Value(40.0, 30.0, 50.0, "40.0"), plots.Value(None)])]

    svg = plots.interval_bars(["a", "b" * 60], series, axis="%", prefix="p", alt="a", limit=100, chance=[25.0, 25.0])

    for text in ("40.0", "undefined", "b" * 25 + "…"):
        assert svg.count(f">{text}<") == 1
    assert svg.count(">guessing<") == 1


def test_whiskers_go_from_the_lower_end_to_the_higher():
    series = [plots.Series(0, "run", [plots.Value(40.0, 30.0, 70.0, "40.0")])]
    svg = plots.interval_bars(["a"], series, axis="%", prefix="p", alt="a", limit=100)
    zero, tip = map(float, re.search(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [^"]+z\n"[^>]*opacity: 0\.9"', svg).groups())
    ends = re.search(r'd="M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 \n"[^>]*stroke-width: 1\.1"', svg).group(1, 3)
    assert [40 * (float(end) - zero) / (tip - zero) for end in ends] == pytest.approx([30, 70], abs=0.01)


def test_longer_names_are_cut():
    assert plots.short("one two  three", 50) == "one two three"
    assert plots.short("abcdef", 4) == "abc…"


def test_what_is_drawn_when_drawing_fails_is_nothing():
    with pytest.raises(ZeroDivisionError), plots.drawing(1.0, "p", "a") as (_, result):
        raise ZeroDivisionError
    assert result == []
