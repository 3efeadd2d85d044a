"""Changes of configuration between two starts: a run goes on where they cannot matter, and is refused by name where
they can."""

import dataclasses
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from fvcore.common.config import CfgNode

from pvbias.config import complete, load_cfg
from pvbias.config.effects import effects, flat
from pvbias.config.keys import DECLARED, Effect
from pvbias.data import VideoRecord
from pvbias.engine import CrossEntropy, identify, newest_checkpoint, refuse_another_training, train, training
from pvbias.engine.identity import refuse_another
from pvbias.errors import ConfigError, DataError
from pvbias.interruption import Interrupted
from pvbias.needs import Needs
from pvbias.plugin_loading import load_plugins
from pvbias.plugins import drl
from pvbias.registries import OBJECTIVE

from .killed import EventfulLoader, Noisy, ask
from .toys import make_cfg, tiny_recognizer


@pytest.fixture(autouse=True)
def registered():
    load_plugins()  # what they register stays
    restore = OBJECTIVE.snapshot()
    OBJECTIVE.register(Noisy)
    yield
    restore()


@dataclasses.dataclass
class Listed:
    """Videos, of which a training reads nothing but what an identity is made of."""

    folder: Path
    names: tuple = ("a.mp4", "b.mp4", "c.mp4")
    labels: tuple = (0, 1, 2)
    class_names: tuple = ()
    attributes: tuple = ({}, {}, {})

    @property
    def records(self):
        return [
            VideoRecord(path=str(self.folder / name), name=name, label=label, attributes=attributes)
            for name, label, attributes in zip(self.names, self.labels, self.attributes, strict=True)
        ]

    @property
    def description(self):
        return str(self.folder / "train.csv")

    def open(self, record):
        raise NotImplementedError


def write_files(folder):
    """Videos to train on and weights to start from."""
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.mp4").write_bytes(name.encode() * 100)
    for name in ("start", "same", "student"):
        (folder / f"{name}.pyth").write_bytes(b"weights")
    (folder / "other.pyth").write_bytes(b"weight!")
    return folder


def cfg_for(out, files, *overrides):
    cfg = make_cfg(
        out,
        *("SOLVER.MAX_EPOCH", 3.0, "SOLVER.WARMUP_EPOCHS", 0.5, "TRAIN.CHECKPOINT_MINUTES", 0.0),
        *("TRAIN.EVAL_PERIOD", 1, "TRAIN.CHECKPOINT_FILE_PATH", str(files / "start.pyth")),
    )
    drl.add_config(cfg)
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        *groups, name = key.split(".")
        node = cfg
        for group in groups:
            node = node[group]
        assert name in node
        node[name] = value
    for name, value in cfg.SOLVER.items():
        if cfg.STUDENT.SOLVER[name] is None:
            cfg.STUDENT.SOLVER[name] = value
    return cfg


def start(cfg, source, *, events=None):
    """One start of the program; None: it has stopped as asked."""
    recognizer = tiny_recognizer(norm=True, dropout=0.5)
    sources = {"train": source} | ({"val": source} if cfg.TRAIN.EVAL_PERIOD else {})
    identity = identify(cfg, sources)
    refuse_another_training(cfg, identity)
    loader = EventfulLoader(4, events=events or {})

    def validate():
        return {"top1": 1.0}

    with patch.object(training, "build_train_loader", lambda *_, **__: loader):
        try:
            return train(
                cfg, recognizer, source, validate=validate if cfg.TRAIN.EVAL_PERIOD else None, identity=identity
            )
        except Interrupted:
            return None


