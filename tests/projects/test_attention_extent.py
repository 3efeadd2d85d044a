"""The study's runs, and its table from their results."""

from pathlib import Path

import pytest

from pvbias.evaluation import Figure, Result
from pvbias.registries import MODEL

from .studies import planned, script, write_run

PROJECT = Path(__file__).parents[2] / "projects" / "attention_extent"


@pytest.fixture
def study(monkeypatch):
    restore = MODEL.snapshot()
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.setenv("PYTHONPATH", "")
    yield script(PROJECT / "study.py")
    restore()


def test_random_and_trained_weights_of_both_networks(study, tmp_path, capsys):
    runs = planned(study, tmp_path, capsys, "--seeds", "0", "3")
    assert sorted(runs) == sorted(
        f"{model}_{weights}_seed{seed}"
        for model in ("small_mvit", "small_vit")
        for weights in ("random", "trained")
        for seed in (0, 3)
    )
    for name, cfg in runs.items():
        assert name.startswith(cfg.MODEL.MODEL_NAME)
        assert ("trained" in name) == cfg.TRAIN.ENABLE
        assert name.endswith(f"seed{cfg.RNG_SEED}")
        assert "attention_extent" in cfg.BIAS.EVALUATORS


def test_the_table_has_means_and_ranges(study, tmp_path):
    def finished(name, top1, extent):
        accuracy = Result(figures=[Figure(name="top1", value=top1, unit="%", level="video")])
        figures = [
            Figure(name="relative_extent", value=extent, unit="of 1", level="clip"),
            Figure(name="position_shift", value=0.25, unit="nats", level="clip"),
        ]
        layers = [{"relative_extent": extent - 0.1}, {"relative_extent": extent + 0.1}]
        write_run(
            tmp_path / name,
            {"accuracy": accuracy, "attention_extent": Result(figures=figures, tables={"layers": layers})},
        )

    for model in ("small_mvit", "small_vit"):
        for seed, (top1, extent) in enumerate([(10.0, 1.0), (20.0, 1.2)]):
            finished(f"{model}_random_seed{seed}", top1, 1.0)
            finished(f"{model}_trained_seed{seed}", top1 + 50, extent)
    study.main(["--out", str(tmp_path), "--seeds", "0", "1"])
    lines = (tmp_path / "attention_extent.md").read_text(encoding="utf-8").splitlines()
    assert lines[2] == (
        "| small_mvit | random | 15 [10, 20] | 1.000 [1.000, 1.000] | 0.90 1.10 | 0.250 [0.250, 0.250] |"
    )
    assert lines[3].startswith("| small_mvit | trained | 65 [60, 70] | 1.100 [1.000, 1.200] | 1.00 1.20 |")
