"""The plan of trainings on many GPUs: its formulas against hand-worked cases, and against interruptions drawn at
random."""

import importlib
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torchvision

from pvbias.errors import ConfigError

PROJECT = Path(__file__).parents[2] / "projects" / "scaling"
MODULES = ("measure", "rates", "steps", "interruptions", "plan")


@pytest.fixture(scope="module")
def planning():
    """Everything in the project's modules."""
    sys.path.insert(0, str(PROJECT))
    modules = [importlib.import_module(name) for name in MODULES]
    yield SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})
    sys.path.remove(str(PROJECT))
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def model(planning):
    return planning.Model(
        parameters=25e6,
        weights_bytes=101e6,
        decode_seconds=0.01,
        read_bytes=1e6,
        test_decode_seconds=0.1,
        test_scale=1.0,
        clip_seconds=0.03,
        step_seconds=0.0,
    )


@pytest.fixture
def rates(planning):
    return planning.Rates(
        train_videos=8000,
        test_videos=100,
        video_bytes=1e6,
        test_views=30,
        epochs=10,
        gpu_batch=8,
        batch_limit=1024,
        gpus_per_node=8,
        cores_per_gpu=4,
        gpu_speed=1,
        storage_bandwidth=1e12,
        storage_opens=1e6,
        bandwidth_within=1e11,
        bandwidth_between=1e10,
        latency_within=0,
        latency_between=0,
        bucket_bytes=25e6,
        backward_share=0.5,
        step_jitter=0,
        save_bandwidth=1e8,
        load_bandwidth=2e8,
        start_seconds=30,
        start_opens=0,
        start_bytes=0,
        requeue_seconds=60,
        requeue_growth=0,
        node_failures=0.5,
        node_preemptions=0.5,
        preempted_together=1,
        announced=0,
        time_limit_seconds=1e12,
    )


def test_a_ring_by_hand(planning):
    # 4 processes, 100 MB at 10 GB/s: 6 moves of 25 MB, 2.5 ms each, and 6 hops of 1 ms.
    assert planning.ring_all_reduce(1e8, 4, 1e10, 1e-3) == pytest.approx(6 * 0.0025 + 6 * 0.001)
    assert planning.ring_all_reduce(1e8, 1, 1e10, 1e-3) == 0


@pytest.mark.parametrize(("n", "tabulated"), [(8, 1.42360), (100, 2.50759), (1000, 3.24144)])
def test_the_slowest_of_n_against_tabulated_order_statistics(planning, n, tabulated):
    assert planning.slowest(n) == pytest.approx(tabulated, rel=0.01)


def test_a_step_by_hand(planning, rates, model):
    one = planning.step(rates, model, 8)
    assert one.work == pytest.approx(0.24)
    # 100 MB of gradients in 4 buckets: 2 * 7 / 8 * 100 MB / 100 GB/s, hidden but for the last bucket.
    assert one.all_reduce == pytest.approx(1.75e-3)
    assert one.exposed == pytest.approx(1.75e-3 / 4)
    assert one.seconds == pytest.approx(0.24 + 1.75e-3 / 4)
    assert one.bound == "GPU"
    # Between machines it is the slower link's: 2 * 15 / 16 * 100 MB / 10 GB/s; and half the hops of a latency of 2 ms.
    assert planning.step(rates, model, 16).all_reduce == pytest.approx(0.01875)
    slow = replace(rates, latency_between=2e-3)
    assert planning.step(slow, model, 16).all_reduce == pytest.approx(0.01875 + 4 * 30 * 2e-3 * 2 / 16)


def test_the_slower_of_input_and_step_counts(planning, rates, model):
    cases = {
        "decoding": (replace(rates, cores_per_gpu=0.25), 8 * 0.01 / 0.25),
        "file system: bytes": (replace(rates, storage_bandwidth=1e8), 64 * 1e6 / 1e8),
        "file system: opens": (replace(rates, storage_opens=100), 64 / 100),
        # 1.75e-3 s on a network of a thousandth, of which half the work, 0.12 s, hides some
        "all-reduce": (replace(rates, bandwidth_within=1e8), 0.24 + 1.75 - 0.12),
        "slowest GPU": (replace(rates, step_jitter=1), None),
    }
    for bound, (changed, seconds) in cases.items():
        one = planning.step(changed, model, 8)
        assert one.bound == bound
        if seconds:
            assert one.seconds == pytest.approx(seconds)
        assert one.seconds == max(one.computing, one.decoding, one.reading, one.opening)
    assert planning.step(rates, replace(model, step_seconds=1.0), 8).bound == "fixed cost of a step"


