"""`pvbias demo`: both runs and their comparison, from wherever pvbias is installed."""

from pvbias.report import read_results
from pvbias.tools import demo_videos
from pvbias.tools.main import main


def test_two_runs_and_their_comparison(tmp_path, monkeypatch):
    def write(argv):
        assert argv == ["--out", "demo/videos"]
        demo_videos.write_demo_videos(argv[1], num_train=16, num_test=16, workers=1)

    monkeypatch.setattr(demo_videos, "main", write)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "SOLVER.MAX_EPOCH", "1.0", "DATA_LOADER.NUM_WORKERS", "0", "RNG_SEED", "7"]) == 0
    runs = [read_results(tmp_path / "demo" / name) for name in ("motion", "appearance")]
    assert [run.num_videos for run in runs] == [16, 16]
    assert all("RNG_SEED: 7" in run.config for run in runs)
    assert "PATH_TO_DATA_DIR: demo/videos/appearance" in runs[1].config
    assert (tmp_path / "demo/comparison/report.html").exists()
