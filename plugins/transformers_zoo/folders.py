"""Clip specifications of models from the JSON files of their hub folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pvbias.clips import ClipSpec
from pvbias.errors import ConfigError
from pvbias.zoo.hub_folders import read_json

logger = logging.getLogger(__name__)

_RGB = tuple[float, float, float]

#: Files with the settings of a folder's image or video processor; the first that is there is read.
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A video architecture of transformers.

    Attributes:
        name: class in transformers.
        frames, side: keys of ``config.json`` with a clip's frames and the crop's side, pixels.
        steps: frames between two of a clip by a clip's frames, as the published weights were trained; None: all others.
        sampling: name in SAMPLING of the rule that they were trained or tested with.
        any_frames, any_side: it takes other clips than those, too.
    """

    name: str
    frames: str
    side: str
    steps: Mapping[int | None, int]
    sampling: str = "rate"
    any_frames: bool = False
    any_side: bool = False


#: By ``model_type`` in ``config.json``. Steps are those of the authors' recipes for Kinetics (V-JEPA 2: for
#: Something-Something and Diving-48), at the videos' own rate, which is 30 frames per second or close to it.
ARCHITECTURES = {
    "videomae": Architecture(
        name="VideoMAEForVideoClassification", frames="num_frames", side="image_size", steps={None: 4}
    ),
    "timesformer": Architecture(
        name="TimesformerForVideoClassification",
        frames="num_frames",
        side="image_size",
        steps={8: 32, 16: 16, 96: 4, None: 32},
        sampling="timesformer",
        any_frames=True,
    ),
    "vivit": Architecture(name="VivitForVideoClassification", frames="num_frames", side="image_size", steps={None: 2}),
    "vjepa2": Architecture(
        name="VJEPA2ForVideoClassification",
        frames="frames_per_clip",
        side="crop_size",
        steps={16: 4, None: 2},
        sampling="vjepa2",
        any_frames=True,
        any_side=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The description of a model in a folder of the hub.

    Attributes:
        path: where it is.
        config: of ``config.json``.
        architecture: what that names.
        clip_spec: the clips it takes.
    """

    path: Path
    config: Mapping[str, Any]
    architecture: Architecture
    clip_spec: ClipSpec


def is_video_classifier(path: str) -> bool:
    """Whether a folder's ``config.json`` names one of :data:`ARCHITECTURES`."""
    file = Path(path) / "config.json"
    return file.is_file() and read_json(file).get("model_type") in ARCHITECTURES


def read_folder(path: str) -> Folder:
    """Read ``config.json`` and the settings of the image or video processor.

    Raises:
        ConfigError: one of them is missing, lacks something, or describes a network that is not one of these.
        WeightsError: one of them is no JSON.
    """
    config_file = Path(path) / "config.json"
    if not config_file.is_file():
        raise ConfigError(f"{path!r} has no config.json, which says what the model is.")
    config = read_json(config_file)
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise ConfigError(
            f"{str(config_file)!r}: model_type {kind!r} is none of {', '.join(ARCHITECTURES)}. Any other network can "
            "be measured from Python: pvbias.Recognizer.wrap."
        )
    return Folder(
        path=Path(path),
        config=config,
        architecture=ARCHITECTURES[kind],
        clip_spec=_clip_spec(Path(path), config, ARCHITECTURES[kind]),
    )


def _clip_spec(path: Path, config: Mapping[str, Any], architecture: Architecture) -> ClipSpec:
    file, processor = _processor(path)
    frames = _whole(config.get(architecture.frames), architecture.frames, path / "config.json")
    crop = _whole(config.get(architecture.side), architecture.side, path / "config.json")
    if architecture.any_side and processor.get("crop_size"):
        crop = _side(processor["crop_size"], "crop_size", file)
    fps = processor.get("fps") if processor.get("do_sample_frames") else None
    step = architecture.steps.get(frames, architecture.steps[None])
    if not fps:
        _say_once(
            f"{file} does not say how frames are sampled: one in {step} is taken, as for {architecture.name}'s "
            "published weights (DATA.SAMPLING_RATE)."
        )
    mean, std = _normalisation(processor, file)
    return ClipSpec(
        num_frames=frames,
        sampling_rate=1 if fps else step,
        sampling="rate" if fps else architecture.sampling,
        fps=float(fps or 30),
        crop_size=crop,
        test_crop_size=crop,
        short_side=max(_short_side(processor.get("size"), file), crop),
        mean=mean,
        std=std,
    )


@lru_cache
def _say_once(text: str) -> None:
    logger.info("%s", text)


def _processor(path: Path) -> tuple[Path, Mapping[str, Any]]:
    """The file with the processor's settings, and the settings."""
    for name in PROCESSORS:
        if (path / name).is_file():
            settings = read_json(path / name)
            for inner in ("video_processor", "image_processor"):
                settings = settings.get(inner, settings)
            return path / name, settings
    raise ConfigError(
        f"{str(path)!r} has none of {', '.join(PROCESSORS)}, which say how pictures are scaled and normalised. Save "
        "the model's image processor there, too: AutoImageProcessor.from_pretrained(...).save_pretrained(FOLDER)."
    )


def _normalisation(processor: Mapping[str, Any], file: Path) -> tuple[_RGB, _RGB]:
    """Mean and standard deviation for RGB in [0, 1], from settings for RGB in [0, 255].

    A processor makes ``(x * rescale_factor - offset - mean) / std`` of x; ViViT's subtracts an offset of 1.
    """
    scale = float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0
    shift = 1.0 if processor.get("offset") and processor.get("do_rescale", True) else 0.0
    means, stds = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if processor.get("do_normalize", True):
        means, stds = (_three(processor.get(key), key, file) for key in ("image_mean", "image_std"))
    whole = 255 * scale
    red, green, blue = ((mean + shift) / whole for mean in means)
    return (red, green, blue), (stds[0] / whole, stds[1] / whole, stds[2] / whole)


def _three(value: Any, key: str, file: Path) -> _RGB:
    values = value if isinstance(value, Sequence) else [value] * 3
    if len(values) != 3 or not all(isinstance(number, (int, float)) for number in values):
        raise ConfigError(f"{str(file)!r}: {key} = {value!r} has to be three numbers, one for each of RGB.")
    red, green, blue = map(float, values)
    return red, green, blue


def _short_side(size: Any, file: Path) -> int:
    """The short side of a frame before the crop: the settings have the shortest edge, or height and width."""
    return _whole(size["shortest_edge"], "size", file) if _has(size, "shortest_edge") else _side(size, "size", file)


def _side(size: Any, key: str, file: Path) -> int:
    """The side of a square, which the settings have as one number or as height and width."""
    if _has(size, "height", "width"):
        if size["height"] != size["width"]:
            raise ConfigError(f"{str(file)!r}: {key} = {size!r} is no square, and crops here are.")
        size = size["height"]
    return _whole(size, key, file)


def _has(size: Any, *keys: str) -> bool:
    return isinstance(size, Mapping) and all(size.get(key) for key in keys)


def _whole(value: Any, key: str, file: Path) -> int:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{str(file)!r}: {key} = {value!r} has to be a whole number above 0.")
    return value