def test_the_largest_mini_batch_limits_what_a_gpu_gets(planning, rates, model):
    assert [planning.step(rates, model, n).batch for n in (8, 128, 256, 512, 1024)] == [8, 8, 4, 2, 1]
    with pytest.raises(ConfigError, match="batch_limit"):
        planning.step(rates, model, 2048)


def test_an_epoch_and_a_test_by_hand(planning, rates, model):
    # 125 steps of 64 clips of 8,000, and one core that prepares the first 8 clips.
    step = 0.24 + 1.75e-3 / 4
    assert planning.epoch_seconds(rates, model, 8) == pytest.approx(125 * step + 0.08)
    # 100 videos for 8 GPUs: one has 13; 30 forwards of half a training clip's 30 ms each.
    assert planning.test_seconds(rates, model, 8) == pytest.approx(30 + 13 * 30 * 0.015)
    assert planning.test_seconds(replace(rates, cores_per_gpu=0.1), model, 8) == pytest.approx(30 + 13 * 0.1 / 0.1)


def test_young_and_daly_by_hand(planning):
    assert planning.young(2, 100) == pytest.approx(20)
    assert planning.daly(2, 100) == pytest.approx(20 * (1 + 0.1 / 3 + 0.01 / 9) - 2)
    assert planning.daly(200, 100) == 100


@pytest.mark.parametrize("save", [1.0, 20.0, 100.0])
def test_dalys_interval_is_where_the_expected_time_is_least(planning, save):
    broken = planning.Interruptions(mean=1000, mean_announced=math.inf, save=save, down=60, restart=30)
    intervals = np.arange(1.0, 1500.0)
    times = [broken.expected(1e5, interval) for interval in intervals]
    best = intervals[np.argmin(times)]
    assert planning.daly(save, 1000) == pytest.approx(best, rel=0.02, abs=1)
    assert broken.expected(1e5, planning.daly(save, 1000)) <= min(times) * 1.001
    assert broken.expected(1e5, planning.young(save, 1000)) >= min(times)


@pytest.mark.parametrize("interval", [50.0, 200.0, 500.0])
def test_the_expected_time_against_interruptions_drawn_at_random(planning, interval):
    """Second by second, as it happens: nothing of the closed form is in it."""
    mean, save, down, restart, work = 600.0, 20.0, 60.0, 30.0, 2000.0
    broken = planning.Interruptions(mean=mean, mean_announced=math.inf, save=save, down=down, restart=restart)
    rng = np.random.default_rng(0)
    times = []
    for _ in range(2000):
        clock, done, next_one, starting = 0.0, 0.0, rng.exponential(mean), 0.0
        while done < work:
            end = clock + starting + interval + save
            if next_one < end:
                clock = next_one + down
                next_one, starting = clock + rng.exponential(mean), restart
            else:
                clock, done, starting = end, done + interval, 0.0
        times.append(clock)
    error = np.std(times) / math.sqrt(len(times))
    assert broken.expected(work, interval) == pytest.approx(np.mean(times), abs=4 * error)
    simulated = broken.simulate(work, interval, 4000)
    assert simulated.mean() == pytest.approx(np.mean(times), abs=5 * error)
    assert np.quantile(simulated, 0.9) == pytest.approx(np.quantile(times, 0.9), rel=0.05)


def test_announced_interruptions_lose_no_work(planning):
    broken = planning.Interruptions(mean=1e9, mean_announced=500.0, save=5.0, down=50.0, restart=20.0)
    simulated = broken.simulate(10_000.0, 1000.0, 2000).mean()
    # Some 20 of them, 75 s each; a few hit a restart.
    assert simulated == pytest.approx(10_050 + 75 * 10_050 / 500, rel=0.03)
    assert broken.expected(10_000.0, 1000.0) == pytest.approx(simulated, rel=0.03)


