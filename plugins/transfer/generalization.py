"""Domain generalisation: a classifier as it is, on a data set that shares classes with the one it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from pvbias.clips import ORIGINAL
from pvbias.data.class_map import read_class_map
from pvbias.errors import DataError
from pvbias.evaluation import Result
from pvbias.features import Features

from .scores import BOOTSTRAP, evaluate_scores


@dataclass(frozen=True, kw_only=True)
class DomainGeneralization:
    """The accuracy of a network's own classifier on videos of shared classes, with nothing trained: of one that learnt
    Kinetics, on Mimetics.

    - ``..._among_shared``: it has to tell the shared classes from one another; the others' outputs are left out.
    - ``..._among_all``: from all classes that it knows.

    Class probabilities are averaged over views. Where several outputs are one shared class, their probabilities add up.

    Attributes:
        class_map: a class map's file (:func:`pvbias.data.class_map.read_class_map`), of which the classes of the videos
            and of the outputs are found by name; empty: the classes that the videos show are those that are shared.
        modulations: of the clips.
    """

    needs = ("test",)

    class_map: str = ""
    modulations: Sequence[str] = (ORIGINAL,)

    def evaluate(self, train: Features | None, test: Features | None) -> Result:
        """See :class:`.protocols.TransferProtocol`."""
        assert test is not None
        if test.labels.ndim == 2:
            raise DataError(f"{test.folder}: videos have several labels, and here they are of one class.")
        shared, names = self._shared(test)
        labels = np.where(test.labels >= 0, shared[np.maximum(test.labels, 0)], -1)
        chosen = labels >= 0
        if not chosen.any():
            raise DataError(f"{test.folder}: no video is of a shared class ({', '.join(names[:5])}, ...).")
        result = Result()
        for modulation in self.modulations:
            logits = np.asarray(test.logits(modulation)[chosen], dtype=np.float64)
            if logits.shape[2] != len(shared):
                raise DataError(
                    f"{test.folder}: {logits.shape[2]} outputs of the network, and {len(shared)} classes by name."
                )
            grouped, others = _by_class(logits, shared, len(names))
            for among, scores in (("shared", grouped), ("all", np.concatenate([grouped, others], axis=2))):
                logs = scores - logsumexp(scores, axis=2, keepdims=True)
                of_videos = logsumexp(logs, axis=1) - np.log(logs.shape[1])
                note = f"{len(names)} shared classes, told apart among {scores.shape[2]}; nothing trained"
                figures = evaluate_scores(of_videos, labels[chosen], variant=modulation, note=note, **BOOTSTRAP)
                result.figures += [replace(each, name=f"{each.name}_among_{among}") for each in figures]
        return result

    def _shared(self, test: Features) -> tuple[np.ndarray, list[str]]:
        """The shared class of each output, int64 ``(K,)``, -1: none; and the names of the shared ones."""
        outputs = test.logits(self.modulations[0]).shape[2]
        if not self.class_map:
            occurring = np.unique(test.labels[test.labels >= 0])
            found = np.full(outputs, -1)
            found[occurring] = np.arange(len(occurring))
            return found, [test.class_names[label] if test.class_names else str(label) for label in occurring]
        if not test.class_names:
            raise DataError(f"{test.folder}: classes have no names, and a class map needs them.")
        classes = read_class_map(self.class_map)
        names = list(classes.classes)
        of_outputs = [classes.find(name) for name in test.class_names]
        missing = [name for name in names if name not in of_outputs]
        if missing:
            raise DataError(
                f"{self.class_map}: {test.folder} has no class {missing[0]!r} ({len(missing)} are missing)."
            )
        return np.array([-1 if name is None else names.index(name) for name in of_outputs]), names


def _by_class(logits: np.ndarray, shared: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Log of the summed exponentials of the outputs of each shared class ``(n, V, S)``, and the others' logits."""
    grouped = [logsumexp(logits[:, :, shared == number], axis=2) for number in range(count)]
    return np.stack(grouped, axis=2), logits[:, :, shared < 0]
