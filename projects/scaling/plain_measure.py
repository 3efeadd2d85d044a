"""Top-1 accuracy of x3d_xs on original, shuffled, reversed and frozen clips, as one writes it by hand, without pvbias.

What whole_command.py sets `pvbias measure` beside: torchcodec, torchvision's v2 transforms, one loader, four
forwards of a batch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from pytorchvideo.models.hub import x3d_xs
from torch.utils.data import DataLoader, Dataset
from torchcodec.decoders import VideoDecoder
from torchvision.transforms import v2

NUM_FRAMES, SAMPLING_RATE, SHORT_SIDE, CROP = 4, 12, 182, 160
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


class Clips(Dataset):
    """The middle clip of each video of a list of `path label` lines."""

    def __init__(self, file: Path) -> None:
        self.lines = [line.rsplit(maxsplit=1) for line in file.read_text().splitlines()]
        self.transform = v2.Compose(
            [
                v2.Resize(SHORT_SIDE, antialias=True),
                v2.CenterCrop(CROP),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.lines[index]
        decoder = VideoDecoder(path, num_ffmpeg_threads=1)
        count = len(decoder)
        window = min(NUM_FRAMES * SAMPLING_RATE, count)
        places = (count - window) // 2 + torch.linspace(0, window - 1, NUM_FRAMES).long()
        frames = decoder.get_frames_at(indices=places.tolist()).data  # (T, 3, h, w)
        return self.transform(frames).transpose(0, 1), int(label)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = x3d_xs(pretrained=False)
    model.load_state_dict(torch.load(args.weights, weights_only=True)["model_state"])
    model.eval()
    generator = torch.Generator().manual_seed(0)
    correct = dict.fromkeys(("original", "shuffled", "reversed", "frozen"), 0)
    clips = Clips(args.data)
    with torch.inference_mode():
        for clip, label in DataLoader(clips, batch_size=8, num_workers=1):
            order = torch.randperm(NUM_FRAMES, generator=generator)
            frozen = clip[:, :, NUM_FRAMES // 2, None].expand_as(clip)
            variants = zip(correct, (clip, clip[:, :, order], clip.flip(2), frozen), strict=True)
            for name, variant in variants:
                correct[name] += int((model(variant).argmax(1) == label).sum())
    args.out.write_text(json.dumps({name: 100 * count / len(clips) for name, count in correct.items()}))


if __name__ == "__main__":
    main()
