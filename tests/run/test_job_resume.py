"""The same OUTPUT_DIR again, from the command line: what was trained is kept where it is this training, and what is
measured is never an earlier run's."""

import json

import pytest
import torch
import yaml
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.models import ZooModel
from pvbias.plugin_loading import load_plugins
from pvbias.registries import MODEL
from pvbias.tools.main import main


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.proj = nn.Linear(4, num_classes)

    def forward(self, clip):
        return self.proj(self.conv(clip).relu().mean((2, 3, 4)))


@pytest.fixture(autouse=True)
def registered():
    load_plugins()  # what they register stays
    restore = MODEL.snapshot()
    entry = ZooModel(
        zoo="tests",
        build=lambda num_classes, num_frames, crop_size: Net(num_classes),
        clip_spec=ClipSpec(num_frames=4, sampling_rate=1, crop_size=16, test_crop_size=16, short_side=16),
        head="proj",
    )
    MODEL.register(entry, name="going_net")
    MODEL.register(entry, name="other_net")
    yield
    restore()


@pytest.fixture
def run(bar_videos, tmp_path):
    """``run(KEY, value, ...)``: exit code of a run in ``tmp_path/run``."""

    empty = tmp_path / "empty.yaml"
    empty.write_text("{}\n")

    def start(*keys):
        basic = {
            "MODEL.MODEL_NAME": "going_net",
            "DATA.PATH_TO_DATA_DIR": bar_videos,
            "DATA_LOADER.NUM_WORKERS": 0,
            "TRAIN.BATCH_SIZE": 4,
            "SOLVER.MAX_EPOCH": 1,
            "TEST.NUM_ENSEMBLE_VIEWS": 1,
            "TEST.NUM_SPATIAL_CROPS": 1,
            "BIAS.EVALUATORS": "['dynamic_score']",
            "BIAS.BOOTSTRAP_SAMPLES": 100,
            "TENSORBOARD.ENABLE": False,
            "NUM_GPUS": 0,
            "OUTPUT_DIR": tmp_path / "run",
        }
        command = (
            ["run", "--cfg", str(empty)] if "--cluster" not in keys else ["submit", "--cfg", str(empty), *keys[:2]]
        )
        keys = keys[2:] if "--cluster" in keys else keys
        merged = basic | dict(zip(keys[::2], keys[1::2], strict=True))
        return main([*command, *(str(part) for pair in merged.items() for part in pair)])

    start.folder = tmp_path / "run"
    return start


def results(run):
    return json.loads((run.folder / "results.json").read_text())


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_another_training_in_the_same_folder_is_refused_and_nothing_is_touched(run, capsys):
    assert run() == 0
    before = content(run.folder)
    for keys, named in (
        (["OBJECTIVE.NAME", "DRLFreeze"], "OBJECTIVE.NAME: was 'CrossEntropy', is 'DRLFreeze'"),
        (["MODEL.MODEL_NAME", "other_net"], "MODEL.MODEL_NAME: was 'going_net', is 'other_net'"),
        (["RNG_SEED", 1], "RNG_SEED: was 0, is 1"),
        (["SOLVER.BASE_LR", 0.5], "SOLVER.BASE_LR: was 0.1, is 0.5"),
        (["DATA.TRAIN_SPLIT", "test.csv"], "test.csv (8 videos)' (other names, labels"),
    ):
        capsys.readouterr()
        assert run(*keys) == 2
        said = capsys.readouterr().err
        assert named in said
        assert "checkpoint_epoch_00001.pyth" in said
        assert content(run.folder) == before


def test_it_is_refused_when_it_is_submitted(run, capsys):
    """Not in the queue."""
    assert run() == 0
    before = content(run.folder)
    for keys in (["RNG_SEED", 1], ["DATA.TRAIN_CROP_SIZE", 8], ["MODEL.NUM_CLASSES", 3]):
        capsys.readouterr()
        assert run("--cluster", "debug", "SLURM.GPUS_PER_NODE", 0, *keys) == 2
        assert f"  {keys[0]}: was" in capsys.readouterr().err
    assert content(run.folder) == before


