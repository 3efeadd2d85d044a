"""Videos whose motion and appearance are decoupled by design: BrushMNIST and Places+Faces+MNIST."""

from fvcore.common.config import CfgNode

from pvbias.config.checks import OPTIONAL_TYPES
from pvbias.config.effects import Effect

from .factor_errors import FactorErrors
from .feature_maps import class_activation
from .modulations import footprint_max, footprint_sum
from .source import DecoupledVideos
from .temporal_activation import TemporalActivation

__all__ = [
    "EFFECTS",
    "DecoupledVideos",
    "FactorErrors",
    "TemporalActivation",
    "add_config",
    "class_activation",
    "footprint_max",
    "footprint_sum",
]

#: Training videos are the same whatever these are; those of validations are compared by themselves.
EFFECTS = {
    "DECOUPLED.VAL_VIDEOS": Effect.MEASURING,
    "DECOUPLED.TEST_VIDEOS": Effect.MEASURING,
    "DECOUPLED.CONTEXT": Effect.MEASURING,
}


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    cfg.DECOUPLED = CfgNode()
    # Seed of the videos, >= 0. RNG_SEED, which is that of the training, does not change them.
    cfg.DECOUPLED.SEED = 0
    # Side of the square frames, pixels, >= 8.
    cfg.DECOUPLED.SIZE = 224
    # Frames of a video, >= 2, and how many of them are shown in a second, > 0.
    cfg.DECOUPLED.FRAMES = 150
    cfg.DECOUPLED.FPS = 30.0
    # Side of the moving image, pixels, 1 .. SIZE. None: SIZE / 8 for digits (28 of 224), SIZE / 4 for faces.
    cfg.DECOUPLED.BRUSH_SIZE = None
    OPTIONAL_TYPES["DECOUPLED.BRUSH_SIZE"] = int
    # What the classes are: "joint" (appearance x motion), "motion" or "appearance".
    cfg.DECOUPLED.LABEL = "joint"
    # Videos in each split, >= 1. The digits, faces and places of one split are in no other.
    cfg.DECOUPLED.TRAIN_VIDEOS = 10000
    cfg.DECOUPLED.VAL_VIDEOS = 1000
    cfg.DECOUPLED.TEST_VIDEOS = 2000
    # How far appearance gives motion away in training, [0, 1]: with this probability a video has the appearance that
    # its motion is tied to, else any, all equally likely.
    cfg.DECOUPLED.RHO = 0.0
    # The same for validation and test videos: "balanced" (all pairs equally likely), "in" (tied pairs only: in
    # context) or "out" (all pairs but those: out of context).
    cfg.DECOUPLED.CONTEXT = "balanced"
    # Places+Faces+MNIST: the numbers of place classes (x) and of motions (y, at most 100), both >= 1.
    cfg.DECOUPLED.PLACES = 8
    cfg.DECOUPLED.MOTIONS = 16
    # Folder with MNIST's four IDX files (gzipped or not; torchvision's MNIST/raw). Empty: scikit-learn's digits.
    cfg.DECOUPLED.MNIST_DIR = ""
    # Folder with one subfolder of images a place class, and folder of face images (searched to any depth). Empty:
    # images that are made up.
    cfg.DECOUPLED.PLACES_DIR = ""
    cfg.DECOUPLED.FACES_DIR = ""
