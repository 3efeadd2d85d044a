"""A t-SNE picture of the test videos' embeddings, coloured by class or by an attribute, in a section of its own.

An example for authors of plugins. The pictures to use are those of ``pvbias transfer table`` (``plugins/transfer``).

L. van der Maaten, G. Hinton, *Visualizing Data using t-SNE*, JMLR 9 (2008).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode
from matplotlib.figure import Figure as Picture
from sklearn.manifold import TSNE

from pvbias.clips import ORIGINAL
from pvbias.config.keys import above, declare
from pvbias.evaluation import Evaluator, Result, VideoViews
from pvbias.models import Outputs, Recognizer
from pvbias.needs import Needs
from pvbias.registries import EVALUATOR, REPORT_SECTION
from pvbias.report import RunResults, Section
from pvbias.report.figures import result_of
from pvbias.report.tables import image_uri

#: Colours that the eye tells apart; further groups are grey.
COLOURS = 10


def add_config(cfg: CfgNode) -> None:
    """Add this plugin's keys."""
    declare(cfg, "TSNE.COLOUR_BY", "", "Attribute of the videos that colours the picture. Empty: the class.")
    declare(cfg, "TSNE.PERPLEXITY", 30.0, "Neighbours that count; fewer where there are few videos.", above(0))


@EVALUATOR.register(name="tsne")
class Tsne(Evaluator):
    """Two-dimensional picture of the embeddings (means over views); of ``RNG_SEED`` alone, so twice the same."""

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        super().__init__(cfg, recognizer, class_names)
        attributes = (cfg.TSNE.COLOUR_BY,) if cfg.TSNE.COLOUR_BY else ()
        self.needs = Needs(modulations=(ORIGINAL,), features=("embedding",), attributes=attributes)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:
        """Keeps the group and the embedding."""
        if self.cfg.TSNE.COLOUR_BY:
            group = str(video.attributes.get(self.cfg.TSNE.COLOUR_BY, "unknown"))
        else:
            group = "unknown" if video.label is None else self.class_name(video.label)
        self.rows[video.index] = (group, outputs[ORIGINAL].features["embedding"].mean(0).numpy())

    def evaluate(self) -> Result:
        """The picture, and the places of the videos in it as a table."""
        if len(self.rows) < 3:
            return Result(not_applicable="it takes three videos")
        groups = [group for group, _ in self.rows.values()]
        embeddings = np.array([embedding for _, embedding in self.rows.values()])
        perplexity = min(self.cfg.TSNE.PERPLEXITY, (len(embeddings) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=self.cfg.RNG_SEED).fit_transform(embeddings)
        table = [
            {"video": index, "group": group, "x": float(x), "y": float(y)}
            for index, group, (x, y) in zip(self.rows, groups, places, strict=True)
        ]
        return Result(tables={"places": table}, images={"tsne.png": draw(places, groups)})


def draw(places: np.ndarray, groups: Sequence[str]) -> bytes:
    """A PNG of places ``(n, 2)``, a colour for each group."""
    picture = Picture(figsize=(6, 4.5), layout="constrained")
    axes = picture.subplots()
    for number, group in enumerate(sorted(set(groups))):
        mine = places[[other == group for other in groups]]
        colour = f"C{number}" if number < COLOURS else "0.7"
        axes.scatter(*mine.T, s=18, color=colour, label=group)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    picture.legend(loc="outside right center", frameon=False, fontsize=8)
    stream = io.BytesIO()
    picture.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def build(runs: list[RunResults]) -> list[dict[str, str]] | None:
    """The pictures that there are, by run."""
    pictures = [(run.name, result_of(run, "tsne").images.get("tsne.png")) for run in runs]
    return [{"run": name, "uri": image_uri(data)} for name, data in pictures if data] or None


REPORT_SECTION.register(
    Section(
        title="Embeddings",
        build=build,
        place=450,
        template=Path(__file__).with_name("tsne.html"),
        evaluators={"tsne": "t-SNE of embeddings"},
    ),
    name="tsne",
)