def test_other_measuring_keeps_the_training_and_measures_anew(run, caplog):
    assert run() == 0
    first, weights = results(run), content(run.folder / "checkpoints")
    caplog.clear()
    keys = ["TEST.NUM_ENSEMBLE_VIEWS", 3, "BIAS.FREEZE_FRAME", "first", "BIAS.EVALUATORS", "['modulated_accuracy']"]
    with caplog.at_level("INFO"):
        assert run(*keys, "SOLVER.MAX_EPOCH", "1.0", "LOG_PERIOD", 1) == 0
    second = results(run)
    assert "Going on after step 3 of 3" in caplog.text
    assert content(run.folder / "checkpoints") == weights
    assert set(second["results"]) - {"training"} == {"accuracy", "modulated_accuracy"}
    assert (first["run"]["views"], second["run"]["views"]) == ("1 clip, centre crop", "3 clips, centre crop")
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["BIAS"]["FREEZE_FRAME"] == "first"
    assert second["run"]["weights"] == first["run"]["weights"] == "trained in this run, from random initialisation"


def test_what_was_changed_on_the_way_is_on_the_page(run):
    """And on that of a later measurement."""
    assert run() == 0
    assert results(run)["run"]["cautions"] == []
    assert run("SOLVER.MAX_EPOCH", 2, "TRAIN.RESUME_CHANGED", "['SOLVER.MAX_EPOCH']") == 0
    said = "The training did not go on as it had begun (after epoch 1: SOLVER.MAX_EPOCH 1.0 -> 2.0)"
    for _ in range(2):
        (caution,) = results(run)["run"]["cautions"]
        assert caution.startswith(said)
        assert said.replace(">", "&gt;") in (run.folder / "report.html").read_text()
        assert run("SOLVER.MAX_EPOCH", 2, "TRAIN.ENABLE", False) == 0


def test_a_stem_that_was_not_loaded_is_on_the_page(run, tmp_path, caplog):
    """Hardly any of the weights, and all that the model sees goes through them."""
    torch.manual_seed(3)
    theirs = Net(2).state_dict()
    theirs["conv.weight"] = theirs["conv.weight"][:, :, :1]
    torch.save({"model_state": theirs}, tmp_path / "other_stem.pyth")
    keys = ["TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", tmp_path / "other_stem.pyth"]
    assert run(*keys, "CHECKPOINT.MIN_MATCH", 0.01) == 0
    (caution,) = results(run)["run"]["cautions"]
    assert "1 of the backbone's weights keep their random initial values" in caution
    assert "conv.weight (shape (4, 3, 1, 3, 3) in the file, (4, 3, 3, 3, 3) in the model)" in caution
    assert caution in caplog.text
    assert "Read with care" in (run.folder / "report.html").read_text()


def test_a_training_anew_is_what_is_measured_afterwards(run):
    """With fewer epochs than the one before, of which nothing is left."""
    assert run("SOLVER.MAX_EPOCH", 3) == 0
    assert run("TRAIN.AUTO_RESUME", False, "RNG_SEED", 5) == 0
    trained = results(run)["results"]
    assert run("TRAIN.ENABLE", False, "RNG_SEED", 5) == 0
    assert results(run)["results"] == trained
    assert results(run)["run"]["weights"].endswith("checkpoint_epoch_00001.pyth")


def test_partial_results_of_other_settings_are_not_taken(run, monkeypatch):
    """Killed in the middle of measuring, and measured again in other views: as without."""
    assert run("TEST.NUM_ENSEMBLE_VIEWS", 2) == 0
    expected = results(run)["results"]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pvbias.evaluation.runner._merge", killed)
        assert run("TEST.NUM_ENSEMBLE_VIEWS", 1) == 130
    assert list((run.folder / "partial").rglob("*.parts"))
    assert run("TEST.NUM_ENSEMBLE_VIEWS", 2) == 0
    assert results(run)["results"] == expected


def test_a_measurement_of_damaged_weights_is_an_error_that_names_them(run, capsys):
    assert run() == 0
    path = run.folder / "checkpoints/checkpoint_epoch_00001.pyth"
    weight = torch.load(path, weights_only=True)["model_state"]["conv.weight"].numpy().tobytes()
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(weight) + 7] ^= 0x40
    path.write_bytes(damaged)
    assert run("TRAIN.ENABLE", False) == 4
    assert f"{str(path)!r} is damaged" in capsys.readouterr().err
