"""What has to be the same in features that are used together: network, videos, classes."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from .folder import Features, Fingerprint


def check_same_network(*features: Features) -> None:
    """Check that features are of one network, with one way of making clips, so that a classifier for some is one for
    the others.

    Raises:
        DataError: they are not; the message names both.
    """
    first = features[0]
    for other in features[1:]:
        mine, others = first.fingerprint, other.fingerprint
        if mine.network != others.network:
            raise DataError(
                f"{first.folder} has features of {_network(mine)}, and {other.folder} of {_network(others)}: they "
                "cannot be used together."
            )
        changed = [
            f"{name} {mine.settings.get(name)!r} and {others.settings.get(name)!r}"
            for name in dict.fromkeys([*mine.settings, *others.settings])
            if mine.settings.get(name) != others.settings.get(name)
        ]
        if changed:
            raise DataError(f"{first.folder} and {other.folder} were made differently: {'; '.join(changed)}.")


def check_same_videos(*features: Features) -> None:
    """Check that features are of the same videos, with the same labels, so that they can be compared video by video.

    Raises:
        DataError: they are not; the message names both.
    """
    first = features[0]
    for other in features[1:]:
        differing = [name for name, theirs in zip(first.names, other.names, strict=False) if name != theirs]
        if len(first) != len(other) or differing:
            raise DataError(
                f"{first.folder} has {len(first)} videos of {first.fingerprint.videos!r}, and {other.folder} "
                f"{len(other)} of {other.fingerprint.videos!r}"
                + (f", the first of which that differs is {differing[0]!r}" if differing else "")
                + ": they cannot be compared video by video."
            )
        if not np.array_equal(first.labels, other.labels):
            raise DataError(f"{first.folder} and {other.folder} give the same videos other labels.")


def check_same_classes(*features: Features) -> None:
    """Check that labels of features mean the same classes, so that what is learnt on some can be tested on the others.

    Raises:
        DataError: they do not; the message names both.
    """
    first = features[0]
    for other in features[1:]:
        mine, others = first.class_names, other.class_names
        if mine != others:
            differing = [
                f": {ours!r} and {theirs!r}" for ours, theirs in zip(mine, others, strict=False) if ours != theirs
            ]
            raise DataError(
                f"{first.folder} has {len(mine)} class names and {other.folder} {len(others)}{''.join(differing[:1])}. "
                "Their labels do not mean the same: extract both with the same --class-names FILE, or from "
                "lists beside one class_names.txt."
            )
        if first.labels.shape[1:] != other.labels.shape[1:]:
            raise DataError(
                f"Videos have one label in one of {first.folder} and {other.folder}, and several in the other."
            )


def _network(fingerprint: Fingerprint) -> str:
    known = f" (digest {fingerprint.weights_digest})" if fingerprint.weights_digest else ""
    return f"{fingerprint.model or 'a network'} with the weights {fingerprint.weights!r}{known}"