def test_without_interruptions_only_saving_costs(planning):
    broken = planning.Interruptions(mean=1e12, mean_announced=1e12, save=5.0, down=50.0, restart=20.0)
    assert broken.expected(1000.0, 100.0) == pytest.approx(1050, rel=1e-4)
    assert broken.simulate(1000.0, 100.0, 3) == pytest.approx(1050)


def test_what_a_job_loses_by_hand(planning, rates, model):
    # 16 machines, each interrupted once a day; 201 MB at 100 MB/s.
    broken = planning.interruptions(rates, model, 128)
    assert broken.mean == pytest.approx(86400 / 16)
    assert broken.save == pytest.approx(2.01)
    assert broken.restart == pytest.approx(30 + 1.005)
    assert broken.lost(600) == pytest.approx(301.005 + 60 + 31.005)
    half = planning.interruptions(replace(rates, announced=1.0), model, 128)
    assert half.mean == pytest.approx(2 * 86400 / 16)
    assert half.mean_announced == pytest.approx(2 * 86400 / 16, rel=1e-3)


def test_a_start_of_many_processes_by_hand(planning, rates, model):
    # 3,000 files a process at 20,000 a second; 1 GB a machine at 10 GB/s; 128 machines.
    shared = replace(rates, start_opens=3000, start_bytes=1e9, storage_opens=20_000, storage_bandwidth=1e10)
    assert shared.start(1) == pytest.approx(30 + 0.15 + 0.1)
    assert shared.start(1024) == pytest.approx(30 + 153.6 + 12.8)
    assert planning.interruptions(shared, model, 1024).restart == pytest.approx(30 + 153.6 + 12.8 + 1.005)
    assert planning.test_seconds(shared, model, 1024) == pytest.approx(30 + 153.6 + 12.8 + 30 * 0.015)


def test_machines_that_are_taken_together_and_queues_that_grow(planning, rates, model):
    # 20 machines, each taken once a day and never failing: 20 losses; in groups of 8, which are 3, 3.
    preempted = replace(rates, node_failures=1e-12, node_preemptions=1.0, preempted_together=8)
    assert planning.interruptions(preempted, model, 160).mean == pytest.approx(86400 / 3)
    assert planning.interruptions(replace(preempted, preempted_together=1), model, 160).mean == pytest.approx(
        86400 / 20
    )
    grows = replace(rates, requeue_growth=0.5)
    assert [planning.interruptions(grows, model, gpus).down for gpus in (8, 128)] == pytest.approx([60, 240])


def test_short_epochs_are_saved_seldom_and_long_ones_often(planning, rates, model):
    short = planning.plan(rates, model, 8, trials=10)
    assert short.epoch == pytest.approx(30.1, rel=0.01)
    # 2.01 s to save, 86,400 s between losses: sqrt(2 * 2.01 * 86,400) = 589 s, 10 minutes, 19 epochs of 30 s; there
    # are 10.
    assert short.minutes == 10
    assert short.period == 10
    long = planning.plan(replace(rates, train_videos=8e6), model, 8, trials=10)
    assert long.period == 1
    assert planning.between_checkpoints(10, 1, 1500) == 500
    assert planning.between_checkpoints(10, 3, 30) == 90
    assert long.training < long.expected <= long.expected_by_default < long.likely * 1.1


def write_rates(path, rates, model):
    def entries(values):
        return {name: {"value": value, "unit": "", "origin": "assumed"} for name, value in vars(values).items()}

    path.write_text(json.dumps({"rates": entries(rates), "models": {"tiny": entries(model)}}))
    return path


