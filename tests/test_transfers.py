"""How often the host waits for a GPU: a step of training and a batch of an evaluation are queued, and it goes on."""

import contextlib
import dataclasses
import sys

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from pvbias.clips import ClipSpec
from pvbias.config import complete, load_cfg
from pvbias.context import Context
from pvbias.data import TestVideo, TrainBatch, VideoRecord
from pvbias.engine import Trainer
from pvbias.engine.composition import build_objective
from pvbias.engine.finite import FiniteGuard, StepScalars
from pvbias.engine.solver import clip_gradients
from pvbias.engine.transform import build_transforms
from pvbias.evaluation import Evaluator
from pvbias.evaluation.chunks import measure_chunks
from pvbias.models import Recognizer
from pvbias.needs import Needs
from pvbias.plugin_loading import load_plugins
from pvbias.registries import OBJECTIVE, TRANSFORM
from pvbias.runtime import Settings
from pvbias.transfers import Span, to_device, to_device_joined, to_host

from .waits import DEVICE, Waits

load_plugins([])

CLASSES, CLIPS, STEPS = 10, 4, 4
SPEC = ClipSpec(num_frames=4, sampling_rate=1, crop_size=32, test_crop_size=32, short_side=32)
KEYS = [
    *("TRAIN.DATASET", "brush_mnist", "DECOUPLED.SIZE", 32, "DECOUPLED.FRAMES", 16, "DECOUPLED.TRAIN_VIDEOS", 10),
    *("DECOUPLED.LABEL", "motion", "MODEL.MODEL_NAME", "x3d_xs", "DATA.NUM_FRAMES", 4, "DATA.TRAIN_CROP_SIZE", 32),
    *("DATA_LOADER.NUM_WORKERS", 0, "NUM_GPUS", 0, "STUDENT.NAME", "squeezenet1_1", "SOLVER.MAX_EPOCH", 1.0),
    *("SCENE_ADVERSARY.ATTRIBUTE", "appearance"),
    *("SOLVER.CLIP_GRAD_L2NORM", 1.0, "TRAIN.BATCH_SIZE", CLIPS, "BIAS.ENABLE", False, "TEST.ENABLE", False),
]


class OnDevice(Settings):
    """Settings of a device without values, which torch has no autocast for."""

    def autocast(self):
        return contextlib.nullcontext()


class Network(nn.Module):
    """Two stages, the first of which sees one frame at a time, and the projection."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.BatchNorm3d(8), nn.ReLU()),
            nn.Sequential(nn.Conv3d(8, 16, 3, 2, 1), nn.BatchNorm3d(16), nn.ReLU()),
            nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(), nn.Linear(16, CLASSES)),
        )

    def forward(self, clip):
        return self.stages(clip)


class Loader:
    """Mini-batches in the host's memory, with optical flow and masks, and those of other streams."""

    def __init__(self, streams):
        self.streams = [name for name in streams if name != "train"]

    def __len__(self):
        return STEPS

    def epoch(self, epoch, start=0):
        for number in range(start, STEPS):
            clips = torch.zeros(CLIPS, 3, 4, 32, 32, dtype=torch.uint8)
            names = [f"{number}_{n}.mp4" for n in range(CLIPS)]
            attributes = [{"appearance": n} for n in range(CLIPS)]
            tracks = {"flow": torch.zeros(CLIPS, 2, 4, 32, 32, dtype=torch.float16), "mask": clips[:, :1]}
            batch = TrainBatch(clips=clips, labels=None, names=names, bad=[], attributes=attributes, tracks=tracks)
            streams = dict.fromkeys(self.streams, batch)
            yield dataclasses.replace(batch, labels=torch.arange(CLIPS), streams=streams)


@pytest.fixture
def watched(monkeypatch):
    """Context that watches the device; stretches of its work that are waited for are events, too."""
    found = Waits()
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which knows no such device
    monkeypatch.setattr(Span, "wait", lambda self: found.events.append("wait"))
    monkeypatch.setattr(sys.modules["torch.optim.sgd"], "_device_dtype_check_for_fused", lambda parameter: None)
    return found