STATES = {"finished": {}, "half": {(1, 2): ask}}
STEPS = ("SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.STEPS", [0, 1], "SOLVER.LRS", [1, 0.1])
BASES = {"cosine": (), "steps": STEPS, "best": ("TRAIN.CHECKPOINT_BEST", "top1")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs, by base and state, and what they have been trained on."""
    root = tmp_path_factory.mktemp("runs")
    files = write_files(root / "files")
    for base, overrides in BASES.items():
        for state, events in STATES.items():
            cfg = cfg_for(root / base / state, files, *overrides)
            assert (start(cfg, Listed(files), events=dict(events)) is None) == bool(events)
    return root


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def final_weights(folder):
    return torch.load(newest_checkpoint(str(folder)), weights_only=True)["model_state"]


GOES_ON = ()

#: What is changed, and the keys that a finished run and a half-finished one are refused for; none: it goes on.
CHANGES = [
    (("OBJECTIVE.NAME", "Noisy"), ["OBJECTIVE.NAME"]),
    (("OBJECTIVE.LABEL_SMOOTHING", 0.1), ["OBJECTIVE.LABEL_SMOOTHING"]),
    (("MODEL.MODEL_NAME", "x3d_s"), ["MODEL.MODEL_NAME"]),
    (("MODEL.FREEZE", ["backbone"]), ["MODEL.FREEZE"]),
    (("RNG_SEED", 1), ["RNG_SEED"]),
    (("PRECISION", "bf16"), ["PRECISION"]),
    (("SOLVER.BASE_LR", 0.2), ["SOLVER.BASE_LR"]),
    (("SOLVER.BASE_LR", 0.2, "RNG_SEED", 1), ["RNG_SEED", "SOLVER.BASE_LR"]),
    (("SOLVER.WARMUP_EPOCHS", 0.0), ["SOLVER.WARMUP_EPOCHS"]),
    (("SOLVER.OPTIMIZING_METHOD", "adamw"), ["SOLVER.OPTIMIZING_METHOD"]),
    (("SOLVER.CLIP_GRAD_L2NORM", 1.0), ["SOLVER.CLIP_GRAD_L2NORM"]),
    (("SOLVER.BASE_LR_SCALE_NUM_SHARDS", True), ["SOLVER.BASE_LR_SCALE_NUM_SHARDS"]),
    (("TRAIN.BATCH_SIZE", 2), ["TRAIN.BATCH_SIZE"]),
    (("TRAIN.ACCUMULATE_STEPS", 2), ["TRAIN.ACCUMULATE_STEPS"]),
    (("TRAIN.CHECKPOINT_BEST", "top1"), ["TRAIN.CHECKPOINT_BEST"]),
    (("BN.FREEZE", True), ["BN.FREEZE"]),
    (("STUDENT.NAME", "resnet50"), ["STUDENT.NAME"]),
    (("STUDENT.SOLVER.BASE_LR", 0.3), ["STUDENT.SOLVER.BASE_LR"]),
    (("STUDENT.CHECKPOINT_FILE_PATH", "imagenet"), ["STUDENT.CHECKPOINT_FILE_PATH"]),
    (("DATA.NUM_FRAMES", 8), ["DATA.NUM_FRAMES"]),
    (("DATA.RANDOM_FLIP", False), ["DATA.RANDOM_FLIP"]),
    (("DATA.MODULATION", "shuffle"), ["DATA.MODULATION"]),
    (("TRAIN.TRANSFORMS", ["color_jitter"]), ["TRAIN.TRANSFORMS"]),
    (("DRL.LAMBDA", 1.0), ["DRL.LAMBDA"]),
    (("TRAIN.CHECKPOINT_FILE_PATH", ""), ["TRAIN.CHECKPOINT_FILE_PATH"]),
    (("TRAIN.CHECKPOINT_FILE_PATH", "{files}/other.pyth"), ["TRAIN.CHECKPOINT_FILE_PATH"]),
    (("TRAIN.CHECKPOINT_FILE_PATH", "{files}/same.pyth"), GOES_ON),
    (("SOLVER.MAX_EPOCH", 4.0), ["SOLVER.MAX_EPOCH"]),
    (("SOLVER.MAX_EPOCH", 2.0), ["SOLVER.MAX_EPOCH"]),
    (("LOG_PERIOD", 1), GOES_ON),
    (("DATA_LOADER.NUM_WORKERS", 7, "DATA_LOADER.PIN_MEMORY", False), GOES_ON),
    (("TENSORBOARD.ENABLE", False, "MEMORY_FORMAT", "channels_last_3d"), GOES_ON),
    (("NUM_SHARDS", 2, "DIST_BACKEND", "gloo"), GOES_ON),
    (("SLURM.TIME", "90", "SLURM.NODES", 4, "SLURM.SETUP", ["module load cuda"]), GOES_ON),
    (("TRAIN.CHECKPOINT_PERIOD", 2, "TRAIN.CHECKPOINT_KEEP", 1, "TRAIN.CHECKPOINT_MINUTES", 1.0), GOES_ON),
    (("TRAIN.EVAL_PERIOD", 0), GOES_ON),
    (("DATA.MAX_BAD_FRACTION", 0.9, "CHECKPOINT.MIN_MATCH", 0.1), GOES_ON),
    (("DATA.TRAIN_SPLIT", "elsewhere/train.csv", "DATA.PATH_TO_DATA_DIR", "/moved"), GOES_ON),
    (("TEST.NUM_ENSEMBLE_VIEWS", 1, "DATA.TEST_CROP_SIZE", 8), GOES_ON),
    (("BIAS.EVALUATORS", [], "BIAS.FREEZE_FRAME", "first", "DATA.TEST_SPLIT", "other.csv"), GOES_ON),
    (("BIAS.ENABLE", False, "TEST.ENABLE", False), GOES_ON),
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("change", "refused"), CHANGES, ids=lambda value: " ".join(map(str, value)) or "goes on")
def test_a_change_is_refused_by_name_or_cannot_matter(runs, tmp_path, change, refused, state):
    check(runs, tmp_path, "cosine", state, change, refused)


def check(runs, tmp_path, base, state, change, refused, source=None, like=None):
    """A run is refused for these keys and left as it was; or goes on, to the weights of ``like``."""
    folder = tmp_path / "run"
    shutil.copytree(runs / base / state, folder)
    before = content(folder)
    path = newest_checkpoint(str(folder))
    files = runs / "files"
    change = [value.format(files=files) if isinstance(value, str) else value for value in change]
    cfg = cfg_for(folder, files, *BASES[base], *change)
    if not refused:
        summary = start(cfg, source or Listed(files))
        assert summary.resumed_from == path
        assert list(summary.history) == []
        expected, found = final_weights(like or runs / base / "finished"), final_weights(folder)
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        return ""
    with pytest.raises(ConfigError) as caught:
        start(cfg, source or Listed(files))
    message = str(caught.value)
    assert [line.split(":")[0].strip() for line in message.splitlines() if line.startswith("  ")] == refused
    assert str(path) in message
    assert content(folder) == before
    return message


def test_what_a_refusal_says(runs, tmp_path):
    message = check(
        runs, tmp_path, "cosine", "half", ("RNG_SEED", 7, "OBJECTIVE.NAME", "Noisy"), ["RNG_SEED", "OBJECTIVE.NAME"]
    )
    assert f"OUTPUT_DIR = {str(tmp_path / 'run')!r} holds another training" in message
    assert "checkpoint_epoch_00001_step_00003.pyth" in message
    assert "  RNG_SEED: was 0, is 7\n" in message
    assert "  OBJECTIVE.NAME: was 'CrossEntropy', is 'Noisy'\n" in message
    assert "Give another OUTPUT_DIR" in message
    assert "TRAIN.AUTO_RESUME False starts anew" in message
    assert "TRAIN.RESUME_CHANGED \"['RNG_SEED', 'OBJECTIVE.NAME']\"" in message


@pytest.mark.parametrize("state", STATES)
def test_other_videos_are_refused_and_the_same_elsewhere_are_not(runs, tmp_path, state):
    files = write_files(tmp_path / "moved")
    list_key = ["DATA.TRAIN_SPLIT", "DATA.VAL_SPLIT"]
    cases = {
        "moved": (Listed(files), GOES_ON),
        "other labels": (Listed(files, labels=(0, 2, 1)), list_key),
        "another order": (Listed(files, names=("b.mp4", "a.mp4", "c.mp4")), list_key),
        "fewer": (Listed(files, names=("a.mp4", "b.mp4"), labels=(0, 1), attributes=({}, {})), list_key),
        "class names": (Listed(files, class_names=("x", "y", "z")), list_key),
    }
    for name, (source, refused) in cases.items():
        message = check(runs, tmp_path / name, "cosine", state, (), refused, source)
        if refused:
            assert "train.csv (3 videos)', is " in message
            assert "other names, labels, class names or order of the videos" in message
    (files / "b.mp4").unlink()  # a file system that is not there for a moment, or a bad video less
    check(runs, tmp_path / "missing", "cosine", state, (), GOES_ON, Listed(files))
    (files / "b.mp4").write_bytes(b"another video")
    message = check(runs, tmp_path / "size", "cosine", state, (), list_key, Listed(files))
    assert "other sizes of the videos' files" in message


@pytest.mark.parametrize("state", STATES)
def test_the_same_path_with_other_weights_is_refused(runs, tmp_path, state):
    files = runs / "files"
    (files / "start.pyth").write_bytes(b"retrained")
    try:
        message = check(runs, tmp_path, "cosine", state, (), ["TRAIN.CHECKPOINT_FILE_PATH"])
    finally:
        (files / "start.pyth").write_bytes(b"weights")
    assert "(other content)" in message


@pytest.mark.parametrize("state", STATES)
def test_the_same_folder_with_other_weights_is_refused(runs, tmp_path, state):
    """Weights as the hub keeps them."""
    files, hub = runs / "files", tmp_path / "hub"
    hub.mkdir()
    (hub / "config.json").write_text("{}")
    (hub / "model.safetensors").write_bytes(b"weights")
    starts = ("TRAIN.CHECKPOINT_FILE_PATH", str(hub))
    cfg = cfg_for(tmp_path / "run", files, *starts)
    start(cfg, Listed(files), events=dict(STATES[state]))
    (hub / "README.md").write_text("nothing of the model")
    shutil.copytree(hub, tmp_path / "moved")
    moved = cfg_for(tmp_path / "run", files, "TRAIN.CHECKPOINT_FILE_PATH", str(tmp_path / "moved"))
    assert start(moved, Listed(files)).resumed_from
    (hub / "model.safetensors").write_bytes(b"weight!")
    with pytest.raises(ConfigError, match=r"TRAIN\.CHECKPOINT_FILE_PATH: was .*, is .*hub' \(other content\)"):
        start(cfg, Listed(files))


def test_the_same_folder_of_pictures_with_others_is_refused(tmp_path):
    """Of which videos are made up."""
    pictures = tmp_path / "faces"
    (pictures / "inner").mkdir(parents=True)
    for name in ("a.png", "inner/b.png"):
        (pictures / name).touch()
    cfg = load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs", "DECOUPLED.FACES_DIR", str(pictures)])
    checkpoint = {"cfg": cfg.dump(), "identity": identify(cfg, {}), "epoch": 0}
    cfg.DECOUPLED.FACES_DIR = str(shutil.copytree(pictures, tmp_path / "moved"))
    assert refuse_another(cfg, identify(cfg, {}), checkpoint, tmp_path) == []
    (tmp_path / "moved/inner/b.png").rename(tmp_path / "moved/inner/c.png")
    with pytest.raises(ConfigError, match=r"FACES_DIR: was .*faces', is .*moved' \(other names of the files in it\)"):
        refuse_another(cfg, identify(cfg, {}), checkpoint, tmp_path)


def test_longer_training_with_a_schedule_in_steps_is_what_it_would_have_been(runs, tmp_path):
    """And with a cosine it would not."""
    files = runs / "files"
    longer = ("SOLVER.MAX_EPOCH", 5.0)
    start(cfg_for(tmp_path / "whole", files, *STEPS, *longer), Listed(files))
    for state in STATES:
        check(runs, tmp_path / state, "steps", state, longer, GOES_ON, like=tmp_path / "whole")
        message = check(runs, tmp_path / f"cosine {state}", "cosine", state, longer, ["SOLVER.MAX_EPOCH"])
        assert "was 3.0, is 5.0 (the learning rate of each step of a cosine schedule depends on it" in message
        message = check(
            runs,
            tmp_path / f"mixed {state}",
            "steps",
            state,
            (*longer, *cosine()),
            ["SOLVER.LR_POLICY", "SOLVER.MAX_EPOCH"],
        )


def cosine():
    return ("SOLVER.LR_POLICY", "cosine")


def test_a_training_cannot_be_shortened_to_what_it_has_behind_it(runs, tmp_path):
    shorter = ("SOLVER.MAX_EPOCH", 2.0)
    message = check(runs, tmp_path / "finished", "steps", "finished", shorter, ["SOLVER.MAX_EPOCH"])
    assert "(epoch 3 of it is done already)" in message
    files = runs / "files"
    start(cfg_for(tmp_path / "whole", files, *STEPS, *shorter), Listed(files))
    check(runs, tmp_path / "half", "steps", "half", shorter, GOES_ON, like=tmp_path / "whole")
    message = check(runs, tmp_path / "below", "steps", "half", ("SOLVER.MAX_EPOCH", 1.0), ["SOLVER.MAX_EPOCH"])
    assert "(epoch 1 and 3 steps of it is done already)" in message


def test_a_training_that_ended_inside_an_epoch_is_not_made_longer(runs, tmp_path):
    files = runs / "files"
    cfg = cfg_for(tmp_path, files, *STEPS, "SOLVER.MAX_EPOCH", 1.5)
    start(cfg, Listed(files))
    cfg.SOLVER.MAX_EPOCH = cfg.STUDENT.SOLVER.MAX_EPOCH = 3.0
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_EPOCH: was 1\.5, is 3\.0 \(it ended inside an epoch"):
        start(cfg, Listed(files))


def test_the_best_checkpoint_compares_validations_that_are_made_alike(runs, tmp_path):
    change = ("TEST.NUM_ENSEMBLE_VIEWS", 1, "BIAS.ENABLE", False, "TEST.BATCH_SIZE", 2)
    check(runs, tmp_path / "a", "best", "finished", change, GOES_ON)
    message = check(runs, tmp_path / "b", "best", "half", change, ["TEST.NUM_ENSEMBLE_VIEWS"])
    assert "TRAIN.CHECKPOINT_BEST" in message


@pytest.mark.parametrize("state", STATES)
def test_what_is_allowed_goes_on_and_is_noted(runs, tmp_path, state):
    files, folder = runs / "files", tmp_path / "run"
    shutil.copytree(runs / "cosine" / state, folder)
    changed = ("SOLVER.MAX_EPOCH", 4.0, "DRL.LAMBDA", 0.0, "OBJECTIVE.LABEL_SMOOTHING", 0.5)
    cfg = cfg_for(folder, files, *changed, "TRAIN.RESUME_CHANGED", ["SOLVER", "DRL.LAMBDA"])
    with pytest.raises(ConfigError) as caught:
        start(cfg, Listed(files))
    assert "  OBJECTIVE.LABEL_SMOOTHING: was" in str(caught.value)
    assert "  SOLVER" not in str(caught.value)
    assert "['SOLVER', 'DRL.LAMBDA', 'OBJECTIVE.LABEL_SMOOTHING']" in str(caught.value)
    cfg.TRAIN.RESUME_CHANGED += ["OBJECTIVE"]
    summary = start(cfg, Listed(files))
    assert summary.epochs == 4
    place = "epoch 3" if state == "finished" else "epoch 1 and 3 steps"
    note = f"after {place}: OBJECTIVE.LABEL_SMOOTHING 0.0 -> 0.5, SOLVER.MAX_EPOCH 3.0 -> 4.0, DRL.LAMBDA 0.5 -> 0.0"
    assert list(summary.history) == [note]
    # It is this training now, and its checkpoints know what became of it.
    cfg.TRAIN.RESUME_CHANGED = []
    assert list(start(cfg, Listed(files)).history) == [note]


def test_an_allowed_key_that_there_is_not(runs, tmp_path):
    shutil.copytree(runs / "cosine/half", tmp_path / "run")
    cfg = cfg_for(tmp_path / "run", runs / "files", "TRAIN.RESUME_CHANGED", ["SOLVER.MAX_EPOCHS"])
    with pytest.raises(
        ConfigError, match=r"RESUME_CHANGED: there is no key 'SOLVER.MAX_EPOCHS'. Did you mean 'SOLVER.MAX"
    ):
        start(cfg, Listed(runs / "files"))


def test_a_run_that_was_interrupted_before_its_first_checkpoint_starts_as_it_is_now(runs, tmp_path):
    files = runs / "files"
    cfg = cfg_for(tmp_path, files, "OBJECTIVE.NAME", "Noisy")
    (tmp_path / "checkpoints").mkdir(parents=True)
    (tmp_path / "train_log.jsonl").write_text('{"kind": "start", "epoch": 0, "iteration": 0}\n')
    assert start(cfg, Listed(files)).resumed_from is None


def test_a_training_that_starts_anew_leaves_nothing_of_the_other_behind(runs, tmp_path):
    """What is measured or exported afterwards is its own, though the other one had come further."""
    files, folder = runs / "files", tmp_path / "run"
    shutil.copytree(runs / "best/finished", folder)
    others = folder / "checkpoints/checkpoint_epoch_00196.pyth"  # of SlowFast, or a file that is none
    torch.save({"model_state": {"weight": torch.zeros(1)}, "epoch": 195}, others)
    others.with_name("checkpoint_epoch_00197.pyth").write_text("text")
    cfg = cfg_for(folder, files, "RNG_SEED", 5, "SOLVER.MAX_EPOCH", 2.0, "TRAIN.AUTO_RESUME", False)
    assert start(cfg, Listed(files)).resumed_from is None
    names = [path.name for path in sorted((folder / "checkpoints").iterdir())]
    assert names == [f"checkpoint_epoch_{number:05d}.pyth" for number in (1, 2, 196, 197)]
    assert newest_checkpoint(str(folder)).name == names[1]


def test_other_versions_are_noted(runs, tmp_path, caplog):
    files, folder = runs / "files", tmp_path / "run"
    shutil.copytree(runs / "cosine/half", folder)
    path = newest_checkpoint(str(folder))
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["versions"]["torch"], now = "2.6.0", checkpoint["versions"]["torch"]
    checkpoint["precision"] = "bf16"  # a GPU that "auto" has taken
    torch.save(checkpoint, path)
    (note,) = start(cfg_for(folder, files), Listed(files)).history
    assert note == f"after epoch 1 and 3 steps: torch 2.6.0 -> {now}, precision bf16 -> fp32"
    assert f"torch 2.6.0 -> {now}" in caplog.text
    # A finished training is not another one for that.
    shutil.copytree(runs / "cosine/finished", tmp_path / "finished")
    path = newest_checkpoint(str(tmp_path / "finished"))
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["versions"]["torch"] = "2.6.0"
    torch.save(checkpoint, path)
    assert list(start(cfg_for(tmp_path / "finished", files), Listed(files)).history) == []


def test_a_checkpoint_of_a_version_that_kept_no_identity(runs, tmp_path):
    """Is compared by its keys, paths as well."""
    files, folder = runs / "files", tmp_path / "run"
    shutil.copytree(runs / "cosine/half", folder)
    path = newest_checkpoint(str(folder))
    checkpoint = torch.load(path, weights_only=True)
    for key in ("identity", "versions", "precision", "history"):
        del checkpoint[key]
    torch.save(checkpoint, path)
    cfg = cfg_for(folder, files, "DATA.TRAIN_SPLIT", "new.csv", "RNG_SEED", 1, "LOG_PERIOD", 1)
    with pytest.raises(ConfigError) as caught:
        start(cfg, Listed(files))
    lines = [line.split(":")[0].strip() for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert lines == ["RNG_SEED", "DATA.TRAIN_SPLIT"]
    assert start(cfg_for(folder, files, "LOG_PERIOD", 1), Listed(files)).resumed_from == path


def names(text):
    return text.split()


#: Keys that may change between two starts, each looked at on its own; all others decide something.
HARMLESS = names("""
    PLUGINS OUTPUT_DIR NUM_GPUS NUM_SHARDS SHARD_ID DIST_BACKEND MEMORY_FORMAT LAYERS.OFF LOG_PERIOD
    DATA.CACHE_DIR DATA.CACHE_GIB
    TENSORBOARD.ENABLE CHECKPOINT.MIN_MATCH DATA.MAX_BAD_FRACTION DATA.TEST_SPLIT DATA.TEST_CROP_SIZE
    DATA.TEST_SHORT_SIDE DATA.WINDOW_STRIDE DATA_LOADER.NUM_WORKERS DATA_LOADER.PIN_MEMORY TRAIN.ENABLE
    TRAIN.CHECKPOINT_SHA256 TRAIN.AUTO_RESUME TRAIN.RESUME_CHANGED TRAIN.CHECKPOINT_PERIOD
    TRAIN.CHECKPOINT_MINUTES TRAIN.CHECKPOINT_KEEP TRAIN.EVAL_PERIOD DECOUPLED.VAL_VIDEOS
    DECOUPLED.TEST_VIDEOS DECOUPLED.CONTEXT
""")
#: Of these what they lead to is compared.
BY_CONTENT = names("""
    DATA.PATH_TO_DATA_DIR DATA.TRAIN_SPLIT DATA.VAL_SPLIT DATA.PATH_PREFIX DATA.LIST_FORMAT
    DATA.LABELS_START_AT DATA.CLASS_NAMES_FILE DATA.STREAMS.target.SPLIT DATA.STREAMS.target.PATH_PREFIX
""")
HARMLESS_GROUPS = ("TEST", "BIAS", "FEATURES", "SLURM", "CONTRASTED", "FACTOR_UNITS", "SCENE_BIAS")


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else ["x"]


def test_every_key_decides_unless_it_is_known_not_to(tmp_path):
    """All keys of the core and of the plugins here, one by one: a new key is one that matters."""
    cfg = complete(load_cfg(None, ["MODEL.MODEL_NAME", "PTVSlowFast"]), num_classes=5)
    checkpoint = {"cfg": cfg.dump(), "identity": identify(cfg, {}), "epoch": 0, "step": 0}
    others = {"PLUGINS": ["pvbias.plugins.drl"], "TRAIN.RESUME_CHANGED": ["RNG_SEED"]}
    for key, value in flat(cfg):
        changed = cfg.clone()
        changed.defrost()
        *groups, name = key.split(".")
        node = changed
        for group in groups:
            node = node[group]
        node[name] = others.get(key, another(value))
        if key in (*HARMLESS, *BY_CONTENT) or key.split(".")[0] in HARMLESS_GROUPS:
            assert refuse_another(changed, identify(changed, {}), checkpoint, tmp_path) == [], key
        else:
            with pytest.raises(ConfigError, match=f"  {key}: was"):
                refuse_another(changed, identify(changed, {}), checkpoint, tmp_path)


def test_what_is_not_declared_decides_everything():
    """Such as a key of a plugin that sets it by itself."""
    cfg = load_cfg(None, ["MODEL.MODEL_NAME", "PTVSlowFast"])
    cfg.LAB = CfgNode({"STRENGTH": 1})
    cfg.SLURM.NEW = 1
    found = effects(cfg)
    assert found["LAB.STRENGTH"] is found["SLURM.NEW"] is found["RESNET.DEPTH"] is Effect.EVERYTHING
    assert found["SLURM.NODES"] is Effect.NOTHING


def test_what_plugins_declare_holds_in_a_process_that_has_not_loaded_the_configuration(monkeypatch):
    """A job of a cluster, which gets it from the process that has submitted it."""
    cfg = load_cfg(None, [])
    for key in [key for key in DECLARED if key.startswith("DECOUPLED.")]:
        monkeypatch.delitem(DECLARED, key)
    assert effects(cfg)["DECOUPLED.TEST_VIDEOS"] is Effect.MEASURING


def test_keys_that_came_or_went(tmp_path):
    cfg = load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs"])
    identity = identify(cfg, {})
    was = {
        key: value
        for key, value in identity.items()
        if key not in ("SOLVER.NESTEROV", "OBJECTIVE.LABEL_SMOOTHING", "DATA.MEAN")
    }
    kept = cfg.clone()
    del kept.SOLVER["NESTEROV"], kept.OBJECTIVE["LABEL_SMOOTHING"], kept.DATA["MEAN"]
    checkpoint = {"cfg": kept.dump(), "identity": was | {"LAB.STRENGTH": 2}, "epoch": 0}
    with pytest.raises(ConfigError) as caught:  # nobody knows any more what it decided
        refuse_another(cfg, identity, checkpoint, tmp_path)
    assert "  LAB.STRENGTH: was 2, is no key that there is\n" in str(caught.value)
    assert "NESTEROV" not in str(caught.value)  # at its default, and so without it
    cfg.OBJECTIVE.LABEL_SMOOTHING = 0.5
    cfg.TRAIN.RESUME_CHANGED = ["LAB"]
    with pytest.raises(ConfigError, match=r"  OBJECTIVE.LABEL_SMOOTHING: was no key that there was, is 0\.5"):
        refuse_another(cfg, identify(cfg, {}), checkpoint, tmp_path)


def test_keys_whose_declaration_has_changed(tmp_path):
    """By another version: what decides now was kept in the configuration, and what does not any more is let pass."""
    cfg = load_cfg(None, ["MODEL.MODEL_NAME", "x3d_xs"])
    identity = identify(cfg, {})
    was = {key: value for key, value in identity.items() if key != "OBJECTIVE.LABEL_SMOOTHING"} | {"LOG_PERIOD": 5}
    checkpoint = {"cfg": cfg.dump(), "identity": was, "epoch": 0}
    assert refuse_another(cfg, identity, checkpoint, tmp_path) == []
    cfg.OBJECTIVE.LABEL_SMOOTHING = 0.5
    with pytest.raises(ConfigError, match=r"  OBJECTIVE.LABEL_SMOOTHING: was 0\.0, is 0\.5"):
        refuse_another(cfg, identify(cfg, {}), checkpoint, tmp_path)


class Scenic(CrossEntropy):
    """An objective that uses the scene of the training videos."""

    needs = Needs(attributes=("scene",))


def test_attributes_count_where_the_objective_uses_them(tmp_path):
    files = write_files(tmp_path / "files")
    OBJECTIVE.register(Scenic)
    scenes = ({"scene": "kitchen", "people": 1}, {"scene": "street"}, {})
    others = ({"scene": "kitchen", "people": 2}, {"scene": "street"}, {})
    for name in ("CrossEntropy", "Scenic"):
        cfg = cfg_for(tmp_path / name, files, "OBJECTIVE.NAME", name)
        start(cfg, Listed(files, attributes=scenes), events={(1, 2): ask})
        start(cfg, Listed(files, attributes=others), events={(2, 2): ask})
    start(cfg_for(tmp_path / "CrossEntropy", files), Listed(files))
    moved = Listed(files, attributes=(*scenes[:2], {"scene": "street"}))
    with pytest.raises(ConfigError, match="other attributes of the videos, which the objective uses"):
        start(cfg, moved)
    with pytest.raises(DataError, match=r"OBJECTIVE\.NAME 'Scenic' asks for 'scene', and no video of .*train\.csv"):
        start(cfg_for(tmp_path / "new", files, "OBJECTIVE.NAME", "Scenic"), Listed(files))
