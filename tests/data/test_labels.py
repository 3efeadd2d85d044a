"""Labels of a list against the outputs of a network."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch

from pvbias.config import load_cfg
from pvbias.config.defaults import get_cfg
from pvbias.data import build_source
from pvbias.data.labels import (
    check_first_label,
    check_labels,
    check_order,
    check_same_kind,
    checkpoint_names,
    same_names,
)
from pvbias.errors import ConfigError, DataError
from pvbias.models import Weights
from pvbias.plugin_loading import load_plugins
from pvbias.run import run


def config(tmp_path, text="", classes=3, **keys):
    (tmp_path / "list.csv").write_text(text)
    cfg = get_cfg()
    cfg.TRAIN.ENABLE, cfg.MODEL.NUM_CLASSES = False, classes
    cfg.DATA.TRAIN_SPLIT, cfg.DATA.TEST_SPLIT = "", str(tmp_path / "list.csv")
    for key, value in keys.items():
        cfg.DATA[key] = value
    return cfg


def check(cfg):
    source = build_source(cfg, "test")
    check_labels(cfg, source)
    return [record.label for record in source.records]


def numbered(labels):
    return "".join(f"v{index}.mp4 {label}\n" for index, label in enumerate(labels))


def test_labels_from_1_to_the_number_of_classes_are_a_question(tmp_path):
    """UCF101's own lists: 1 is the first class."""
    text = numbered([1, 1, 2, 3])
    with pytest.raises(ConfigError, match=r"list\.csv run from 1 to 3, and none is 0(.*)DATA\.LABELS_START_AT to 1"):
        check(config(tmp_path, text))
    assert check(config(tmp_path, text, LABELS_START_AT=1)) == [0, 0, 1, 2]
    assert check(config(tmp_path, text, LABELS_START_AT=0, classes=4)) == [1, 1, 2, 3]
    with pytest.raises(DataError, match=r"list\.csv:2: the label 0 is below DATA\.LABELS_START_AT = 1"):
        check(config(tmp_path, numbered([1, 0]), LABELS_START_AT=1))


@pytest.mark.parametrize(
    ("labels", "classes", "asked"),
    [
        ([1, 2, 3, 4], 5, True),  # most classes, and of all of them only the first is missing
        ([1, 5], 5, True),  # 5 is no class of 5
        ([1, 2], 400, False),
        ([1, 3, 4], 5, False),
        ([0, 1, 5], 5, False),
        ([1], 1, False),
        ([2, 3], 3, False),
    ],
)
def test_other_labels_are_no_question(tmp_path, labels, classes, asked):
    cfg = config(tmp_path, numbered(labels), classes=classes)
    source = build_source(cfg, "test")
    if asked:
        with pytest.raises(ConfigError, match="LABELS_START_AT"):
            check_first_label(cfg, source, classes)
    else:
        check_first_label(cfg, source, classes)


def test_names_of_the_classes_do_not_answer_what_the_first_number_is(tmp_path):
    """Of a list whose last class is rare most videos would count as of the next class, and few as bad."""
    (tmp_path / "names.txt").write_text("fall\njump\nrun\n")
    names = {"CLASS_NAMES_FILE": str(tmp_path / "names.txt")}
    text = numbered([1] * 10 + [2] * 10 + [3])
    with pytest.raises(ConfigError, match=r"run from 1 to 3, and none is 0(.*)DATA\.LABELS_START_AT to 1"):
        check(config(tmp_path, text, **names))
    assert check(config(tmp_path, text, LABELS_START_AT=1, **names)) == [0] * 10 + [1] * 10 + [2]
    assert check(config(tmp_path, "a.mp4 jump\nb.mp4 run\n", **names)) == [1, 2]  # names are no numbers