def train(watched, tmp_path, *overrides):
    """Train without hooks on the device."""
    cfg = load_cfg(overrides=[str(each) for each in (*KEYS, "OUTPUT_DIR", tmp_path, *overrides)])
    cfg = complete(cfg, num_classes=CLASSES)
    torch.manual_seed(0)
    heads = {"appearance": 10} if cfg.OBJECTIVE.NAME == "AttributeHeads" else {}
    recognizer = Recognizer(Network(), clip_spec=SPEC, head="stages.2.3", stages="stages", extra_heads=heads)
    assert recognizer.num_frame_stages == 1  # found out on the CPU
    objective = build_objective(cfg, recognizer)
    objective.prepare(Context(cfg, Settings(device=torch.device("cpu"), memory_format="contiguous", precision="fp32")))
    settings = OnDevice(device=DEVICE, memory_format="channels_last_3d", precision="fp32")
    settings.place(recognizer)
    settings.place(objective)
    transforms = build_transforms(cfg, recognizer)
    for transform in transforms:
        transform.bank = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)  # still_mix: what it prepares takes a network
    trainer = Trainer(cfg, recognizer, objective, Loader(objective.needs.streams), settings, transforms)
    with watched:
        trainer.train()
    assert trainer.iteration == STEPS


@pytest.mark.parametrize("objective", [name for name, _ in OBJECTIVE if name != "StudentDistillation"])
def test_a_training_step_waits_for_nothing(tmp_path, watched, objective):
    """One copy of all its scalars, which is waited for when the next step is queued, or the epoch ends."""
    train(watched, tmp_path, "OBJECTIVE.NAME", objective)
    assert watched.waits == []
    assert watched.events == ["copy", *["copy", "wait"] * (STEPS - 1), "wait"]


# Not rand_augment: torchvision makes a tensor of each operation's magnitudes.
@pytest.mark.parametrize("transform", sorted({*TRANSFORM.names()} - {"rand_augment"}))
def test_transforms_wait_for_nothing(tmp_path, watched, transform):
    train(watched, tmp_path, "TRAIN.TRANSFORMS", f"[{transform}]")
    assert watched.waits == []
    assert watched.events.count("copy") == STEPS


class Videos:
    """Five videos in the host's memory, of three views each, a chunk by itself each."""

    chunks = tuple(range(index, index + 1) for index in range(5))

    def __iter__(self):
        for index in range(5):
            clips = torch.zeros(3, 3, 4, 32, 32, dtype=torch.uint8)
            yield TestVideo(index=index, record=VideoRecord(path="", name=str(index), label=0), clips=clips)


class Look(Evaluator):
    """Notes which video it is given when."""

    def __init__(self, needs, events):
        self.needs, self.events, self.rows = needs, events, {}

    def process(self, video, outputs):
        self.events.append(video.name)
        self.rows[video.index] = sorted(outputs)

    def evaluate(self):
        """Nothing."""


@pytest.mark.parametrize("features", [(), ("stages.1",)])  # all modulations share the first stage, or it runs for each
def test_an_evaluation_waits_for_a_batch_when_the_next_one_is_queued(watched, features):
    """Three modulations of each batch, two for each video: each has one copy to the host for each output."""
    specs = ("original", "shuffle", "freeze(frame=random)")
    recognizer = Recognizer(Network(), clip_spec=SPEC, head="stages.2.3", stages="stages").eval()
    assert recognizer.num_frame_stages == 1
    settings = OnDevice(device=DEVICE, memory_format="channels_last_3d", precision="fp32")
    settings.place(recognizer)
    cfg = load_cfg(overrides=["TEST.BATCH_SIZE", "2"])
    look = Look(Needs(modulations=specs, features=features), watched.events)
    with watched:
        parts = list(measure_chunks(cfg, recognizer, Videos(), {"look": look}, settings, tqdm(disable=True)))
    assert watched.waits == []
    batch = ["copy"] * len(specs) * (1 + len(features))
    assert watched.events == [
        *(batch + batch + ["wait"]),  # 2 of the first video's 3 views, its last one, then the first ones are there
        *(event for name in "0123" for event in [*batch, "wait", name, *batch, "wait"]),
        *("wait", "4"),
    ]
    assert [(part.first, part.good, list(part.rows["look"])) for part in parts] == [(n, 1, [n]) for n in range(5)]


