"""Linear probes of places on still clips: of networks that see their colours, and of one that sees nothing."""

import pytest
import torch
from PIL import Image
from torch import nn

from pvbias.context import Context
from pvbias.errors import ConfigError
from pvbias.models.recognizer import Recognizer
from pvbias.plugins.scene_bias import SceneProbe
from pvbias.registries import STUDENT
from pvbias.runtime import choose_settings
from tests.evaluation.toys import SPEC

from .test_places import configured
from .toys import colour_student, write_places


class Mean(nn.Module):
    """Its embedding is a clip's mean colour, or (``sees`` 0) nothing; a clip that moves has none."""

    def __init__(self, sees):
        super().__init__()
        self.sees, self.head = sees, nn.Linear(3, 6)

    def forward(self, clip):
        assert torch.equal(clip, clip[:, :, :1].expand_as(clip))  # stands still
        return self.head(self.sees * clip.mean((2, 3, 4)))


@pytest.mark.parametrize("sees", [1.0, 0.0])
def test_probes_of_two_networks(tmp_path, sees):
    write_places(tmp_path / "places", images=10)
    (tmp_path / "places" / "barn" / "2.png").write_text("broken")  # one of the training images
    Image.new("RGB", (30, 20), (250, 10, 10)).save(tmp_path / "places" / "barn" / "11.png")
    restore = STUDENT.snapshot()
    STUDENT.register(colour_student, name="colours")
    try:
        keys = {"STUDENT.NAME": "colours", "DATA.MAX_BAD_FRACTION": 0.1, "TEST.NUM_ENSEMBLE_VIEWS": 4}
        cfg = configured(tmp_path / "out", PLACES_DIR=tmp_path / "places", **keys)
        recognizer = Recognizer(Mean(sees), clip_spec=SPEC, head="head")
        probe = SceneProbe(cfg, recognizer, ())
        probe.prepare(Context(cfg, choose_settings(cfg, recognizer, training=False)))
    finally:
        restore()
    result = probe.evaluate()
    found = {(figure.name, figure.variant): figure for figure in result.figures}
    own, images = found["scene_top1", "recognizer"], found["scene_top1", "image network"]
    assert images.value == 100
    assert "colours of random weights" in images.note
    assert own.value == (100 if sees else pytest.approx(100 / 3, abs=10))
    assert found["scene_top1_difference", "original"].value == pytest.approx(own.value - 100)
    rows = {row["network"]: row for row in result.tables["probes"]}
    assert (rows["recognizer"]["training_images"], rows["recognizer"]["test_images"]) == (23, 7)
    assert rows["recognizer"]["features"] == 3


def test_flow_has_no_stills(tmp_path):
    cfg = configured(tmp_path)
    cfg.defrost()
    cfg.DATA.MODALITY = "flow"
    with pytest.raises(ConfigError, match=r"DATA\.MODALITY = 'flow'"):
        SceneProbe(cfg, Recognizer(Mean(1.0), clip_spec=SPEC, head="head"), ()).prepare(None)
