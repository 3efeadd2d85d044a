"""The out-of-context study: its runs are valid configurations, and its page says what the runs' results say."""

from pathlib import Path

import pytest

from pvbias.engine.checkpoint import checkpoint_path
from pvbias.evaluation import Figure, Result

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "drl" / "out_of_context"


@pytest.fixture(scope="module")
def study():
    return script(PROJECT / "study.py")


def finished(folder, accuracy=50.0, scores=(0.1, 0.2, 0.3)):
    """A run that is done: accuracy (percent), distilled, freeze and shuffle score (nats), weights."""
    top1 = Figure(name="top1", value=accuracy, unit="%", level="clip")
    distill, freeze, shuffle = (
        Figure(name="dynamic_score", value=value, unit="nats", level="clip", variant=variant)
        for value, variant in zip(scores, ("distill", "freeze_middle", "shuffle"), strict=True)
    )
    results = {
        "accuracy": Result(figures=[top1]),
        "dynamic_score": Result(figures=[freeze, shuffle]),
        "dynamic_score_distill": Result(figures=[distill]),
    }
    write_run(folder, results)


def test_one_stage_after_the_other(study, tmp_path, capsys):
    assert planned(study, tmp_path, capsys, "--seeds", "0", "1").keys() == {"brush_seed0", "brush_seed1"}
    finished(tmp_path / "brush_seed0")
    runs = planned(study, tmp_path, capsys, "--seeds", "0")
    assert len(runs) == 6 + 2 * 3 + 2  # methods; correlations x methods; weights
    start = str(checkpoint_path(str(tmp_path / "brush_seed0"), 2))
    assert {(cfg.MODEL.NUM_CLASSES, cfg.TRAIN.CHECKPOINT_FILE_PATH) for cfg in runs.values()} == {(10, start)}
    pgd, heavy = runs["drl_pgd_rho1_seed0"], runs["drl_freeze_rho1_lambda2_seed0"]
    assert (pgd.OBJECTIVE.NAME, pgd.DRL.ATTACK, pgd.DECOUPLED.RHO) == ("DRLAdversarial", "pgd", 1.0)
    assert "dynamic_score_distill" in pgd.BIAS.EVALUATORS
    assert (heavy.OBJECTIVE.NAME, heavy.DRL.LAMBDA, heavy.BIAS.EVALUATORS) == ("DRLFreeze", 2.0, ["dynamic_score"])
    finished(tmp_path / "crossentropy_rho0.8_seed0")
    out = planned(study, tmp_path, capsys, "--seeds", "0")["crossentropy_rho0.8_out_seed0"]
    assert (out.TRAIN.ENABLE, out.DECOUPLED.CONTEXT) == (False, "out")
    assert str(checkpoint_path(str(tmp_path / "crossentropy_rho0.8_seed0"), 2)) == out.TRAIN.CHECKPOINT_FILE_PATH


def test_the_page_says_what_was_measured(study, tmp_path, capsys):
    for seed, (plain, freeze) in enumerate(((60.0, 70.0), (62.0, 74.0), (64.0, 72.0))):
        for name in ("brush", "drl_distill_rho1", "drl_distill_rho1_out"):
            finished(tmp_path / f"{name}_seed{seed}", plain)
        for name, accuracy in (("crossentropy_rho1", 100.0), ("crossentropy_rho1_out", plain)):
            finished(tmp_path / f"{name}_seed{seed}", accuracy)
        for name, accuracy in (("drl_freeze_rho1", 99.0), ("drl_freeze_rho1_out", freeze)):
            finished(tmp_path / f"{name}_seed{seed}", accuracy, (0.5, 2.0, 1.0))
    settings = [study.Setting(method=method) for method in study.SWEPT]
    measured = study.measure(study.Study(out=tmp_path), (0, 1, 2), settings, quick=False)
    rows = {row[0]: row[1:] for row in study.methods_table(measured)}
    # Differences of 10, 12 and 8 points: mean 10, standard error 2 / sqrt(3), t of 2 degrees of freedom 4.303.
    assert rows["DRL Freeze"][:3] == ["99.0 ± 0.0", "72.0 ± 5.0", "+10.0 ± 5.0"]
    assert rows["DRL Freeze"][3:6] == ["0.50 ± 0.00", "2.00 ± 0.00", "1.00 ± 0.00"]
    assert rows["CrossEntropy"][1:3] == ["62.0 ± 5.0", ""]
    assert study.verdicts(measured) == [
        "DRL Distill: +0.0 points: no difference that these seeds can tell from none.",
        "DRL Freeze: +10.0 points: it helps.",
    ]
    page = study.write_page(tmp_path, measured, (0, 1, 2)).read_text(encoding="utf-8")
    assert "+10.0 ± 5.0" in page
    assert "<svg" not in page  # one correlation and one weight make no plot
    capsys.readouterr()
    study.main(["--out", str(tmp_path), "--quick", "--seeds", "0"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "one seed does not tell" in (tmp_path / "report.html").read_text(encoding="utf-8")
