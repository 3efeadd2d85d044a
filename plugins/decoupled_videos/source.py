"""The DATASET entries "brush_mnist" and "places_faces_mnist": videos that are rendered when they are read."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from fvcore.common.config import CfgNode
from PIL import Image

from pvbias.data import MadeRecords, VideoRecord
from pvbias.data.attributes import Attribute, Attributes
from pvbias.data.masks import FrameMasks
from pvbias.distributed import is_main_process
from pvbias.errors import ConfigError
from pvbias.registries import DATASET

from .images import Pictures, faces, places
from .mnist import Digits, load_digits
from .plan import LABELS, TRAJECTORIES, Factors, Plan
from .rendering import Format, MovingImage

logger = logging.getLogger(__name__)

#: Of P+F+M: the numbers of three digits. The paper's Table 2 goes to 256.
_MOST_MOTIONS = 1000

#: Part of the videos' names. To be raised by whatever change gives other pixels for the same configuration.
ALGORITHM = 1
#: Trajectories of digits, and ways of the pen along them, that a process keeps; 1 or 2 kB each.
_KEPT_PATHS = 16_384


class Scene(Protocol):
    """Base of scenes: the moving image and its background.

    Attributes:
        appearance_names: of the appearances, in order.
        motion_name: what a motion is called, before its number.
        identity: what else than the configuration's numbers the images depend on.
    """

    @property
    def appearance_names(self) -> Sequence[str]: ...

    @property
    def motion_name(self) -> str: ...

    @property
    def identity(self) -> Sequence[str]: ...

    def images(self, appearance: int, format: Format, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Background ``(S, S, 3)`` and moving image ``(B, B, 3)`` of a video, uint8 RGB.

        Raises:
            BadVideoError: an image cannot be read.
        """
        ...


