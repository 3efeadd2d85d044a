"""t-SNE pictures of features, coloured by class or attribute."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Picture
from sklearn.manifold import TSNE

from pvbias.clips import ORIGINAL
from pvbias.errors import DataError, did_you_mean
from pvbias.evaluation import Result
from pvbias.features import Features

#: Colours that the eye tells apart; further groups are grey.
_COLOURS = 10


@dataclass(frozen=True, kw_only=True)
class Tsne:
    """A picture of the features by t-SNE (van der Maaten and Hinton 2008), each video a point; of the seed alone.

    Attributes:
        colour_by: attribute of the videos; empty: their class.
        layer, modulation: whose features, means over views.
        perplexity: neighbours that count; fewer where there are few videos.
        seed: of the picture.
    """

    needs = ("test",)

    colour_by: str = ""
    layer: str = "embedding"
    modulation: str = ORIGINAL
    perplexity: float = 30.0
    seed: int = 0

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """The picture, and the places of the videos as a table."""
        assert test is not None
        if len(test) < 3:
            raise DataError(f"{test.folder}: {len(test)} videos, and a picture of them takes three.")
        groups = self._groups(test)
        perplexity = min(self.perplexity, (len(test) - 1) / 3)
        features = test.videos(self.layer, self.modulation)
        places = TSNE(perplexity=perplexity, init="pca", random_state=self.seed).fit_transform(features)
        rows = [
            {"video": name, "group": group, "x": float(x), "y": float(y)}
            for name, group, (x, y) in zip(test.names, groups, places, strict=True)
        ]
        return Result(tables={"places": rows}, images={"tsne.png": draw(places, groups)})

    def _groups(self, test: Features) -> list[str]:
        if self.colour_by:
            if self.colour_by not in test.attributes:
                raise DataError(
                    f"{test.folder}: videos have no attribute {self.colour_by!r}. "
                    f"{did_you_mean(self.colour_by, test.attributes)}"
                )
            return ["unknown" if value is None else str(value) for value in test.attributes[self.colour_by]]
        if test.labels.ndim == 2:
            raise DataError(f"{test.folder}: videos have several labels: colour them by an attribute.")
        names = test.class_names
        return ["unknown" if label < 0 else names[label] if names else str(label) for label in test.labels.tolist()]


def draw(places: np.ndarray, groups: list[str]) -> bytes:
    """A PNG of places ``(n, 2)``, a colour for each group."""
    picture = Picture(figsize=(5, 3.8), layout="constrained")
    axes = picture.subplots()
    for number, group in enumerate(sorted(set(groups))):
        mine = places[[other == group for other in groups]]
        axes.scatter(mine[:, 0], mine[:, 1], s=14, color=f"C{number}" if number < _COLOURS else "0.7", label=group)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    if len(set(groups)) <= 2 * _COLOURS:
        picture.legend(loc="outside right center", frameon=False, fontsize=7)
    stream = io.BytesIO()
    picture.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
