"""Classifiers of places: published ones as Places365's files have them, and one that is trained on a folder."""

import pytest
import torch
import torchvision

from pvbias.config import complete, load_cfg
from pvbias.context import Context
from pvbias.data import BadVideoLog
from pvbias.errors import ConfigError, DataError
from pvbias.evaluation import run_evaluators
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.scene_bias import SceneBias
from pvbias.plugins.scene_bias.places import published_classifier, read_places
from pvbias.registries import STUDENT
from pvbias.runtime import choose_settings
from tests.evaluation.toys import SPEC, NoiseSource, Small

from .toys import colour_student, write_places


@pytest.fixture
def colours():
    restore = STUDENT.snapshot()
    STUDENT.register(colour_student, name="colours")
    yield
    restore()


def configured(folder, **keys):
    keys = {
        **{"OUTPUT_DIR": folder, "NUM_GPUS": 0, "MODEL.MODEL_NAME": "x3d_xs", "DATA.NUM_FRAMES": 4},
        **{"DATA.TRAIN_CROP_SIZE": 32, "DATA.TEST_CROP_SIZE": 32, "DATA_LOADER.NUM_WORKERS": 0},
        **{f"SCENE_BIAS.{key}": value for key, value in keys.items() if "." not in key},
        **{key: value for key, value in keys.items() if "." in key},
    }
    return complete(load_cfg(None, [str(part) for pair in keys.items() for part in pair]), num_classes=6)


def test_the_list_of_places365(tmp_path):
    (tmp_path / "categories_places365.txt").write_text("/b/bazaar/indoor 1\n/a/airfield 0\n/z/zen_garden 2\n")
    assert read_places(str(tmp_path / "categories_places365.txt")) == ("airfield", "bazaar/indoor", "zen_garden")
    (tmp_path / "plain.txt").write_text("barn\nzoo\n")
    assert read_places(str(tmp_path / "plain.txt")) == ("barn", "zoo")
    (tmp_path / "IO_places365.txt").write_text("/a/airfield 2\n/b/bazaar/indoor 1\n/z/zen_garden 2\n")  # in or out
    with pytest.raises(DataError, match="IO_places365"):
        read_places(str(tmp_path / "IO_places365.txt"))


@pytest.mark.parametrize("layout", ["whole", "features"])
def test_published_checkpoints_of_places(tmp_path, layout):
    """Places365's: ``module.`` before all names, or (AlexNet) within those of the convolutions alone."""
    torch.manual_seed(0)
    published = torchvision.models.squeezenet1_1(num_classes=5).eval()
    inner = {name.replace("features.", "features.module."): value for name, value in published.state_dict().items()}
    state = inner if layout == "features" else {f"module.{key}": value for key, value in published.state_dict().items()}
    file = {"epoch": 90, "arch": "squeezenet1_1", "state_dict": state, "best_prec1": 53.2}
    torch.save(file, tmp_path / "places.pth.tar", _use_new_zipfile_serialization=False)
    (tmp_path / "places.txt").write_text("".join(f"/p/place{number} {number}\n" for number in range(5)))
    keys = {"CHECKPOINT_FILE_PATH": tmp_path / "places.pth.tar", "PLACES_FILE": tmp_path / "places.txt"}
    cfg = configured(tmp_path, CLASSIFIER="squeezenet1_1", **keys)
    settings = choose_settings(cfg, Recognizer(Small(), clip_spec=SPEC, head="head"), training=False)
    classifier = published_classifier(cfg, settings)
    clips = torch.randint(256, (3, 3, 4, 32, 32), dtype=torch.uint8)
    found = classifier.frames(clips, settings, batch_size=2)
    images = clips.transpose(1, 2).flatten(0, 1).float() / 255
    normalised = torchvision.transforms.functional.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        torch.testing.assert_close(found, published(normalised).log_softmax(1), rtol=1e-4, atol=1e-5)
    assert list(classifier.places) == [f"place{number}" for number in range(5)]


