"""Variables that sbatch reads: they count where the configuration leaves a choice."""

import pytest
import yaml

from pvbias.tools.main import main


@pytest.fixture
def plan(config, capsys, monkeypatch, tmp_path):
    """``plan(variables, key, value, ...)``: options of the script, SLURM of the configuration, and what is said."""
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch

    def plan(variables, *keys):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(["submit", "--cfg", str(config), "--dry-run", "SLURM.TIME", "1-00:00:00", *keys])
        said = capsys.readouterr()
        if code:
            return code, said.err
        script, cfg = said.out.split("\n---\n")
        options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH --")}
        return options, yaml.safe_load(cfg)["SLURM"], said.err

    return plan


def test_they_count_where_nothing_is_asked_for(plan):
    variables = {"SBATCH_PARTITION": "gpu", "SBATCH_ACCOUNT": "vision", "SBATCH_TIMELIMIT": "89:30"}
    variables |= {"SBATCH_RESERVATION": "cvpr", "SBATCH_MEM_PER_NODE": "64G"}
    options, asked, said = plan(variables)
    assert {"partition=gpu", "account=vision", "time=90", "reservation=cvpr"} <= options
    assert (asked["PARTITION"], asked["TIME"], asked["SBATCH"]) == ("gpu", "90", ["reservation=cvpr"])
    assert "SLURM.PARTITION = 'gpu' (of the environment, SBATCH_PARTITION)\n" in said
    assert "Of no effect, since the configuration decides: SBATCH_MEM_PER_NODE\n" in said


def test_the_configuration_counts_more(plan):
    keys = ["SLURM.PARTITION", "cpu", "SLURM.SBATCH", "['reservation=mine']"]
    options, _, said = plan({"SBATCH_PARTITION": "gpu", "SBATCH_RESERVATION": "cvpr", "SBATCH_QOS": "high"}, *keys)
    assert {"partition=cpu", "reservation=mine", "qos=high"} <= options
    assert "decides: SBATCH_PARTITION, SBATCH_RESERVATION\n" in said


@pytest.mark.parametrize(("limit", "message"), [("UNLIMITED", "job needs a limit"), ("3", "leaves no time to work")])
def test_a_limit_that_cannot_be_is_named(plan, limit, message):
    code, said = plan({"SBATCH_TIMELIMIT": limit})
    assert code == 2
    assert "SBATCH_TIMELIMIT" in said
    assert message in said
