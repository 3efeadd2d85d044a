"""Files and folders that are not there: named before anything is loaded, or waits in a queue."""

import pytest

from pvbias.tools.main import main

CODES = {"config": 2, "data": 3, "weights": 4}
TRAIN = {"TEST.ENABLE": "False", "BIAS.ENABLE": "False"}
MEASURE = {"TRAIN.ENABLE": "False", "TEST.ENABLE": "True", "BIAS.ENABLE": "False"}


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """``run(command, keys)``: exit code and message, where train.csv and names.txt are there and nothing else is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch
    for name, text in (("train.csv", "a.mp4 0\n"), ("names.txt", "walking\nrunning\n"), ("net.pyth", "no weights")):
        (tmp_path / name).write_text(text)
    (tmp_path / "run.yaml").write_text("MODEL: {MODEL_NAME: r3d_18}\nOUTPUT_DIR: out\n")

    def run(command, keys):
        options = {"run": [], "submit": ["--dry-run"]}[command]
        code = main([command, "--cfg", "run.yaml", *options, *(text for pair in keys.items() for text in pair)])
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return code, message

    return run


@pytest.mark.parametrize("command", ["run", "submit"])
@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        (TRAIN | {"TRAIN.CHECKPOINT_FILE_PATH": "gone.pyth"}, "weights", "TRAIN.CHECKPOINT_FILE_PATH = 'gone.pyth'"),
        (
            TRAIN | {"TRAIN.CHECKPOINT_FILE_PATH": "zoo://pytorchvideo/x3d_s/k40"},
            "weights",
            "x3d_s has no weights called 'k40'",
        ),
        (
            TRAIN | {"STUDENT.CHECKPOINT_FILE_PATH": "./gone.pth"},
            "weights",
            "STUDENT.CHECKPOINT_FILE_PATH = './gone.pth'",
        ),
        (MEASURE | {"TEST.CHECKPOINT_FILE_PATH": "gone.pyth"}, "weights", "TEST.CHECKPOINT_FILE_PATH = 'gone.pyth'"),
        # What a training started from, where neither it nor TEST has left weights.
        (MEASURE | {"TRAIN.CHECKPOINT_FILE_PATH": "gone.pyth"}, "weights", "TRAIN.CHECKPOINT_FILE_PATH = 'gone.pyth'"),
        (TRAIN | {"DATA.TRAIN_SPLIT": "gone.csv"}, "data", "There is no annotation gone.csv (DATA.TRAIN_SPLIT)"),
        (TRAIN | {"DATA.TRAIN_SPLIT": "s-{7..8}.tar"}, "data", "There is no annotation s-7.tar (DATA.TRAIN_SPLIT)"),
        (TRAIN | {"TRAIN.EVAL_PERIOD": "1"}, "data", "There is no annotation val.csv (DATA.VAL_SPLIT)"),
        (MEASURE | {"DATA.PATH_TO_DATA_DIR": "lists"}, "data", "There is no annotation lists/test.csv"),
        (MEASURE | {"DATA.TEST_SPLIT": ""}, "data", "DATA.TEST_SPLIT names no annotation"),
        (TRAIN | {"DATA.CLASS_NAMES_FILE": "gone.txt"}, "data", "DATA.CLASS_NAMES_FILE = 'gone.txt' does not exist"),
        (TRAIN | {"DATA.FLOW_DIR": "gone"}, "config", "DATA.FLOW_DIR = 'gone' is no folder"),
        (TRAIN | {"DATA.MASK_DIR": "names.txt"}, "config", "DATA.MASK_DIR = 'names.txt' is no folder"),
        (TRAIN | {"OUTPUT_DIR": "names.txt/out"}, "config", "names.txt: Not a directory"),
        (TRAIN | {"OUTPUT_DIR": "a" * 300}, "config", "File name too long"),
        (TRAIN | {"OUTPUT_DIR": "/proc/pvbias"}, "config", "'/proc/pvbias' (OUTPUT_DIR) cannot be written: /proc: "),
    ],
)
def test_what_is_not_there(run, tmp_path, command, keys, kind, message):
    code, said = run(command, keys)
    assert message in said
    assert code == CODES[kind]
    assert ("--files-elsewhere" in said) == (command == "submit" and "OUTPUT_DIR" not in message + str(keys))
    assert not (tmp_path / "out").exists()


def test_the_lists_that_are_there_are_named(run, tmp_path):
    for name in ("train1.csv", "test1.csv", "class_names.txt"):
        (tmp_path / "ucf101").mkdir(exist_ok=True)
        (tmp_path / "ucf101" / name).touch()
    _, said = run("run", TRAIN | {"DATA.TRAIN_SPLIT": "ucf101/train4"})
    assert "There is no annotation ucf101/train4 (DATA.TRAIN_SPLIT)" in said
    assert "In ucf101 there are class_names.txt, test1.csv, train1.csv." in said


def test_what_cannot_be_known_or_is_not_read(run, tmp_path):
    unread = {"DATA.VAL_SPLIT": "gone.csv", "DATA.TEST_SPLIT": "gone.csv", "TEST.CHECKPOINT_FILE_PATH": "gone.pyth"}
    address = {"TRAIN.CHECKPOINT_FILE_PATH": "https://example.org/net.pyth", "DATA.CLASS_NAMES_FILE": "names.txt"}
    assert run("submit", TRAIN | unread | address)[0] == 0
    assert run("submit", TRAIN | {"DATA.PATH_TO_DATA_DIR": "s3://bucket/lists"})[0] == 0
    (tmp_path / "s-0.tar").touch()
    assert run("submit", TRAIN | {"DATA.TRAIN_SPLIT": "s-{0..0}.tar"})[0] == 0
    # Where it is trained, not where it is measured.
    assert run("submit", MEASURE | {"DATA.TEST_SPLIT": "train.csv", "DATA.FLOW_DIR": "gone"})[0] == 0
    zoo = {
        "STUDENT.CHECKPOINT_FILE_PATH": "imagenet",
        "TRAIN.CHECKPOINT_FILE_PATH": "zoo://torchvision/torchvision_r3d_18/kinetics400",
    }
    assert run("submit", TRAIN | zoo)[0] == 0
    generated = {"TRAIN.DATASET": "brush_mnist", "DATA.TRAIN_SPLIT": "gone.csv"}
    assert run("submit", TRAIN | generated)[0] == 0
    elsewhere = TRAIN | {"DATA.TRAIN_SPLIT": "/scratch/of/a/node.csv", "--files-elsewhere": "--dry-run"}
    assert run("submit", elsewhere)[0] == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["flow", "extract"], ["prepare"]])
def test_work_on_a_list_that_is_not_there(run, tmp_path, capsys, command):
    array = ["--array", "2", "--dry-run"]
    assert main([*command, "gone.csv", "out", *array]) == 3
    assert "There is no annotation gone.csv (DATA)" in capsys.readouterr().err
    assert main([*command, "train.csv", "names.txt/out", *array]) == 2
    assert main([*command, "train.csv", "names.txt/out"]) == 2
    assert "names.txt: Not a directory" in capsys.readouterr().err
    assert main([*command, "train.csv", "out", *array]) == 0
    assert not (tmp_path / "out").exists()
