"""Scene bias: places of videos by a classifier of scenes, what they say of the label, scenes told from still clips."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, at_least, declare

from . import key_names, report
from .information import Information, mutual_information
from .scene_bias import SceneBias
from .scene_probe import SceneProbe
from .stills import StillImages, still_images

__all__ = [
    "Information",
    "SceneBias",
    "SceneProbe",
    "StillImages",
    "add_config",
    "key_names",
    "mutual_information",
    "report",
    "still_images",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "SCENE_BIAS.ATTRIBUTE",
        "",
        "Attribute of the videos that says their place (appearance, of made-up videos); empty: a classifier does.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "SCENE_BIAS.CLASSIFIER",
        "",
        "Name in the STUDENT registry of an image classifier of places with weights of its own (resnet50).",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "SCENE_BIAS.CHECKPOINT_FILE_PATH",
        "",
        "Its weights: a path, or an https URL (resnet50_places365.pth.tar).",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "SCENE_BIAS.PLACES_FILE",
        "",
        "Names of its places in the order of its outputs: categories_places365.txt, or one a line.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "SCENE_BIAS.PLACES_DIR",
        "",
        "Folder with one subfolder of images a place, or train/ and test/ with such: a classifier of places is "
        "trained on it where there is no other; scene_probe is fitted to and tested on it.",
        effect=Effect.MEASURING,
    )
    declare(
        cfg,
        "SCENE_BIAS.COMMONEST",
        16,
        "How many of the most frequent places are the common ones.",
        at_least(1),
        unit="places",
        effect=Effect.MEASURING,
    )