def test_as_many_class_names_as_outputs(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("walk\njump\n")
    cfg = config(tmp_path, "a.mp4 jump\n", CLASS_NAMES_FILE=str(names))
    with pytest.raises(ConfigError, match=r"names\.txt' names 2 classes \(walk, jump\), and the model has 3 outputs"):
        check(cfg)
    cfg.MODEL.NUM_CLASSES = 2
    assert check(cfg) == [1]
    numbers = config(tmp_path, "a.mp4 1\n", CLASS_NAMES_FILE=str(names))
    with pytest.raises(ConfigError, match="names 2 classes"):
        check(numbers)


def test_names_of_which_nobody_knows_the_outputs(tmp_path):
    cfg = config(tmp_path, "a.mp4 jump\nb.mp4 run\n")
    with pytest.raises(
        DataError, match=r"list\.csv has 2 classes by name \(jump, run\), the model 3 outputs.*--class-n"
    ):
        check(cfg)
    cfg.MODEL.NUM_CLASSES = 2
    assert check(cfg) == [0, 1]


def test_names_in_one_list_and_numbers_in_the_other(tmp_path):
    (tmp_path / "train.csv").write_text("a.mp4 run\nb.mp4 jump\n")
    cfg = config(tmp_path, "c.mp4 0\nd.mp4 1\n", TRAIN_SPLIT=str(tmp_path / "train.csv"))
    sources = [build_source(cfg, split) for split in ("train", "test")]
    for pair in (sources, sources[::-1]):
        with pytest.raises(ConfigError, match=r"train\.csv has class names, and .*list\.csv numbers"):
            check_same_kind(cfg, *pair)
    (tmp_path / "names.txt").write_text("run\njump\n")
    cfg.DATA.CLASS_NAMES_FILE = str(tmp_path / "names.txt")
    sources = [build_source(cfg, split) for split in ("train", "test")]
    check_same_kind(cfg, *sources)
    assert [[record.label for record in source.records] for source in sources] == [[0, 1], [0, 1]]


def test_catalogue_entries_know_their_classes(tmp_path):
    load_plugins()
    names = checkpoint_names("zoo://pytorchvideo/x3d_s/kinetics400")
    assert names == checkpoint_names("zoo://torchvision/torchvision_r3d_18/kinetics400")
    assert (names[0], names[288], names[399]) == ("abseiling", "shaking hands", "zumba")
    cfg = config(tmp_path, "a.mp4;Shaking_Hands\nb.mp4;zumba\n", classes=400)
    cfg.DATA.CLASS_NAMES_FILE = "zoo://pytorchvideo/x3d_s/kinetics400"
    assert check(cfg) == [288, 399]
    (tmp_path / "list.csv").write_text("a.mp4 zumba\nb.mp4 embracing\nc.mp4 waltzing\n")
    with pytest.raises(
        DataError, match=r"list\.csv:2: .*'embracing', nor 1 other names .* among the 400 of zoo://pytorchvideo/x3d_s"
    ):
        check(cfg)
    assert checkpoint_names("zoo://classic_models/tsm_r50/something_v2") == ()
    cfg.DATA.CLASS_NAMES_FILE = "zoo://classic_models/tsm_r50/something_v2"
    with pytest.raises(DataError, match="does not know the names of its classes"):
        check(cfg)


def test_an_entry_with_other_names_than_classes_is_a_mistake():
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        Weights(url="u", num_classes=3, class_names=("a", "b"))


def test_a_training_list_in_the_working_directory_has_nothing_to_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("a.mp4 aardvark\nb.mp4 run\n")
    cfg = config(tmp_path, "a.mp4 run\nb.mp4 walk\n", classes=2, TRAIN_SPLIT="train.csv")
    assert check(cfg) == [0, 1]
    with pytest.raises(DataError, match=r"DATA\.TRAIN_SPLIT names no annotation"):
        build_source(cfg, "train")
    # A list that is named has to be there.
    cfg.DATA.TRAIN_SPLIT = "tarin.csv"
    with pytest.raises(DataError, match=r"There is no annotation tarin\.csv"):
        build_source(cfg, "test")
    cfg.DATA.TRAIN_SPLIT = "train.csv"
    # It has where somebody names it, and where it is what is trained on.
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    with pytest.raises(DataError, match="no class 'walk' among the 2 of"):
        build_source(cfg, "test")
    cfg.DATA.PATH_TO_DATA_DIR, cfg.TRAIN.ENABLE = "", True
    with pytest.raises(DataError, match="no class 'walk' among the 2 of"):
        build_source(cfg, "test")


def test_the_same_classes_in_another_order_and_spelling():
    assert same_names(["Air_Drumming", "zumba"], ["zumba", "air drumming"])
    assert not same_names(["zumba"], ["zumba", "yoga"])
    assert not same_names(["zumba", "judo"], ["zumba", "yoga"])


def test_a_file_of_names_in_another_order_than_the_outputs(tmp_path):
    load_plugins()
    torch.save({"model_state": {"a": torch.zeros(1)}, "class_names": ["walk", "jump", "run"]}, tmp_path / "w.pyth")
    (tmp_path / "names.txt").write_text("Walk\nrun\njump\n")
    (tmp_path / "test.csv").write_text("a.mp4 0\n")
    keys = ["TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "w.pyth"), "DATA.CLASS_NAMES_FILE", str(tmp_path / "names.txt")]
    keys += ["DATA.PATH_TO_DATA_DIR", str(tmp_path)]
    measured = load_cfg(overrides=["MODEL.MODEL_NAME", "x3d_xs", "TRAIN.ENABLE", "False", *keys])
    with pytest.raises(
        ConfigError, match=r"has 'run' as class 1, and in .*w\.pyth'.* that is 2 \(2 of 3 classes differ"
    ):
        run(measured)
    check_order(str(tmp_path / "names.txt"), ["walk", "run", "hop"], "w.pyth")  # another name for one of them
    check_order(str(tmp_path / "w.pyth"), ["walk", "jump", "run"], "w.pyth")
    with pytest.raises(ConfigError, match="as class 0"):
        check_order(str(tmp_path / "w.pyth"), ["jump", "walk", "run"], "other.pyth")


def test_names_of_a_checkpoint_on_a_server(tmp_path, monkeypatch):
    """As those of the same file on this machine."""
    torch.save({"model_state": {"a": torch.zeros(1)}, "class_names": ["walk", "jump"]}, tmp_path / "w.pyth")
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert checkpoint_names(f"http://127.0.0.1:{server.server_port}/w.pyth") == ("walk", "jump")
        server.shutdown()


def test_a_file_of_weights_without_names(tmp_path):
    torch.save({"model_state": {"a": torch.zeros(1)}}, tmp_path / "w.pyth")
    assert checkpoint_names(str(tmp_path / "w.pyth")) == ()
    assert checkpoint_names(str(tmp_path / "gone.pyth")) == ()