def test_scalars_that_are_on_the_host_join_the_others(watched):
    """Of gradients that are not there torch gives a norm on the CPU."""
    scalars = StepScalars(DEVICE, FiniteGuard(DEVICE))
    with watched:
        scalars.add({"loss": torch.ones((), device=DEVICE)})
        scalars.add({"grad_norm": clip_gradients(load_cfg(overrides=KEYS).SOLVER, [nn.Parameter(torch.ones(2))])})
        scalars.end()
    assert watched.waits == []
    assert set(scalars.read()) == {"loss", "grad_norm"}


class Copies(TorchFunctionMode):
    """A GPU, whose memory is the host's; what is page-locked is noted, and which copies begin there, without gaps."""

    def __init__(self):
        super().__init__()
        self.pinned, self.direct = [], []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.is_pinned:
            return any(args[0] is each for each in self.pinned)
        if function is torch.Tensor.to and torch.device(args[1]).type == "cuda":
            (given,) = (each for each in self.pinned if each is args[0])
            self.direct.append(kwargs["non_blocking"] and given.clone().stride() == given.stride())
            return given
        is_pinned = kwargs.pop("pin_memory", False)
        made = function(*args, **kwargs)
        if is_pinned:
            self.pinned.append(made)
        return made


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=str)
def test_copies_to_a_gpu_begin_in_page_locked_memory_without_gaps(layout):
    """torch would make a copy of what has gaps, elsewhere, and wait."""
    clips = torch.randint(256, (3, 3, 4, 8, 8), dtype=torch.uint8).contiguous(memory_format=layout)
    with Copies() as copies:
        frames = to_device(torch.arange(12).reshape(3, 4)[:, :1], torch.device("cuda"))
        whole = to_device(clips, torch.device("cuda"))
        joined = to_device_joined([clips[:2], clips[2:]], torch.device("cuda"))
    assert copies.direct == [True] * 3
    assert frames.tolist() == [[0], [4], [8]]
    for moved in (whole, joined):
        assert torch.equal(moved, clips)
        assert moved.stride() == clips.stride()


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=str)
def test_on_a_gpu_parts_arrive_joined(layout):
    parts = [torch.randint(256, (n, 3, 4, 8, 8), dtype=torch.uint8).contiguous(memory_format=layout) for n in (2, 1)]
    joined = to_device_joined(parts, torch.device("cuda", 0))
    assert joined.is_contiguous(memory_format=layout)
    assert torch.equal(to_host(joined.clone().cpu()), torch.cat(parts))


class Keep(Look):
    """Keeps the logits."""

    def process(self, video, outputs):
        self.rows[video.index] = {name: each.logits.clone() for name, each in outputs.items()}


@pytest.mark.gpu
def test_on_a_gpu_every_video_has_its_own_outputs():
    """In batches that hold parts of two videos, each looked at when the next one is queued."""

    class Different(Videos):
        def __iter__(self):
            for video in super().__iter__():
                yield dataclasses.replace(video, clips=torch.randint_like(video.clips, 60 * video.index + 1))

    torch.manual_seed(0)
    model = Recognizer(Network(), clip_spec=SPEC, head="stages.2.3", stages="stages").eval()
    cfg, rows = load_cfg(overrides=["TEST.BATCH_SIZE", "2"]), []
    for device in ("cpu", "cuda"):
        settings = Settings(device=torch.device(device), memory_format="channels_last_3d", precision="fp32")
        keep = Keep(Needs(modulations=("original", "shuffle")), [])
        torch.manual_seed(1)
        list(measure_chunks(cfg, settings.place(model), Different(), {"keep": keep}, settings, tqdm(disable=True)))
        rows.append(keep.rows)
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-3, atol=1e-3)