def test_a_classifier_with_other_places_than_named(tmp_path):
    torch.save({"state_dict": torchvision.models.squeezenet1_1(num_classes=4).state_dict()}, tmp_path / "p.pth")
    (tmp_path / "places.txt").write_text("a\nb\nc\n")
    keys = {"CHECKPOINT_FILE_PATH": tmp_path / "p.pth", "PLACES_FILE": tmp_path / "places.txt"}
    cfg = configured(tmp_path, CLASSIFIER="squeezenet1_1", **keys)
    with pytest.raises(ConfigError, match=r"SCENE_BIAS\.CLASSIFIER: .* another number of classes apart than 3"):
        published_classifier(cfg, None)
    with pytest.raises(ConfigError, match=r"PLACES_FILE, in the order"):
        published_classifier(configured(tmp_path, CLASSIFIER="squeezenet1_1"), None)


def test_a_classifier_is_trained_on_a_folder_of_places_once(tmp_path, colours, monkeypatch):
    """In a measurement: it is right about all held-out images, and says of noise what it looks most like."""
    write_places(tmp_path / "places")
    keys = {"STUDENT.NAME": "colours", "TRAIN.BATCH_SIZE": 4, "STUDENT.SOLVER.BASE_LR": 0.5, "TEST.BATCH_SIZE": 4}
    keys |= {"STUDENT.SOLVER.MAX_EPOCH": 3.0, "TENSORBOARD.ENABLE": False, "TEST.NUM_ENSEMBLE_VIEWS": 2}
    cfg = configured(tmp_path / "out", PLACES_DIR=tmp_path / "places", **keys)
    recognizer = Recognizer(Small(), clip_spec=SPEC, head="head")
    settings = choose_settings(cfg, recognizer, training=False)
    evaluator = SceneBias(cfg, recognizer, ())
    evaluator.prepare(Context(cfg, settings))
    assert evaluator.needs.splits == ("train",)
    assert "right about 100.0 %" in evaluator.classifier.description
    weights = {name: value.clone() for name, value in evaluator.classifier.network.state_dict().items()}
    monkeypatch.setattr("pvbias.run.fitting.train", None)  # not again
    again = SceneBias(cfg, recognizer, ())
    again.prepare(Context(cfg, settings))
    for name, value in again.classifier.network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_places_in_one_pass(tmp_path, colours):
    """The runner's: decoded once, with the figures of a trained classifier."""
    write_places(tmp_path / "places")
    keys = {"STUDENT.NAME": "colours", "TRAIN.BATCH_SIZE": 4, "STUDENT.SOLVER.MAX_EPOCH": 1.0, "DATA.TARGET_FPS": 10}
    keys |= {"TENSORBOARD.ENABLE": False, "DATA.TRAIN_CROP_SIZE": 8, "DATA.TEST_CROP_SIZE": 8, "TEST.BATCH_SIZE": 4}
    keys |= {"DATA.TEST_SHORT_SIDE": 8, "TEST.NUM_ENSEMBLE_VIEWS": 2, "DATA.TRAIN_JITTER_SCALES": "[8,8]"}
    cfg = configured(tmp_path / "out", PLACES_DIR=tmp_path / "places", **keys)
    recognizer = Recognizer(Small(), clip_spec=SPEC, head="head")
    settings = choose_settings(cfg, recognizer, training=False)
    source = NoiseSource()
    evaluator = SceneBias(cfg, settings.place(recognizer), ())
    log = BadVideoLog(str(tmp_path), 0.0)
    result = run_evaluators(
        cfg, recognizer, source, {"scene_bias": evaluator}, settings=settings, bad_log=log, progress=False
    )["scene_bias"]
    assert sorted(source.opened) == sorted(record.name for record in source.records)
    figures = {figure.name: figure.value for figure in result.figures}
    assert sum(row["videos"] for row in result.tables["places"]) == len(source.records)
    assert 100 / 8 <= figures["common_place_score"] <= 100
