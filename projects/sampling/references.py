"""What model zoos' own code makes of a video: the numbers of the frames of its test clips and training clips.

The code is run, not rewritten: PyTorchVideo's and torchvision's as installed, the others' from checkouts.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Video:
    """A video of a constant frame rate.

    Attributes:
        num_frames: N.
        fps: frames per second.
    """

    num_frames: int
    fps: Fraction

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class Clips:
    """The clips of a model: its frames, how many frames of the window there are to each, the frame rate both are for,
    and how many test clips."""

    num_frames: int
    rate: int
    fps: float
    views: int


#: ``(video, clips) -> numbers of the frames (views, T)``; None: the code leaves such a video out, or fails.
Reference = Callable[[Video, Clips], "np.ndarray | None"]


def pytorchvideo(video: Video, clips: Clips) -> np.ndarray | None:
    """ConstantClipsPerVideoSampler, the frames in ``[start, end)`` as EncodedVideo.get_clip takes them, and
    uniform_temporal_subsample."""
    from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler
    from pytorchvideo.data.utils import secs_to_pts

    # pytorchvideo.transforms as a package needs an older torchvision.
    spec = importlib.util.find_spec("pytorchvideo")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    functional = _load(Path(spec.submodule_search_locations[0]) / "transforms" / "functional.py", "ptv_functional")
    base = 1 / (video.fps * 512)  # of the times in the file, as ffmpeg writes MP4
    pts = 512 * np.arange(video.num_frames)
    sampler = ConstantClipsPerVideoSampler(Fraction(clips.num_frames * clips.rate) / Fraction(clips.fps), clips.views)
    chosen = []
    for _ in range(clips.views):
        clip = sampler(None, video.duration, {})
        begin, end = (secs_to_pts(t, base, 0, round_mode="ceil") for t in (clip.clip_start_sec, clip.clip_end_sec))
        inside = np.flatnonzero((pts >= begin) & (pts < end))
        chosen.append(functional.uniform_temporal_subsample(torch.from_numpy(inside), clips.num_frames, 0).numpy())
    return np.stack(chosen)


def torchvision(video: Video, clips: Clips) -> np.ndarray | None:
    """VideoClips.compute_clips_for_video and UniformClipSampler."""
    from torchvision.datasets.samplers import UniformClipSampler
    from torchvision.datasets.video_utils import VideoClips

    numbers = torch.arange(video.num_frames)
    rate = clips.fps / clips.rate
    found, _ = VideoClips.compute_clips_for_video(numbers, clips.num_frames, 1, float(video.fps), rate)
    if not len(found):
        return None
    videos = VideoClips.__new__(VideoClips)
    videos.clips = [found]
    return found[list(UniformClipSampler(videos, clips.views))].numpy()


def slowfast(checkout: Path, *, use_offset: bool = False) -> Reference:
    """get_start_end_idx and temporal_sampling of slowfast/datasets/decoder.py, on all frames, as its decode() calls
    them."""
    package = ModuleType("slowfast_datasets")
    package.__path__ = []
    sys.modules["slowfast_datasets"] = package
    sys.modules["slowfast_datasets.transform"] = ModuleType("slowfast_datasets.transform")  # not needed
    package.transform = sys.modules["slowfast_datasets.transform"]  # type: ignore[attr-defined]
    decoder = _load(checkout / "slowfast" / "datasets" / "decoder.py", "slowfast_datasets.decoder")

    def sample(video: Video, clips: Clips) -> np.ndarray | None:
        frames = torch.arange(video.num_frames).view(-1, 1, 1, 1)
        size = np.maximum(1.0, clips.rate * clips.num_frames / clips.fps * float(video.fps))
        chosen = []
        for clip in range(clips.views):
            start, end, _ = decoder.get_start_end_idx(len(frames), size, clip, clips.views, use_offset=use_offset)
            chosen.append(decoder.temporal_sampling(frames, start, end, clips.num_frames).flatten().numpy())
        return np.stack(chosen)

    return sample


def hara(checkout: Path) -> Reference:
    """TemporalSubsampling, TemporalEvenCrop and, for a single clip, TemporalCenterCrop of temporal_transforms.py."""
    transforms = _load(checkout / "temporal_transforms.py", "hara_temporal_transforms")

    def sample(video: Video, clips: Clips) -> np.ndarray | None:
        frames = list(range(video.num_frames))
        if clips.rate > 1:
            frames = transforms.TemporalSubsampling(clips.rate)(frames)
        if clips.views == 1:
            return np.array([transforms.TemporalCenterCrop(clips.num_frames)(frames)])
        return np.array(transforms.TemporalEvenCrop(clips.num_frames, clips.views)(frames))

    return sample


def tsm(checkout: Path, *, dense: bool) -> Reference:
    """TSNDataSet._get_test_indices of ops/dataset.py: one clip, or two (twice_sample); the dense one: ten."""
    dataset = _load(checkout / "ops" / "dataset.py", "tsm_dataset").TSNDataSet

    def sample(video: Video, clips: Clips) -> np.ndarray | None:
        if clips.views not in ((10,) if dense else (1, 2)):
            return None
        videos: Any = dataset.__new__(dataset)
        videos.num_segments, videos.new_length = clips.num_frames, 1
        videos.dense_sample, videos.twice_sample = dense, clips.views == 2
        record = type("Record", (), {"num_frames": video.num_frames})
        return (videos._get_test_indices(record) - 1).reshape(clips.views, clips.num_frames)

    return sample


def _load(path: Path, name: str) -> Any:
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