def test_the_program_writes_the_tables_and_what_is_in_them(planning, rates, model, tmp_path, capsys):
    file = write_rates(tmp_path / "rates.json", rates, model)
    arguments = ["--rates", str(file), "--quick", "--set", "batch_limit=2048", "--out", str(tmp_path / "plan")]
    assert planning.main(arguments) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "plan" / "plan.md").read_text()
    content = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert content["rates"]["batch_limit"] == 2048
    rows = content["plans"]["tiny"]
    assert [row["gpus"] for row in rows] == [8, 1024]
    assert rows[1]["step"]["batch"] == 2
    assert rows[0]["bound"] == "GPU"
    assert "| 8      | 64 " in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": None}, "epochs is missing"),
        ({"epoch": 3}, "did you mean 'epochs'|epochs"),
    ],
)
def test_wrong_rates_are_named(planning, rates, model, tmp_path, change, message):
    file = write_rates(tmp_path / "rates.json", rates, model)
    content = json.loads(file.read_text())
    for name, value in change.items():
        content["rates"].pop(name, None)
        if value is not None:
            content["rates"][name] = {"value": value}
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        planning.read_rates(file)


def test_an_unknown_override_is_named(planning, rates, model, tmp_path):
    file = write_rates(tmp_path / "rates.json", rates, model)
    with pytest.raises(ConfigError, match="batch_limit"):
        planning.read_rates(file, ["batch_limits=3"])


def test_the_projects_own_rates_can_be_planned_with(planning):
    rates, models = planning.read_rates(PROJECT / "rates.json")
    assert set(models) == {"tsm_r50", "i3d_r50", "slowfast_r50"}
    for entry in json.loads((PROJECT / "rates.json").read_text())["rates"].values():
        assert entry["unit"]
        assert entry["origin"].startswith(("measured: ", "assumed: "))
    assert planning.plan(rates, models["i3d_r50"], 64, trials=10).efficiency <= 1


def test_measuring_replaces_what_can_be_measured(planning, bar_videos, tmp_path, monkeypatch):
    # In the place of a process that imports for seconds.
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: SimpleNamespace(stdout="a line\n3218 1e9\n"))
    file = tmp_path / "rates.json"
    kept = {"value": 30, "unit": "videos", "origin": "assumed: x"}
    content = {"rates": {"train_videos": kept}, "models": {"torchvision_r3d_18": {"clip_seconds": kept}}}
    file.write_text(json.dumps(content))
    arguments = ["--videos", str(bar_videos / "test"), "--rates", str(file), "--folder", str(tmp_path)]
    assert sys.modules["measure"].main([*arguments, "--mebibytes", "1", "--repeats", "1"]) == 0
    content = json.loads(file.read_text())
    assert content["rates"]["train_videos"] == kept
    assert content["rates"]["start_opens"]["value"] == 3218
    sizes = [path.stat().st_size for path in (bar_videos / "test").rglob("*.mp4")]
    assert content["rates"]["video_bytes"]["value"] == pytest.approx(np.mean(sizes), rel=1e-3)
    assert content["rates"]["save_bandwidth"]["value"] > 0
    found = content["models"]["torchvision_r3d_18"]
    assert found["clip_seconds"] == kept
    network = torchvision.models.video.r3d_18(num_classes=700)
    assert found["parameters"]["value"] == sum(weight.numel() for weight in network.parameters())
    state = network.state_dict().values()
    assert found["weights_bytes"]["value"] == sum(value.nbytes for value in state)
    assert found["read_bytes"]["value"] >= min(sizes) / 2
    assert found["decode_seconds"]["value"] > 0
    assert not list(tmp_path.rglob("*.pyth"))


def test_scores_in_two_number_formats_side_by_side(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    precision = importlib.import_module("precision")

    def scores(name, value):
        figures = [
            {"name": figure, "variant": variant, "level": level, "value": value if level == "video" else -1.0}
            for _, figure, variant in precision.FIGURES
            for level in ("clip", "video")
        ]
        results = {evaluator: {"figures": figures} for evaluator, *_ in precision.FIGURES}
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"results": results}))
        return precision.read_scores(tmp_path / name)

    lines = precision.table({"r3d_18": {"fp32": scores("a", 2.0), "tf32": scores("b", 2.25)}}).splitlines()
    assert lines[0].split() == ["model", "figure", "fp32", "tf32", "difference"]
    assert [line.split()[-3:] for line in lines[2:]] == [["2.000000", "2.250000", "0.250000"]] * len(precision.FIGURES)
    undefined = precision.table({"r3d_18": {"fp32": scores("c", None), "tf32": scores("d", 1.0)}})
    assert undefined.splitlines()[2].split()[-1] == "1.000000"  # without a difference
    del sys.modules["precision"]