class BrushOnBlack:
    """A digit moves over black (BrushMNIST).

    Args:
        mnist_dir: DECOUPLED.MNIST_DIR.
        split: of the digits.
    """

    appearance_names = tuple(f"brush {digit}" for digit in range(10))
    motion_name = "shape"
    identity = ()

    def __init__(self, mnist_dir: str, split: str) -> None:
        self._mnist = (mnist_dir, split)

    def images(self, appearance: int, format: Format, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scene`; the moving image is an image of the digit ``appearance``, drawn from those of the
        split."""
        digits = load_digits(*self._mnist)
        digit = Image.fromarray(digits.images[_digit_of(digits, appearance, rng)])
        side = format.brush_size
        brush = np.asarray(digit.resize((side, side), Image.Resampling.BILINEAR))
        return np.zeros((format.size, format.size, 3), np.uint8), np.repeat(brush[..., None], 3, axis=2)


class FaceOverPlace:
    """A face moves over a place (Places+Faces+MNIST).

    Args:
        places: pictures of each class of places.
        faces: pictures of faces.
    """

    motion_name = "motion"

    def __init__(self, places: Pictures, faces: Pictures) -> None:
        self._places = places
        self._faces = faces
        self.appearance_names = places.names
        self.identity = (places.identity, faces.identity)

    def images(self, appearance: int, format: Format, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Scene`; the background is of the class ``appearance``."""
        return self._places.draw(appearance, format.size, rng), self._faces.draw(0, format.brush_size, rng)


class DecoupledVideos:
    """Videos of a scene; implements :class:`pvbias.data.VideoSource`.

    A video is a pure function of (DECOUPLED.SEED, split, index) and of what its record's name holds a digest of: the
    process, the order and the number of videos do not matter.

    Args:
        name: of the DATASET entry.
        scene: what moves over what.
        plan: the factors of each video.
        format: of the videos.
        label: "joint" (appearance * M + motion), "motion" or "appearance".
        mnist_dir: DECOUPLED.MNIST_DIR; the trajectories are of its digits.
        trajectories: how they follow the digits, one of TRAJECTORIES.

    Raises:
        ConfigError: there is no such label, or no such way.
    """

    def __init__(
        self,
        name: str,
        scene: Scene,
        plan: Plan,
        format: Format,
        *,
        label: str,
        mnist_dir: str,
        trajectories: str = "walk",
    ) -> None:
        for key, value, known in (("LABEL", label, LABELS), ("TRAJECTORIES", trajectories, TRAJECTORIES)):
            if value not in known:
                raise ConfigError(f"DECOUPLED.{key} = {value!r} must be one of {', '.join(map(repr, known))}.")
        self._scene = scene
        self._plan = plan
        self._format = format
        self._label = label
        self._mnist = (mnist_dir, plan.split)
        self._trajectories = trajectories
        self._folder = f"{name}-{self._digest(name)}/{plan.split}"

    def _digest(self, name: str) -> str:
        """8 hexadecimal digits that differ where pixels or times do."""
        plan = self._plan
        tie = (plan.rho or "") if "train" in (plan.split, plan.context) else plan.context.replace("balanced", "")
        parts: tuple[object, ...] = (ALGORITHM, name, plan.seed, plan.appearances, plan.motions, tie, self._format)
        if self._trajectories != "walk":  # what was there first keeps its names
            parts += (self._trajectories,)
        identity = (*parts, _mnist_identity(self._mnist[0]), *self._scene.identity)
        return hashlib.sha256(repr(identity).encode(errors="surrogateescape")).hexdigest()[:8]

    @property
    def records(self) -> Sequence[VideoRecord]:
        """By index. Their names are the paths that ``pvbias make-videos`` writes them to."""
        return MadeRecords(len(self._plan), self.record)

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes 0 .. K-1, such as "brush 3 + shape 7"."""
        appearances = self._scene.appearance_names
        motions = tuple(map(self._motion_name, range(self._plan.motions)))
        joint = tuple(f"{appearance} + {motion}" for appearance in appearances for motion in motions)
        return {"joint": joint, "motion": motions, "appearance": appearances}[self._label]

    @property
    def description(self) -> str:
        """A description of the videos in a line."""
        plan, format = self._plan, self._format
        contexts = {
            "in": ", in context",
            "out": ", out of context",
            "train": f", tied as in training (rho {plan.rho:g})",
        }
        ties = contexts.get(plan.context, "") if plan.split != "train" else ""
        return (
            f"{self._folder}: {plan.appearances} appearances x {plan.motions} motions{ties}, {self._label} labels, "
            f"{format.frames} frames of {format.size} x {format.size} pixels at {format.fps:g} frames per second"
        )

    def factors(self, index: int) -> Factors:
        """The factors of video ``index``, whatever its label says of them."""
        return self._plan[index]

    def record(self, index: int) -> VideoRecord:
        """The record of video ``index``, with the attributes

        - ``appearance`` and ``motion``: its factors by name, such as "brush 3" and "shape 7";
        - ``tied``: whether they are a tied pair (:class:`.plan.Plan`), what "in context" means;
        - ``index``.
        """
        factors = self.factors(index)
        appearance, motion = factors.appearance, factors.motion
        labels = {"joint": appearance * self._plan.motions + motion, "motion": motion, "appearance": appearance}
        shown = re.sub(r"[^\w.-]", "", f"{self._scene.appearance_names[appearance]}_{self._scene.motion_name}{motion}")
        name = f"{self._folder}/{shown}/{index:06d}.mp4"
        attributes: dict[str, Attribute] = {
            "appearance": self._scene.appearance_names[appearance],
            "motion": self._motion_name(motion),
            "tied": self._plan.is_tied(appearance, motion),
            "index": index,
        }
        return VideoRecord(
            path=f"generated:{name}", name=name, label=labels[self._label], attributes=Attributes.of(attributes)
        )

    def _motion_name(self, motion: int) -> str:
        return f"{self._scene.motion_name} {motion}"

    def open_flow(self, record: VideoRecord) -> MovingImage:
        """A video, which knows its true optical flow; see :class:`pvbias.data.flow.FlowSource`."""
        return self.open(record)

    def open_mask(self, record: VideoRecord) -> FrameMasks:
        """Open the masks of the moving image; see :class:`pvbias.data.masks.MaskSource`."""
        video = self.open(record)
        return FrameMasks(video.masks, len(video.timestamps), video, where=Path(record.name))

    def open(self, record: VideoRecord) -> MovingImage:
        """Open a video, whose frames are rendered when they are read.

        Raises:
            BadVideoError: an image that it needs cannot be read.
        """
        return MovingImage(*self._drawn(int(record.attributes["index"])), fps=self._format.fps)

    def open_exchanged(self, record: VideoRecord, factor: str) -> MovingImage:
        """Open a video with one factor drawn anew, uniformly over its classes and independently of the video; the other
        factor's images or digits are the video's own.

        Args:
            factor: "appearance" or "motion".

        Raises:
            BadVideoError: an image that it needs cannot be read.
        """
        index = int(record.attributes["index"])
        background, brush, corners = self._drawn(index)
        other = self._plan.exchanged_rng(index, factor)
        if factor == "motion":
            corners = self._corners(int(other.integers(self._plan.motions)), other)
        else:
            background, brush = self._scene.images(int(other.integers(self._plan.appearances)), self._format, other)
        return MovingImage(background, brush, corners, fps=self._format.fps)

    def _drawn(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Background, brush and the brush's corners of a video."""
        factors, rng = self._plan[index], self._plan.rng(index)
        corners = self._corners(factors.motion, rng)
        return (*self._scene.images(factors.appearance, self._format, rng), corners)

    def _corners(self, motion: int, rng: np.random.Generator) -> np.ndarray:
        """The way of the moving image along digits of the number ``motion``, which are drawn."""
        digits = load_digits(*self._mnist)
        indices = tuple(_digit_of(digits, int(digit), rng) for digit in str(motion))
        return self._format.corners(_pen(*self._mnist, indices, self._format.frames, self._trajectories))


def _digit_of(digits: Digits, digit: int, rng: np.random.Generator) -> int:
    """Index of an image of a digit, drawn from all of them."""
    of_class = digits.of_class[digit]
    return int(of_class[rng.integers(len(of_class))])


@lru_cache(maxsize=_KEPT_PATHS)
def _pen(mnist_dir: str, split: str, indices: tuple[int, ...], frames: int, trajectories: str) -> np.ndarray:
    """The pen's way along some digits, one after another: float32 ``(frames, 2)``, read-only."""
    from .trajectories import positions  # scikit-image takes its time to import

    pen = positions([_path(mnist_dir, split, index, trajectories) for index in indices], frames)
    pen.setflags(write=False)
    return pen


@lru_cache(maxsize=_KEPT_PATHS)
def _path(mnist_dir: str, split: str, index: int, trajectories: str) -> np.ndarray:
    """The trajectory of a digit; the most of what making a video costs, hence kept."""
    from .trajectories import PATHS

    digits = load_digits(mnist_dir, split)
    return PATHS[trajectories](digits.images[index], int(digits.labels[index]))


def _mnist_identity(folder: str) -> list[tuple[str, int]]:
    """Identify the digits without reading them: names and sizes (bytes) of MNIST's files; nothing for
    scikit-learn's."""
    places = (Path(folder), Path(folder, "MNIST", "raw")) if folder else ()
    return sorted((file.name, file.stat().st_size) for place in places for file in place.glob("*idx?-ubyte*"))


@DATASET.register(name="brush_mnist")
def build_brush_mnist(cfg: CfgNode, split: str) -> DecoupledVideos:
    """A digit that moves along the strokes of another one, over black: 10 brushes x 10 shapes.

    Raises:
        ConfigError: a key under DECOUPLED that cannot be, or no MNIST where MNIST_DIR says.
        DataError: MNIST's files are broken.
    """
    scene = BrushOnBlack(cfg.DECOUPLED.MNIST_DIR, split)
    return _build("brush_mnist", scene, cfg, split, motions=10, brush_share=1 / 8)


@DATASET.register(name="places_faces_mnist")
def build_places_faces_mnist(cfg: CfgNode, split: str) -> DecoupledVideos:
    """P+F+M_x_y: a face that moves along the digits of a number, over a place: PLACES places x MOTIONS numbers.

    Raises:
        ConfigError: a key under DECOUPLED that cannot be, or a folder that is not there.
        DataError: a folder holds too few images, or MNIST's files are broken.
    """
    keys = cfg.DECOUPLED
    if not 1 <= keys.MOTIONS <= _MOST_MOTIONS:
        raise ConfigError(
            f"DECOUPLED.MOTIONS = {keys.MOTIONS} must lie in [1, {_MOST_MOTIONS}]: motions are the numbers from 0 on, "
            "with three digits at most."
        )
    digits = len(str(keys.MOTIONS - 1))
    if 2 * digits > keys.FRAMES:
        raise ConfigError(
            f"DECOUPLED.FRAMES = {keys.FRAMES} must be at least {2 * digits}: DECOUPLED.MOTIONS = {keys.MOTIONS} has "
            f"numbers of {digits} digits, and each digit needs two frames to move."
        )
    scene = FaceOverPlace(places(keys.PLACES_DIR, split, count=keys.PLACES), faces(keys.FACES_DIR, split))
    return _build("places_faces_mnist", scene, cfg, split, motions=keys.MOTIONS, brush_share=1 / 4)


def _build(name: str, scene: Scene, cfg: CfgNode, split: str, *, motions: int, brush_share: float) -> DecoupledVideos:
    keys = cfg.DECOUPLED
    # A run's configuration is frozen, once it is completed; who only counts classes or writes files mirrors nothing.
    if split == "train" and cfg.DATA.RANDOM_FLIP and cfg.is_frozen() and is_main_process():
        logger.warning(
            "DATA.RANDOM_FLIP is True: half of the training clips are mirrored, and a mirrored digit or stroke is "
            "another one. Set it to False for %s.",
            name,
        )
    load_digits(keys.MNIST_DIR, split)  # what is wrong with them is said now and not by a worker process
    return DecoupledVideos(
        name,
        scene,
        Plan.from_cfg(cfg, split, appearances=len(scene.appearance_names), motions=motions),
        Format.from_cfg(cfg, brush_share=brush_share),
        label=keys.LABEL,
        mnist_dir=keys.MNIST_DIR,
        trajectories=keys.TRAJECTORIES,
    )
