"""Domain generalisation: a classifier as it is, on a data set that shares classes with the one it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from pvbias.clips import ORIGINAL
from pvbias.data.annotations.names import ClassNumbers
from pvbias.data.class_map import read_class_map
from pvbias.errors import DataError, did_you_mean
from pvbias.evaluation import Result
from pvbias.features import Features
from pvbias.report.per_video import spread

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
            and of the outputs are found by name; empty: the classes that the videos show are those that are shared, and
            found among the outputs by name.
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
        shared, of_labels, names = self._shared(test)
        labels = np.where(test.labels >= 0, of_labels[np.maximum(test.labels, 0)], -1)
        chosen = labels >= 0
        if not chosen.any():
            raise DataError(f"{test.folder}: no video is of a shared class ({', '.join(names[:5])}, ...).")
        result = Result()
        for modulation in self.modulations:
            logits = np.asarray(test.logits(modulation)[chosen], dtype=np.float64)
            grouped, others = _by_class(logits, shared, len(names))
            for among, scores in (("shared", grouped), ("all", np.concatenate([grouped, others], axis=2))):
                logs = scores - logsumexp(scores, axis=2, keepdims=True)
                of_videos = logsumexp(logs, axis=1) - np.log(logs.shape[1])
                note = f"{len(names)} shared classes, told apart among {scores.shape[2]}; nothing trained"
                figures = evaluate_scores(of_videos, labels[chosen], variant=modulation, note=note, **BOOTSTRAP)
                result.figures += [
                    replace(each, name=f"{each.name}_among_{among}", values=spread(each.values, chosen))
                    for each in figures
                ]
        return result

    def _shared(self, test: Features) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """The shared class of each output, int64 ``(K,)``, and of each label, ``(C,)``, -1: none; and their names."""
        outputs = _output_names(test, self.modulations[0])
        if not self.class_map:
            occurring = np.unique(test.labels[test.labels >= 0])
            of_outputs, of_labels = np.full(len(outputs), -1), np.full(occurring.max(initial=0) + 1, -1)
            numbers = ClassNumbers(outputs)
            names = [test.class_names[label] if test.class_names else str(label) for label in occurring]
            for shared, (label, name) in enumerate(zip(occurring.tolist(), names, strict=True)):
                output = numbers.find(name)
                if output is None:
                    raise DataError(
                        f"{test.folder}: {name!r} is no class of the network. {did_you_mean(name, outputs)} Where data "
                        "sets name classes differently, a class map says which are which."
                    )
                of_outputs[output] = of_labels[label] = shared
            return of_outputs, of_labels, names
        if not test.class_names:
            raise DataError(f"{test.folder}: classes have no names, and a class map needs them.")
        classes = read_class_map(self.class_map)
        names = list(classes.classes)
        found = [classes.find(name) for name in outputs]
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(
                f"{self.class_map}: the network of {test.folder} has no class {missing[0]!r} ({len(missing)} are "
                "missing)."
            )
        of_outputs, of_labels = (
            np.array([-1 if name is None else names.index(name) for name in each])
            for each in (found, [classes.find(name) for name in test.class_names])
        )
        return of_outputs, of_labels, names


def _output_names(test: Features, modulation: str) -> list[str]:
    """Names of the outputs ``(K,)``: those of the weights, else the list's, where it has as many; where neither has
    names their numbers."""
    count = test.logits(modulation).shape[2]
    names = test.logit_names or test.class_names
    if len(names) == count and (test.class_names or not test.logit_names):
        return names
    if names:
        raise DataError(
            f"{test.folder}: the network has {count} outputs, of which {len(test.logit_names)} have names, and the "
            f"list has names of {len(test.class_names)} classes: which are which is not known. Extract the features "
            "with --class-names FILE; where the weights bring no names, those of the network's classes."
        )
    return [str(number) for number in range(count)]


def _by_class(logits: np.ndarray, shared: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Log of the summed exponentials of the outputs of each shared class ``(n, V, S)``, and the others' logits."""
    grouped = [logsumexp(logits[:, :, shared == number], axis=2) for number in range(count)]
    return np.stack(grouped, axis=2), logits[:, :, shared < 0]
