"""The Evaluator contract: ``reset`` / ``prepare`` / ``process`` / ``evaluate``, as in detectron2, and what it needs."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fvcore.common.config import CfgNode
from torch import Tensor

from ..clips import Modulation, modulation
from ..data import VideoRecord, Views
from ..data.attributes import NO_ATTRIBUTES, Attribute
from ..errors import ConfigError
from ..models.outputs import Outputs
from ..models.recognizer import Recognizer
from ..needs import Needs
from ..video import content_fingerprint
from .results import Result

if TYPE_CHECKING:
    from ..context import Context


_VIEWS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class VideoViews:
    """All test views of one video, as evaluators get them.

    Attributes:
        index: position of the video in its annotation file; unique, the same in every process.
        name: the video's path as the annotation file writes it.
        label: class index, or None when the video has none.
        clips: uint8 ``(V, C, T, H, W)``, on the CPU, as the loader delivers them: through DATA.MODULATION, and
            unmodulated otherwise. Of a long video :class:`pvbias.data.Views`, of which those that are asked for are
            read again: ``clips[3]``, ``clips[3:7]``, ``clips.split(8)``; as a tensor they are all in memory.
        record: its line of the annotation; None where there is none.
        tracks: what accompanies the clips, by name in the TRACK registry, ``(V, D, T, H, W)`` on the CPU (float32 or
            integers): those that the evaluator needs. Of a long video as the clips.
    """

    index: int
    name: str
    label: int | None
    clips: Tensor | Views
    record: VideoRecord | None = None
    tracks: Mapping[str, Tensor | Views] = field(default_factory=dict)

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """The attributes of the video, by name; see :mod:`pvbias.data.attributes`."""
        return NO_ATTRIBUTES if self.record is None else self.record.attributes

    def content(self) -> str:
        """Fingerprint of what the video shows, 16 hexadecimal digits: of its file
        (:func:`pvbias.video.content_fingerprint`) and the part that is meant, and where there is none, as of a
        generated video, of the pixels of ``clips``, which depend on how they were sampled."""
        in_file = content_fingerprint(self.record.path) if self.record is not None else None
        if self.record is None or in_file is None:
            digest = hashlib.sha256(repr(tuple(self.clips.shape)).encode())
            for views in self.clips.split(_VIEWS_AT_ONCE):
                digest.update(views.numpy().tobytes())
        elif self.record.start is None and self.record.end is None:
            return in_file
        else:
            digest = hashlib.sha256(repr((in_file, self.record.start, self.record.end)).encode())
        return digest.hexdigest()[:16]


class Evaluator(abc.ABC):
    """Base of evaluators, each of which computes figures over a set of videos.

    The runner decodes every video once, runs every variant that any evaluator needs once, and calls :meth:`process`
    once for each video with all its views. What an evaluator keeps of a video is one row in :attr:`rows`, under the
    video's index: rows of several processes are merged by index and sorted before :meth:`evaluate`, so figures do not
    depend on how many there were.

    Attributes:
        needs: what :meth:`process` is given: the modulations (specs, :func:`pvbias.clips.modulation`), the features
            that come with the logits on each of them, the clips' tracks. Set in ``__init__`` when it depends on the
            configuration.
        of_predictions: its figures follow from the name, the label and the logits of a video alone; those of video
            level from the logarithms of the class probabilities averaged over its views. Such figures can be given of
            what several models say together, too (``pvbias fuse``).
        kept: further modulations whose outputs :meth:`process` gets where another evaluator needs them.
        rows: all that is kept of the videos: set once for each, and not changed once that of another one is set. Beyond
            a size they are on disk (:class:`.rows.Rows`): rows may be large, such as features, and :meth:`evaluate`
            does best to look at one after the other. Numbers, text, containers, NumPy arrays, named tuples and
            dataclasses of these: what else can be pickled is possible, too, but is measured anew after an interruption.
    """

    needs: Needs = Needs()
    of_predictions: bool = False
    kept: tuple[str, ...] = ()

    def __init__(self, cfg: CfgNode, recognizer: Recognizer, class_names: Sequence[str]) -> None:
        self.cfg = cfg
        self.recognizer = recognizer
        self.class_names = class_names
        self.rows: MutableMapping[int, Any] = {}

    def modulations(self) -> dict[str, Modulation]:
        """The modulations that it needs, by their spec as :attr:`needs` writes it.

        Raises:
            ConfigError: there is no such modulation.
        """
        try:
            return {spec: modulation(spec) for spec in self.needs.modulations}
        except ConfigError as error:
            raise ConfigError(f"{type(self).__name__} measures on clips that cannot be had: {error}") from error

    def tracks(self) -> tuple[str, ...]:
        """What has to be read beside its clips, by name in the TRACK registry: the tracks that it needs itself, and
        those that its modulations take."""
        of_modulations = (name for each in self.modulations().values() for name in each.tracks)
        return tuple(dict.fromkeys((*self.needs.tracks, *of_modulations)))

    def reset(self) -> None:
        """Forget all videos."""
        self.rows = {}

    def prepare(self, context: Context) -> None:  # noqa: B027 (few need it)
        """Prepare before the first video: train an auxiliary network, look at the training videos. Called in all
        processes, once for each evaluation, after :meth:`reset`; the recognizer is on its device and in evaluation
        mode. An evaluator that reads videos here says so (:attr:`.Needs.splits`)."""

    def views_of_features(self, num_views: int) -> range:
        """The views of a video, ascending, whose features :meth:`process` gets: all. One that looks at few of them says
        so here: a long video has thousands, and the features of an inner module are large."""
        return range(num_views)

    def process(self, video: VideoViews, outputs: Mapping[str, Outputs]) -> None:  # noqa: B027 (not all need it)
        """Add one video.

        Args:
            video: its views.
            outputs: of the model on the V views, by modulation as :attr:`needs` writes it: logits ``(V, K)`` and, of
                :meth:`views_of_features`, the features asked for, float32 on the CPU.
        """

    def is_there(self, row: Any) -> bool:
        """Whether all that a row of an earlier attempt refers to, such as a file, is still there; its videos are
        measured again where not. A row that is all there is to it is."""
        return True

    @property
    def bootstrap(self) -> dict[str, int]:
        """Keyword arguments of the functions in :mod:`.statistics`."""
        return {"samples": self.cfg.BIAS.BOOTSTRAP_SAMPLES, "seed": self.cfg.RNG_SEED}

    def class_name(self, label: int) -> str:
        """A class's name; its number when it has none."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    @abc.abstractmethod
    def evaluate(self) -> Result:
        """Compute the figures over all rows (those of all processes, sorted by video index)."""
