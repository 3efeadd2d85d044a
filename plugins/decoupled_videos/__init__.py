"""Videos whose motion and appearance are decoupled by design: BrushMNIST and Places+Faces+MNIST."""

from fvcore.common.config import CfgNode

from pvbias.config.keys import Effect, above, at_least, between, declare, one_of

from .factor_errors import FactorErrors
from .modulations import FootprintMax, FootprintSum
from .other_factor import SameAppearance, SameMotion
from .source import DecoupledVideos

__all__ = [
    "DecoupledVideos",
    "FactorErrors",
    "FootprintMax",
    "FootprintSum",
    "SameAppearance",
    "SameMotion",
    "add_config",
]


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(
        cfg,
        "DECOUPLED.SEED",
        0,
        "Seed of the videos. RNG_SEED, which is that of the training, does not change them.",
        at_least(0),
    )
    declare(cfg, "DECOUPLED.SIZE", 224, "Side of the square frames.", at_least(8), unit="pixels")
    declare(cfg, "DECOUPLED.FRAMES", 150, "Length of a video.", at_least(2), unit="frames")
    declare(cfg, "DECOUPLED.FPS", 30.0, "How many of them are shown in a second.", above(0), unit="frames per second")
    declare(
        cfg,
        "DECOUPLED.BRUSH_SIZE",
        None,
        "Side of the moving image, up to SIZE. None: SIZE / 8 for digits (28 of 224), SIZE / 4 for faces.",
        at_least(1),
        unit="pixels",
        kind=int,
    )
    declare(
        cfg,
        "DECOUPLED.LABEL",
        "joint",
        "What the classes are: appearance x motion (joint), or one of them.",
        one_of("joint", "motion", "appearance"),
    )
    declare(
        cfg,
        "DECOUPLED.TRAJECTORIES",
        "walk",
        "How the pen follows a digit: along its strokes as one writes (walk), or by the paper's Algorithm 3 (greedy).",
        one_of("walk", "greedy"),
    )
    declare(
        cfg,
        "DECOUPLED.TRAIN_VIDEOS",
        10000,
        "Training videos. The digits, faces and places of one split are in no other.",
        at_least(1),
        unit="videos",
    )
    declare(
        cfg, "DECOUPLED.VAL_VIDEOS", 1000, "Validation videos.", at_least(1), unit="videos", effect=Effect.MEASURING
    )
    declare(cfg, "DECOUPLED.TEST_VIDEOS", 2000, "Test videos.", at_least(1), unit="videos", effect=Effect.MEASURING)
    declare(
        cfg,
        "DECOUPLED.RHO",
        0.0,
        "How far appearance gives motion away in training: with this probability a video has the appearance that "
        "its motion is tied to, else any, all equally likely.",
        between(0, 1),
        unit="probability",
    )
    declare(
        cfg,
        "DECOUPLED.CONTEXT",
        "balanced",
        "The same for validation and test videos: all pairs equally likely (balanced), tied pairs only (in "
        "context), all pairs but those (out of context), or tied with probability RHO, as in training (train).",
        one_of("balanced", "in", "out", "train"),
        effect=Effect.MEASURING,
    )
    declare(
        cfg, "DECOUPLED.PLACES", 8, "Places+Faces+MNIST: the number of place classes (x).", at_least(1), unit="classes"
    )
    declare(
        cfg,
        "DECOUPLED.MOTIONS",
        16,
        "Places+Faces+MNIST: the number of motions (y). The paper's Table 2 goes to 256, of places as well.",
        between(1, 1000),
        unit="motions",
    )
    declare(
        cfg,
        "DECOUPLED.MNIST_DIR",
        "",
        "Folder with MNIST's four IDX files (gzipped or not; torchvision's MNIST/raw). Empty: scikit-learn's digits.",
        effect=Effect.CONTENT,
    )
    declare(
        cfg,
        "DECOUPLED.PLACES_DIR",
        "",
        "Folder with one subfolder of images a place class. Empty: procedural images.",
        effect=Effect.CONTENT,
    )
    declare(
        cfg,
        "DECOUPLED.FACES_DIR",
        "",
        "Folder of face images (searched to any depth). Empty: procedural images.",
        effect=Effect.CONTENT,
    )
