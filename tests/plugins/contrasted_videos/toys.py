"""Videos of a square that moves over a place, and models that see its colour, its way, or the place, alone."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from pvbias.clips import ClipSpec
from pvbias.data import VideoRecord
from pvbias.data.masks import FrameMasks
from pvbias.models.recognizer import Recognizer
from pvbias.plugins import contrasted_videos
from pvbias.video import resize_frames
from tests.evaluation import toys

SPEC = ClipSpec(
    num_frames=4, sampling_rate=2, crop_size=8, test_crop_size=8, short_side=8, mean=(0, 0, 0), std=(1, 1, 1)
)
#: Ways of the square: right, left, down, up.
WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1))
RED, BLUE = 200, 77


def green(colour):
    return 20 + 30 * colour


class Square:
    """20 frames at 10 a second: a square of 2 x 2 pixels moves a pixel every fourth frame."""

    timestamps = np.arange(20) / 10
    duration = 2.0

    def __init__(self, number, colour, way):
        generator = np.random.default_rng(number)
        self.frames = np.repeat(generator.integers(256, size=(1, 8, 8, 3), dtype=np.uint8), 20, axis=0)
        self.frames[:, :, :, 1:] = green(colour), 9  # the place: noise in red
        self.masks = np.zeros((20, 8, 8), np.uint8)
        self.way = WAYS[way]
        for frame in range(20):
            dx, dy = WAYS[way]
            x, y = (1 + (step * (frame // 4) if step >= 0 else 4 - frame // 4) for step in (dx, dy))
            self.frames[frame, y : y + 2, x : x + 2] = (RED, green(colour), BLUE)
            self.masks[frame, y : y + 2, x : x + 2] = 3

    def velocity(self, times, size):
        """A pixel in 0.1 s, before each fourth frame, where the square is."""
        assert size(8, 8) == (8, 8)
        field = np.zeros((len(times), 8, 8, 2), np.float32)
        for number, frame in enumerate(np.rint(np.asarray(times) * 10).astype(int)):
            if frame % 4 == 3:
                field[number, self.masks[frame] > 0] = 10 * np.array(self.way)
        return field

    def read(self, times, size):
        needed = np.clip(np.searchsorted(self.timestamps, np.asarray(times), side="right") - 1, 0, 19)
        return resize_frames(self.frames[needed], *size(8, 8))

    def close(self):
        pass


class Squares:
    """16 videos, all pairs of 4 colours, of square and place, and 4 ways; ``label`` says which of the two is the
    class."""

    class_names = ()
    description = "squares"

    def __init__(self, label, *, unlabelled=(), empty=()):
        self.records = [
            VideoRecord(
                path=f"{i}.mp4",
                name=f"{i}.mp4",
                label=None if i in unlabelled else {"colour": i % 4, "way": i // 4}[label],
            )
            for i in range(16)
        ]
        self.empty = empty

    def open(self, record):
        number = int(record.name.split(".")[0])
        return Square(number, number % 4, number // 4)

    def open_flow(self, record):
        return self.open(record)

    def open_mask(self, record):
        video = self.open(record)
        blank = int(record.name.split(".")[0]) in self.empty
        masks = np.zeros_like(video.masks) if blank else video.masks
        return FrameMasks(masks.__getitem__, 20, video, where=Path(record.name))


class Toy(nn.Module):
    """Base: what it sees is turned into logits of 6 classes by ``head``."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 6, bias=False)
        self.head.weight.data = 9 * torch.eye(6)

    def forward(self, clip):
        return self.head(self.seen((clip * 255).round()))


class Static(Toy):
    """The class is the square's colour: how many pixels of each there are."""

    def seen(self, clip):
        of_square = (clip[:, 0] == RED) & (clip[:, 2] == BLUE)
        return torch.stack([(of_square & (clip[:, 1] == green(k))).float().mean((1, 2, 3)) for k in range(6)], 1)


class OfPlace(Toy):
    """The class is the colour of the place."""

    def seen(self, clip):
        return torch.stack(
            [((clip[:, 1] == green(k)) & (clip[:, 2] == 9)).float().mean((1, 2, 3)) for k in range(6)], 1
        )


class Dynamic(Toy):
    """The class is the square's way; 4 where it stands still, and 5 for each square that goes up."""

    def __init__(self):
        super().__init__()
        self.head.weight.data = self.head.weight.data[[0, 1, 2, 5, 4, 3]]

    def seen(self, clip):
        of_square = ((clip[:, 0] == RED) & (clip[:, 2] == BLUE)).float()
        places = torch.stack([of_square.sum(axis) @ torch.arange(8.0) / 4 for axis in (2, 3)], 2)  # (N, T, 2)
        dx, dy = (places[:, -1] - places[:, 0]).unbind(1)
        moves = torch.stack([dx, -dx, dy, -dy], 1) > 0.4
        return torch.cat([moves, ~moves.any(1, keepdim=True), torch.zeros(len(clip), 1)], 1).float()


class Shifting(Toy):
    """The class is the way that most pixels go which are not what they were."""

    def seen(self, clip):
        before, after = clip[:, :, :-1, 1:-1, 1:-1], clip[:, :, 1:]
        changed = (before != after[..., 1:-1, 1:-1]).any(1)
        found = []
        for dx, dy in WAYS:
            arrived = after[..., 1 + dy : 7 + dy, 1 + dx : 7 + dx]
            found.append(((before == arrived).all(1) & changed).float().sum((1, 2, 3)))
        return torch.cat([torch.stack(found, 1), torch.zeros(len(clip), 2)], 1)


class Guessing(Toy):
    """The same for all classes."""

    def seen(self, clip):
        return clip.new_zeros(len(clip), 6)


def recognizer(module):
    return Recognizer(module, clip_spec=SPEC, head="head")


def config(**options):
    cfg = toys.config(**options)
    contrasted_videos.add_config(cfg)
    return cfg


def figures(evaluator, tmp_path, source, **options):
    """Values by name, level and variant, and the result."""
    model = evaluator.recognizer
    found = toys.measure(tmp_path, evaluator.cfg, {"toy": evaluator}, model=model, source=source, **options)["toy"]
    return {(figure.name, figure.level, figure.variant): figure.value for figure in found.figures}, found
