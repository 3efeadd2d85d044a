"""What is said before anything is queued."""

from pathlib import Path

import yaml

from pvbias.tools.main import main

from .conftest import log_of


def refused(capsys, config, *arguments, code=6):
    capsys.readouterr()
    assert main(["submit", "--cfg", str(config), *map(str, arguments)]) == code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_requests_that_cannot_be_fulfilled(cluster, config, capsys):
    assert "unknown partition 'mian'. Did you mean 'main'?" in refused(capsys, config, "SLURM.PARTITION", "mian")
    assert "'main' has at most 2 GPUs on a machine" in refused(capsys, config, "SLURM.GPUS_PER_NODE", 3)
    assert "'main' has at most 3 machines" in refused(capsys, config, "SLURM.NODES", 4)
    assert "'main' has at most 2880 minutes" in refused(capsys, config, "SLURM.TIME", "3-00:00:00")
    assert "SLURM.TIME = '12:00' must be minutes" in refused(capsys, config, "SLURM.TIME", "12:00", code=2)
    assert "leaves no time to work" in refused(capsys, config, "SLURM.TIME", "3", code=2)
    assert "would begin anew" in refused(capsys, config, "TRAIN.AUTO_RESUME", "False")
    assert "Slurm refuses the job:" in refused(capsys, config, "SLURM.CONSTRAINT", "no_such_feature")
    assert cluster.run("squeue", "--noheader", "--states=all", "--name=output") == ""


def test_a_folder_in_use(submit, cluster, config, tmp_path, capsys):
    (job,) = submit("held", "SLURM.SBATCH", "['hold']")
    error = refused(capsys, config, "OUTPUT_DIR", tmp_path / "held")
    assert f"Job {job.id} writes into {tmp_path / 'held'} and is PENDING" in error
    cluster.run("scancel", job.id)
    cluster.wait_for(job.id, "CANCELLED")
    assert main(["submit", "--cfg", str(config), "--dry-run", "OUTPUT_DIR", str(tmp_path / "held")]) == 0


def test_dry_run(cluster, config, tmp_path, capsys):
    keys = ["SLURM.NODES", "2", "SLURM.GPUS_PER_NODE", "2", "SLURM.CPUS_PER_TASK", "4", "SLURM.MEM_GB", "1.5"]
    keys += ["SLURM.SETUP", "['module load cuda']", "SLURM.SRUN_ARGS", "['--container-image=a b']"]
    keys += ["SLURM.SBATCH", "['reservation=cvpr', 'exclusive']", "SLURM.TIME", "1-06:00:00"]
    capsys.readouterr()
    sweep = ["--sweep", "DATA.TRAIN_JITTER_SCALES=[16,16],[16,32]", "RNG_SEED=0,1", "--parallel", "2"]
    assert main(["submit", "--cfg", str(config), *keys, "OUTPUT_DIR", str(tmp_path / "run"), "--dry-run", *sweep]) == 0
    script, *configs = capsys.readouterr().out.split("\n---\n")
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert options >= {
        "nodes=2",
        "ntasks-per-node=2",
        "gpus-per-node=2",
        "cpus-per-task=4",
        "mem=1536MB",
        "time=1800",
        "job-name=run",
        "requeue",
        "exclusive",
        "reservation=cvpr",
        "array=0-3%2",
    }
    assert "\nmodule load cuda\n" in script
    assert "'--container-image=a b'" in script
    swept = [yaml.safe_load(text) for text in configs]
    varied = [(cfg["RNG_SEED"], cfg["DATA"]["TRAIN_JITTER_SCALES"]) for cfg in swept]
    assert varied == [(0, [16, 16]), (1, [16, 16]), (0, [16, 32]), (1, [16, 32])]
    assert {(cfg["NUM_SHARDS"], cfg["NUM_GPUS"]) for cfg in swept} == {(2, 2)}
    assert len({cfg["OUTPUT_DIR"] for cfg in swept}) == 4
    assert all(Path(cfg["OUTPUT_DIR"]).parent == tmp_path / "run" for cfg in swept)
    assert not (tmp_path / "run").exists()


def test_without_slurm(config, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "There is no sbatch on PATH" in refused(capsys, config)
    assert main(["submit", "--cfg", str(config), "SLURM.PARTITION", "elsewhere", "OUTPUT_DIR", "run", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("#!/bin/bash")
    assert "#SBATCH --partition=elsewhere\n" in said.out
    assert " --kill-on-bad-exit=1 " in said.out  # of its processes; one alone would wait for the others for ever
    assert yaml.safe_load(said.out.split("\n---\n")[1])["SLURM"]["PARTITION"] == "elsewhere"
    assert "was not checked" in said.err
    assert "would begin anew" in refused(capsys, config, "--dry-run", "TRAIN.AUTO_RESUME", "False")
    assert "but this machine shows" in refused(capsys, config, "--cluster", "local", "SLURM.GPUS_PER_NODE", 99)
    assert "this machine alone" in refused(capsys, config, "--cluster", "local", "SLURM.NODES", 2)
    assert "keys that do not vary go before --sweep" in refused(
        capsys, config, "--sweep", "RNG_SEED=0,1", "NUM_GPUS", code=2
    )
    assert "has a value twice" in refused(capsys, config, "--sweep", "RNG_SEED=0,1,0", code=2)


def test_this_machine_as_a_cluster(submit, tmp_path, capsys):
    """Two processes, without Slurm."""
    two = ("SLURM.TASKS_PER_NODE", 2)
    (job,) = submit("local", *two, "SOLVER.MAX_EPOCH", "1.0", options=["--cluster", "local", "--wait"])
    assert [line["iteration"] for line in log_of(job.output_dir)] == list(range(1, 9))
    assert main(["jobs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[1:4] == ["local", "COMPLETED", "1"]
    (record,) = (tmp_path / "local" / "jobs").glob("*_config.yaml")
    assert yaml.safe_load(record.read_text())["OBJECTIVE"]["NAME"] == "Braked"
