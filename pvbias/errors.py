"""Errors a user can act on, and the exit code each one gives a script.

Anything else that escapes is a bug in pvbias and exits with Python's own code 1 and a traceback.

====  ==============================================================
code  meaning
====  ==============================================================
0     everything asked for was done
1     a bug: please report it with the output of ``pvbias env``
2     wrong command line or configuration (also what argparse uses)
3     the data: nothing to read, or too many bad files
4     weights or checkpoints that are missing, broken or do not fit
5     training cannot go on (a loss that is not finite, for example)
6     the cluster: it cannot take a job, or a job on it failed
130   stopped by Ctrl-C: the same command goes on (:mod:`pvbias.interruption`)
143   stopped by SIGTERM: likewise
====  ==============================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PvbiasError(Exception):
    """Base of all errors that are shown to the user as one message, without a traceback."""

    exit_code = 1


class ConfigError(PvbiasError):
    """A key, value, plugin or registered name that cannot be used."""

    exit_code = 2


class DataError(PvbiasError):
    """Annotations or videos that cannot be used."""

    exit_code = 3


class WeightsError(PvbiasError):
    """A checkpoint that cannot be fetched, verified, read or matched to the model."""

    exit_code = 4


class TrainingError(PvbiasError):
    """A training run that cannot go on."""

    exit_code = 5


class ClusterError(PvbiasError):
    """A job that the cluster cannot take, or that failed on it."""

    exit_code = 6


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence naming the known names nearest to ``name``; all of them (at most 20) when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not near and name:  # the same word in another case, or a part of a longer name
        near = [known_name for known_name in names if name.lower() in known_name.lower()][:3]
    if near:
        return "Did you mean " + " or ".join(repr(n) for n in near) + "?"
    if not names:
        return "None is known."
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"Known: {shown}."
