"""Models of which it is known what they make of modulated clips, and clips for evaluators."""

import math

import torch
from torch import nn

from pvbias.clips import ClipSpec, modulation, view_seeds
from pvbias.evaluation import VideoViews
from pvbias.models.recognizer import Recognizer
from tests.evaluation.toys import as_outputs

VARIANTS = ("original", "shuffle", "reverse", "freeze_middle")
DRAWS = ("freeze(frame=random, draw=1)", "freeze(frame=random, draw=2)")
SPEC = ClipSpec(num_frames=8, sampling_rate=1, crop_size=4, test_crop_size=4, short_side=4)


class PerFrame(nn.Module):
    """The paper's purely spatial classifier (eq. 1): the mean over frames of a classifier of single frames."""

    def __init__(self, num_classes=7, average="probabilities"):
        super().__init__()
        self.average = average
        self.head = nn.Linear(3 * 4 * 4, num_classes)
        nn.init.normal_(self.head.weight, std=2)

    def forward(self, clip):
        frames = self.head(clip.transpose(1, 2).flatten(2))  # (N, T, K)
        return frames.softmax(2).mean(1).log() if self.average == "probabilities" else frames.mean(1)


class Ordered(PerFrame):
    """Sees only how the first frame differs from the last one: motion and nothing else."""

    def forward(self, clip):
        return self.head((clip[:, :, -1] - clip[:, :, 0]).flatten(1))


def recognizer(module=None):
    torch.manual_seed(0)
    return Recognizer(module or PerFrame(), clip_spec=SPEC, head="head")


def run(evaluator, model, num_videos=12, num_views=3):
    generator = torch.Generator().manual_seed(1)
    for index in range(num_videos):
        clips = torch.randint(256, (num_views, 3, 8, 4, 4), generator=generator, dtype=torch.uint8)
        seeds = view_seeds(0, f"{index}.mp4", num_views)
        with torch.no_grad():
            logits = {variant: model(modulation(variant)(clips, seeds)) for variant in VARIANTS}
        evaluator.process(
            VideoViews(index=index, name=f"{index}.mp4", label=index % 7, clips=clips), as_outputs(logits)
        )
    return figures(evaluator.evaluate())


def feed(evaluator, videos):
    """``videos``: (label, logits by variant); a variant that is not given is like the original."""
    for index, (label, logits) in enumerate(videos):
        logits = {spec: torch.tensor(logits.get(spec, logits["original"])) for spec in evaluator.needs.modulations}
        clips = torch.zeros(len(logits["original"]), 3, 1, 1, 1, dtype=torch.uint8)
        evaluator.process(VideoViews(index=index, name=str(index), label=label, clips=clips), as_outputs(logits))
    return evaluator.evaluate()


def figures(result):
    return {(figure.name, figure.variant, figure.level): figure for figure in result.figures}


def log(*probabilities):
    return [math.log(p) for p in probabilities]


def scores(best, num_classes=7):
    """Logits whose ``best`` is first, the others falling with their number."""
    row = [-float(k) for k in range(num_classes)]
    row[best] = 1.0
    return [row]
