"""Places of videos and accuracy by place, against cases that are worked out by hand."""

import numpy as np
import pytest
import torch

from pvbias.config import get_cfg
from pvbias.context import Context
from pvbias.data import VideoRecord
from pvbias.errors import ConfigError
from pvbias.models.recognizer import Recognizer
from pvbias.plugins import scene_bias
from pvbias.plugins.scene_bias.places import PlaceClassifier
from pvbias.plugins.scene_bias.scene_bias import SceneBias, common_place
from tests.evaluation.toys import SETTINGS, SPEC, Small

from .toys import COLOURS, colour_student, frame, views


def config(**keys):
    cfg = get_cfg()
    scene_bias.add_config(cfg)
    cfg.BIAS.BOOTSTRAP_SAMPLES = 99
    for key, value in keys.items():
        cfg.SCENE_BIAS[key] = value
    return cfg


def evaluator(**keys):
    return SceneBias(config(**keys), Recognizer(Small(), clip_spec=SPEC, head="head"), ("run", "walk", "sit", "wave"))


def by_name(result):
    return {(figure.name, figure.variant): figure for figure in result.figures}


def test_the_common_place_of_frames():
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 3, 0], [0, 3, 0]])
    assert common_place(logits[[0, 1, 2]].log_softmax(1)) == (0, pytest.approx(2 / 3))
    assert common_place(logits.log_softmax(1)) == (1, 0.5)  # as often as 0, and more probable over all
    assert common_place(logits[:1].log_softmax(1)) == (0, 1.0)


def test_figures_of_a_classifier():
    """Eight frames a video; 3 of 5 videos have 7 frames in a barn, one 4, one all in the garden."""
    measured = evaluator(PLACES_DIR="unread", COMMONEST=1)
    student = colour_student(measured.cfg, 3).eval()
    measured.classifier = PlaceClassifier(student, tuple(COLOURS), "colours")
    measured.settings = SETTINGS
    shown = [["barn"] * 7 + ["library"]] * 3 + [["barn"] * 4 + ["library"] * 2 + ["garden"] * 2, ["garden"] * 8]
    labels, right = [0, 0, 1, 1, 2], [True, True, False, False, True]
    for index, places in enumerate(shown):
        clips = torch.stack([frame(place) for place in places], 1).unflatten(1, (2, 4)).transpose(0, 1)
        measured.process(*views(index, clips, label=labels[index], right=right[index]))
    result = measured.evaluate()
    figures = by_name(result)
    assert figures["common_place_score", "original"].value == pytest.approx(100 * (3 * 7 / 8 + 0.5 + 1) / 5)
    assert figures["quarter", "original"].value == 100
    assert figures["places", "original"].value == 2
    assert figures["places_of_half", "original"].value == 1
    assert figures["top1", "common places"].value == 50
    assert figures["top1", "rare places"].value == 100
    assert figures["top1_difference", "original"].value == 50
    assert figures["top1_difference", "original"].interval is None  # of one rare video
    curve = {row["score"]: row["videos"] for row in result.tables["common_place_curve"]}
    assert (curve[0.0], curve[0.5], curve[0.525], curve[0.875], curve[0.9], curve[1.0]) == (100, 100, 80, 80, 20, 20)
    barn, garden = result.tables["places"]
    assert (barn["place"], barn["videos"], barn["common"], barn["top1"]) == ("barn", 4, True, 50)
    assert (garden["commonest_class"], garden["share_of_class"]) == ("sit", 100)


def test_places_of_an_attribute():
    """Three videos without a place, two without a label; the classes' own information makes the plug-in one."""
    measured = evaluator(ATTRIBUTE="scene", COMMONEST=2)
    assert measured.needs.attributes == ("scene",)
    generator = np.random.default_rng(0)
    clips = torch.zeros(1, 3, 4, 8, 8, dtype=torch.uint8)
    for index in range(200):
        label = int(generator.integers(4))
        place = label if generator.random() < 0.5 else int(generator.integers(4))
        attributes = {} if index in (3, 7, 8) else {"scene": place}
        record = VideoRecord(path="", name=str(index), attributes=attributes)
        label = None if index in (20, 21) else label
        measured.process(*views(index, clips, label=label, record=record, right=place < 2))
    result = measured.evaluate()
    figures = by_name(result)
    assert ("common_place_score", "original") not in figures
    assert figures["places", "original"].value == 4
    assert figures["places", "original"].count == 197
    assert "3 videos whose place is not known" in figures["places", "original"].note
    (row,) = result.tables["information"]
    assert (row["videos"], row["places"], row["classes"]) == (195, 4, 4)
    assert row["p_value"] == 0.01
    counts = np.array([row["videos"] for row in result.tables["classes"]])
    shares = np.array([row["information"] for row in result.tables["classes"]])
    assert (counts * shares).sum() / counts.sum() == pytest.approx(row["plug_in"], abs=1e-12)
    share = figures["label_explained", "original"]
    assert share.value == pytest.approx(100 * row["information"] / row["label_if_all_told"])
    assert share.interval[0] < share.value < share.interval[1]
    # Right in places 0 and 1: whichever two are the commonest, credits are by place.
    accuracy = {int(row["place"]): row["top1"] for row in result.tables["places"]}
    assert accuracy == {0: 100, 1: 100, 2: 0, 3: 0}


def test_nothing_to_say():
    measured = evaluator(ATTRIBUTE="scene")
    clips = torch.zeros(1, 3, 4, 8, 8, dtype=torch.uint8)
    measured.process(*views(0, clips, label=0))
    assert "None of the 1 videos has a place" in measured.evaluate().not_applicable


@pytest.mark.parametrize("keys", [{}, {"ATTRIBUTE": "scene", "CLASSIFIER": "resnet18"}])
def test_where_places_come_from_has_to_be_said(keys):
    with pytest.raises(ConfigError, match="say where places come from"):
        evaluator(**keys)


def test_flow_has_no_places_to_classify():
    for keys, refused in (({"PLACES_DIR": "unread"}, True), ({"ATTRIBUTE": "scene"}, False)):
        measured = evaluator(**keys)
        measured.cfg.DATA.MODALITY = "flow"
        if refused:
            with pytest.raises(ConfigError, match="show optical flow"):
                measured.prepare(Context(measured.cfg, SETTINGS))
        else:
            measured.prepare(Context(measured.cfg, SETTINGS))


@pytest.mark.parametrize("key", ["CHECKPOINT_FILE_PATH", "PLACES_FILE"])
def test_weights_and_names_are_of_a_classifier(key):
    with pytest.raises(ConfigError, match=f"SCENE_BIAS.{key} = 'a' is of a published classifier"):
        evaluator(PLACES_DIR="unread", **{key: "a"})
