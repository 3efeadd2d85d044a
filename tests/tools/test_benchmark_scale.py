"""The table of growth, and the exit code where something grows too much; how much it grows here is not asked."""

import pytest

from pvbias.tools import benchmark_scale
from pvbias.tools.main import main


@pytest.mark.parametrize(("bound", "code"), [(1e9, 0), (0.0, 1)])
def test_what_is_above_its_bound_is_the_exit_code(bound, code, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_scale, "RATIO", bound)
    assert main(["benchmark", "scale", "--only", "files", "--files", "40"]) == code
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bad files")]
    assert "10 / 40" in row
    assert ("ABOVE" in row) == bool(code)


def test_made_up_videos_are_measured_in_all_their_views_and_classes(tmp_path):
    seconds, mebibytes = benchmark_scale._measured(tmp_path, videos=2, views=12, classes=3)
    assert seconds > 0
    assert 10 < mebibytes < 1e6
    assert "all windows" in (tmp_path / "results.json").read_text()
