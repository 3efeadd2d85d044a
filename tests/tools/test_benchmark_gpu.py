import json

import pytest

from pvbias.tools.main import main


def test_cases_beside_a_plain_loop_and_one_that_fails(tmp_path, capsys):
    """On a CPU: what a GPU takes is not a test's business. A case that fails takes no other with it."""
    path = tmp_path / "figures.json"
    sizes = ["--cases", "no_such_model:2x4x16", "r3d_small:2x4x16"]
    arguments = ["--out", str(path), *sizes, "--set", "NUM_GPUS", "0", "PRECISION", "fp32"]
    assert main(["benchmark", "gpu", *arguments]) == 1
    failed, measured = json.loads(path.read_text())["results"]
    assert "No MODEL is called 'no_such_model'" in failed["error"]
    assert set(measured["step_ms"]) == {"plain contiguous", "plain channels_last_3d", "pvbias", "pvbias freeze"}
    assert all(ms > 0 for times in measured["step_ms"].values() for ms in times)
    assert "details_error" not in measured
    text = capsys.readouterr().out
    assert "failed: " in text
    assert "r3d_small 2x4x16" in text


def test_the_work_of_a_step_beside_what_an_h100_can_do(tmp_path, capsys):
    path = tmp_path / "work.json"
    assert main(["benchmark", "gpu", "--work", "--out", str(path), "--cases", "r3d_small:2x4x16"]) == 0
    (result,) = json.loads(path.read_text())["results"]
    row = capsys.readouterr().out.splitlines()[-3].split()
    assert row[:2] == ["r3d_small", "2x4x16"]
    # Two for a multiply-add, three forwards' worth, two clips; of one fvcore counts 4,311,040 in convolutions and
    # 102,400 in the linear layer.
    assert result["work"]["flops"] == 2 * 3 * 2 * (4_311_040 + 102_400)
    assert float(row[4]) == pytest.approx(result["work"]["traffic"] / 1e9, abs=0.1)


@pytest.mark.parametrize("case", ["r3d_18:2x4", "r3d_small"])
def test_a_case_is_one_of_the_five_or_has_a_size(case, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "gpu", "--out", str(tmp_path / "figures.json"), "--cases", case])
    assert "MODEL:NxTxS" in capsys.readouterr().err


def test_the_five_are_not_for_a_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["benchmark", "gpu", "--out", str(tmp_path / "figures.json")]) == 2
    assert "no GPU" in capsys.readouterr().err
