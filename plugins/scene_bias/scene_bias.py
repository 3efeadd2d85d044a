"""Scene bias: the places of videos, what they say of the label, and accuracy in common and in rare places."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from pvbias.clips import ORIGINAL
from pvbias.context import Context
from pvbias.errors import ConfigError
from pvbias.evaluation import Evaluator, Figure, Result, VideoViews
from pvbias.evaluation.accuracy import scores_by_level, top_k_credit
from pvbias.evaluation.statistics import mean_figures, unpaired_difference
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR

from .information import Information, mutual_information
from .places import PlaceClassifier, fitted_classifier, published_classifier

#: Share of a video's frames that the paper's sentence on Figure A.12 is about: "80 % ... 0.25 or greater".
QUARTER = 0.25

#: Points of the curve of Figure A.12.
_POINTS = 40

#: Variants of the accuracy: videos of the commonest places, and the others.
COMMON, RARE = "common places", "rare places"


@dataclass(frozen=True)
class SceneRow:
    """Place, label and credit of a video.

    Attributes:
        place: the most frequent one of its frames; empty: it is not known.
        score: the share of the frames that show it.
        label: class index; -1: none.
        credit: of the label, video level, in [0, 1]; 0 without one.
    """

    place: str
    score: float
    label: int
    credit: float


@EVALUATOR.register(name="scene_bias")
class SceneBias(Evaluator):
    """How much places say of videos and their labels, and accuracy by place (temporality study, Appendix A).

    A video's place is the most frequent one among the frames of its test views (of equally frequent ones the one that
    the classifier gives more probability to over all frames). Where a frame's place comes from: the attribute
    ``SCENE_BIAS.ATTRIBUTE``, which is exact for made-up videos; the classifier ``SCENE_BIAS.CLASSIFIER``, such as one
    published with Places365; else one that is trained on ``SCENE_BIAS.PLACES_DIR``.

    - ``common_place_score``: the share of a video's frames that show its place, mean over videos;
      ``quarter``: the share of videos whose score is 0.25 or more (the paper: 80 %; Figure A.12 is the table
      ``common_place_curve``). Of an attribute, which is of a whole video, there are neither.
    - ``places``: how many occur; ``places_of_half``: how many of the commonest have half of the videos (the paper: 16).
    - ``top1``: accuracy, video level, on the videos of the ``SCENE_BIAS.COMMONEST`` commonest places and on the others;
      ``top1_difference``: rare less common (the paper's Table A.3: 63.2 - 56.3 points), with the interval for two sets
      of videos, which takes the ranking of the places as given.
    - ``place_information``: mutual information of place and label, nats, without its small-sample bias, with interval
      (:class:`.information.Information`); its note has the share of label-permuted samples that have as much.
      ``label_explained``: that of the label's entropy, which is corrected likewise, in percent.

    Videos without a place count nowhere, those without a label in neither accuracy nor information.

    Tables: ``places`` (videos, accuracy, the most frequent class of each), ``classes`` (the most frequent place of
    each, and what a class says of the place, nats: ``sum_p P(p | class) ln(P(p | class) / P(p))``, whose mean over
    videos is the plug-in information), ``information``, ``common_place_curve``, and ``classifier``: where places came
    from.

    Raises:
        ConfigError: nothing says where places come from, or two things do, weights or places are given for no
            classifier, or a classifier says it and clips are flow.
    """

    needs = Needs(modulations=(ORIGINAL,))

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        options = cfg.SCENE_BIAS
        if bool(options.ATTRIBUTE) + bool(options.CLASSIFIER) > 1 or not (
            options.ATTRIBUTE or options.CLASSIFIER or options.PLACES_DIR
        ):
            raise ConfigError(
                "scene_bias: say where places come from, in one of SCENE_BIAS.ATTRIBUTE (an attribute of the videos), "
                "SCENE_BIAS.CLASSIFIER (a published classifier) and SCENE_BIAS.PLACES_DIR (images to train one on)."
            )
        for name in ("CHECKPOINT_FILE_PATH", "PLACES_FILE"):
            if options[name] and not options.CLASSIFIER:
                raise ConfigError(
                    f"SCENE_BIAS.{name} = {options[name]!r} is of a published classifier: name that in "
                    "SCENE_BIAS.CLASSIFIER (resnet50, of resnet50_places365.pth.tar)."
                )
        self.classifier: PlaceClassifier | None = None
        if options.ATTRIBUTE:
            self.needs |= Needs(attributes=(options.ATTRIBUTE,))
        elif not options.CLASSIFIER:
            self.needs |= Needs(splits=("train",))  # it trains something first

    def prepare(self, context: Context) -> None:
        """Load the classifier of places, or train it."""
        if self.cfg.DATA.MODALITY == "flow" and not self.cfg.SCENE_BIAS.ATTRIBUTE:
            raise ConfigError(
                "scene_bias: the clips show optical flow (DATA.MODALITY), and a classifier of places needs pictures. "
                "Take an attribute of the videos (SCENE_BIAS.ATTRIBUTE), or measure a model of RGB clips."
            )
        self.settings = context.settings
        if self.cfg.SCENE_BIAS.CLASSIFIER:
            self.classifier = published_classifier(self.cfg, context.settings)
        elif not self.cfg.SCENE_BIAS.ATTRIBUTE:
            self.classifier = fitted_classifier(self.cfg, self.recognizer, context)
        self.places = () if self.classifier is None else self.classifier.places

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """See :meth:`Evaluator.process`."""
        credit = 0.0
        if video.label is not None:
            scores = scores_by_level(outputs[ORIGINAL].logits)["video"]
            credit = float(top_k_credit(scores, video.label, 1)[0])
        label = -1 if video.label is None else video.label
        if self.classifier is None:
            place = video.attributes.get(self.cfg.SCENE_BIAS.ATTRIBUTE)
            self.rows[video.index] = SceneRow("" if place is None else str(place), 1.0, label, credit)
            return
        frames = self.classifier.frames(video.clips, self.settings, batch_size=self.cfg.TEST.BATCH_SIZE)
        number, score = common_place(frames)
        self.rows[video.index] = SceneRow(self.classifier.places[number], score, label, credit)

    def evaluate(self) -> Result:
        """See :meth:`Evaluator.evaluate`."""
        names: dict[str, int] = {}
        places, labels = array("q"), array("q")
        scores, credits = array("d"), array("d")
        row: SceneRow
        for row in self.rows.values():
            if row.place:
                places.append(names.setdefault(row.place, len(names)))
                labels.append(row.label)
                scores.append(row.score)
                credits.append(row.credit)
        unknown = len(self.rows) - len(places)
        if not places:
            return Result(not_applicable=f"None of the {len(self.rows)} videos has a place.")
        videos = _Videos(
            [*names], np.array(places), np.array(labels), np.array(scores), np.array(credits), self.class_name
        )
        note = f"{unknown} videos whose place is not known are left out" if unknown else ""
        figures, tables = self._of_places(videos, note)
        labelled = videos.labels >= 0
        if labelled.any():
            figures += self._accuracies(videos, note)
            found = mutual_information(
                videos.places[labelled],
                videos.labels[labelled],
                permutations=self.cfg.BIAS.BOOTSTRAP_SAMPLES,
                seed=self.cfg.RNG_SEED,
            )
            figures += _information_figures(found, note)
            tables |= {"classes": videos.class_table(), "information": [_information_row(found)]}
        source = f"attribute {self.cfg.SCENE_BIAS.ATTRIBUTE!r}"
        tables["classifier"] = [{"places": self.classifier.description if self.classifier else source}]
        return Result(figures=figures, tables=tables)

    def _of_places(self, videos: _Videos, note: str) -> tuple[list[Figure], dict[str, list[dict[str, Any]]]]:
        counts = np.bincount(videos.places)
        covered = np.cumsum(np.sort(counts)[::-1])
        half = int(np.searchsorted(covered, len(videos.places) / 2)) + 1
        of_all = Figure(name="places", value=None, unit="", level="video", count=len(videos.places), note=note)
        figures = [
            replace(of_all, value=float(len(counts))),
            replace(of_all, name="places_of_half", value=float(half)),
        ]
        tables = {"places": videos.place_table(self.cfg.SCENE_BIAS.COMMONEST)}
        if self.classifier is not None:
            templates = [
                Figure(name=name, value=None, unit="%", level="video", note=note)
                for name in ("common_place_score", "quarter")
            ]
            columns = np.stack([videos.scores, videos.scores >= QUARTER], axis=1)
            figures = mean_figures(templates, columns, **self.bootstrap) + figures
            tables["common_place_curve"] = [
                {"score": point / _POINTS, "videos": 100 * float((videos.scores >= point / _POINTS).mean())}
                for point in range(_POINTS + 1)
            ]
        return figures, tables

    def _accuracies(self, videos: _Videos, note: str) -> list[Figure]:
        """Top-1 in the commonest places and elsewhere, and the difference, where there are both."""
        common = np.isin(videos.places, videos.by_count()[: self.cfg.SCENE_BIAS.COMMONEST])
        labelled = videos.labels >= 0
        parts = {COMMON: videos.credits[labelled & common], RARE: videos.credits[labelled & ~common]}
        figures = []
        for variant, credits in parts.items():
            if len(credits):
                template = Figure(name="top1", value=None, unit="%", level="video", variant=variant, note=note)
                # Of a part of the videos: without the values of each, which another run would be compared by.
                figures += [
                    replace(figure, values=None)
                    for figure in mean_figures([template], credits[:, None], **self.bootstrap)
                ]
        if all(map(len, parts.values())):
            found = unpaired_difference(parts[COMMON], parts[RARE])
            ends = None if found.interval is None else (100 * found.interval[0], 100 * found.interval[1])
            figures.append(
                Figure(
                    name="top1_difference",
                    value=100 * found.value,
                    unit="points",
                    level="video",
                    interval=ends,
                    count=found.count,
                    note=note,
                )
            )
        return figures


def common_place(frames: Tensor) -> tuple[int, float]:
    """The most frequent place among a video's frames and the share of the frames that show it: the paper's common
    place score. Of equally frequent places the one with the higher probability over all frames.

    Args:
        frames: log-probabilities ``(F, P)``.
    """
    counts = torch.bincount(frames.argmax(1), minlength=frames.shape[1])
    most = counts.max()
    over_all = frames.double().exp().sum(0).masked_fill(counts < most, -1.0)
    return int(over_all.argmax()), float(most) / len(frames)


@dataclass(frozen=True, eq=False)
class _Videos:
    """Places, labels and credits of all videos whose place is known.

    Attributes:
        names: of the places.
        places: of each video, index into ``names``; labels: class index, -1 none; scores, credits: see SceneRow.
        class_name: of a label.
    """

    names: Sequence[str]
    places: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    credits: np.ndarray
    class_name: Callable[[int], str]

    def by_count(self) -> list[int]:
        """Places, the commonest first; of equally common ones the one whose name comes first."""
        counts = np.bincount(self.places)
        return sorted(range(len(counts)), key=lambda place: (-counts[place], self.names[place]))

    def place_table(self, commonest: int) -> list[dict[str, Any]]:
        """A row for each place, the commonest first."""
        rows = []
        for rank, place in enumerate(self.by_count()):
            members = self.places == place
            labelled = members & (self.labels >= 0)
            labels, counts = np.unique(self.labels[labelled], return_counts=True)
            most = int(counts.argmax()) if len(counts) else 0
            rows.append(
                {
                    "place": self.names[place],
                    "videos": int(members.sum()),
                    "share": 100 * float(members.mean()),
                    "common": rank < commonest,
                    "top1": 100 * float(self.credits[labelled].mean()) if labelled.any() else None,
                    "classes": len(labels),
                    "commonest_class": self.class_name(int(labels[most])) if len(labels) else "",
                    "share_of_class": 100 * float(counts[most] / counts.sum()) if len(labels) else None,
                }
            )
        return rows

    def class_table(self) -> list[dict[str, Any]]:
        """A row for each class, the one that says most of the place first."""
        labelled = self.labels >= 0
        overall = np.bincount(self.places[labelled], minlength=len(self.names)) / labelled.sum()
        rows = []
        for label in np.unique(self.labels[labelled]).tolist():
            members = self.labels == label
            own = np.bincount(self.places[members], minlength=len(self.names)) / members.sum()
            there = own > 0
            rows.append(
                {
                    "class": self.class_name(label),
                    "videos": int(members.sum()),
                    "commonest_place": self.names[int(own.argmax())],
                    "share_of_place": 100 * float(own.max()),
                    "information": float((own[there] * np.log(own[there] / overall[there])).sum()),
                    "top1": 100 * float(self.credits[members].mean()),
                }
            )
        return sorted(rows, key=lambda row: (-row["information"], row["class"]))


def _information_figures(found: Information, note: str) -> list[Figure]:
    """The information, and the part of the label's entropy that it is."""
    words = "; ".join(filter(None, (note, found.note, f"p = {found.p_value:.3g} by permuted labels")))
    template = Figure(name="place_information", value=None, unit="nats", level="video", count=found.samples, note=words)
    figures = [replace(template, value=found.value, interval=found.interval)]
    if found.entropies[1] > 0:
        value, ends = 100 * found.value / found.most, None
        if found.interval is not None:
            low, high = (min(100 * end / found.most, max(value, 100.0)) for end in found.interval)
            ends = (low, high)
        share = replace(template, name="label_explained", unit="%", value=value)
        figures.append(replace(share, interval=ends))
    return figures


def _information_row(found: Information) -> dict[str, Any]:
    return {
        "videos": found.samples,
        "places": found.shape[0],
        "classes": found.shape[1],
        "information": found.value,
        "plug_in": found.plug_in,
        "by_chance": found.null,
        "by_chance_95": found.null_end,
        "p_value": found.p_value,
        "entropy_of_place": found.entropies[0],
        "entropy_of_label": found.entropies[1],
        "label_if_all_told": found.most,
    }
