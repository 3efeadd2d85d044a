"""The figures in words that someone new to the subject understands, and the thresholds behind the words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..evaluation.results import Figure

#: A log ratio below this keeps more than 90 % of the accuracy without the order of frames.
BLIND = 0.1
#: ln 2: from here on, half of the accuracy or more goes with the order of frames.
HALF = math.log(2)
#: Nats: about what moving one prediction from 90 % to 72 % confidence costs, and from 90 % to 24 %.
SLIGHT, LARGE = 0.1, 1.0
#: Below this, a dynamic score or a log ratio is "none": what two orders of the same sums differ by may be as large.
RESOLUTION = 0.001

VARIANTS = {
    "original": "original",
    "shuffle": "frames shuffled",
    "reverse": "played backwards",
    "freeze_first": "first frame only",
    "freeze_middle": "middle frame only",
    "freeze_random": "one random frame only",
    # not a change of the clips, but compared with the predictions on them as these are
    "distill": "best student of single frames",
}

FIGURES = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "log_ratio": "log ratio of accuracies",
    "dynamic_score": "dynamic score",
    "agreement": "same first choice",
    "dynamic_score_distill": "dynamic score, distilled",
    "dataset_bias": "dataset bias",
    "student_top1": "top-1 accuracy of the student of single frames",
    "asdt": "ASDT",
    "asdt_first_third": "ASDT, first third of the layers",
    "asdt_last_third": "ASDT, last third of the layers",
    "relative_asdt": "Relative ASDT",
    "relative_asdt_first_third": "Relative ASDT, first third of the layers",
    "relative_asdt_last_third": "Relative ASDT, last third of the layers",
    "temporal_channels": "temporal channels",
    "temporal_channels_first_third": "temporal channels, first third of the layers",
    "temporal_channels_last_third": "temporal channels, last third of the layers",
    "modulated_accuracy": "accuracy on changed clips, log ratio",
    "self_convolution": "temporal channels (self-convolution)",
}


#: Figures that say how far predictions or accuracies move: 0 is "not at all".
_MOVEMENTS = ("dynamic_score", "log_ratio")


@dataclass(frozen=True)
class Reading:
    """What a figure says.

    Attributes:
        verdict: a few words, fit for a heading.
        explanation: a sentence or two with the numbers.
        caveat: why the verdict is not to be trusted fully; empty when it is.
    """

    verdict: str
    explanation: str
    caveat: str = ""


def variant_words(variant: str) -> str:
    """A modulation's name in words; a plugin's own modulation goes by its name."""
    return VARIANTS.get(variant, variant.replace("_", " "))


def figure_words(name: str) -> str:
    """A figure's or an evaluator's name in words; one that is not known goes by its name."""
    return FIGURES.get(name, name.replace("_", " "))


def counted(number: int, thing: str) -> str:
    """A number of things: "1 video", "2,000 videos", "1 class", "3 classes"."""
    return f"{number:,} {thing}" + ("" if number == 1 else "es" if thing.endswith("s") else "s")


def shown(figure: Figure) -> str:
    """A figure's value as readers see it: "none" where it says how far something moves and that is less than
    RESOLUTION."""
    if figure.name in _MOVEMENTS and figure.value is not None and abs(figure.value) < RESOLUTION:
        return "none"
    return number(figure.value, figure.unit)


def interval(ends: Sequence[float] | None, unit: str, *, signed: bool = False) -> str:
    """Its ends in brackets; empty where there is none."""
    return "[" + ", ".join(number(end, unit, signed=signed) for end in ends) + "]" if ends else ""


def number(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A value as readers see it: with a real minus sign, and more decimals when it would look like zero."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit in ("nats", "log ratio") and abs(value) < RESOLUTION:
        return "0"
    sign = "+" if signed and value else ""
    places = {"%": 1, "points": 1, "log ratio": 2, "nats": 3 if abs(value) < 1 else 2}.get(unit)
    if places is None or (value and abs(value) < 0.5 * 10**-places):
        text = f"{value:{sign}.3g}"
    else:
        text = f"{value:{sign}.{places}f}"
    return text.replace("-", "−")


def read_shuffling(original: Figure, shuffled: Figure, log_ratio: Figure | None, num_classes: int) -> Reading:
    """What shuffling the frames does to accuracy (in per cent), and what that says of the model."""
    before, after = original.value, shuffled.value
    assert before is not None
    assert after is not None
    lost = before - after
    numbers = f"{before:.1f} % in order, {after:.1f} % shuffled."
    if abs(lost) < 0.05:
        numbers = f"Shuffling the frames leaves accuracy as it was: {numbers}"
    else:
        numbers = (
            f"Shuffling the frames {'costs' if lost > 0 else 'gains'} {abs(lost):.1f} points of accuracy: {numbers}"
        )
    chance = 100.0 / num_classes
    guessing = f"guessing among {counted(num_classes, 'class')} ({chance:.1f} %)"
    low, _ = _ends(original)
    shuffled_low, shuffled_high = _ends(shuffled)
    if is_guessing(original, num_classes):
        text = f"{numbers} The first cannot be told from {guessing}: there is nothing for the order to explain."
        return Reading("No better than guessing", text, _thin(original))
    if shuffled_low <= chance and shuffled_high < low:
        compared = "is no better than" if after <= chance else "cannot be told from"
        text = f"{numbers} The second {compared} {guessing}: without the order, nothing is left."
        return Reading("Depends on the order of frames", text, _thin(original))
    ratio = math.log(before / after) if after else math.inf
    verdict, meaning = _ratio_words(ratio)
    caveat = _thin(original)
    if not after:  # else it would have been "nothing is left"
        caveat = "The intervals of the two accuracies overlap: measure more videos to be sure."
    if log_ratio is not None and log_ratio.interval is not None:
        others = {_ratio_words(end)[0] for end in log_ratio.interval} - {verdict}
        if others:
            also = " or ".join(f"“{other}”" for other in sorted(others))
            caveat = f"The interval of the log ratio also allows {also}: measure more videos to be sure."
    return Reading(verdict, f"{numbers} {meaning}", caveat)


def is_guessing(original: Figure, num_classes: int) -> bool:
    """Whether an accuracy (in per cent) cannot be told from that of naming a class at random."""
    return _ends(original)[0] <= 100.0 / num_classes


def read_dynamic_score(score: Figure, agreement: Figure | None, *, guessing: bool = False) -> Reading:
    """What a dynamic score (nats) says: how far predictions move when motion is taken away, or from what a student that
    sees single frames says.

    Args:
        agreement: of the first choices.
        guessing: the model's accuracy cannot be told from that of guessing.
    """
    assert score.value is not None
    if guessing:
        caveat = (
            "The model is no better than guessing: what moves its predictions, or does not, is nothing it has learnt."
        )
        return replace(read_dynamic_score(score, agreement), caveat=caveat)
    if score.variant == "distill":
        return _read_distilled(score, agreement)
    if score.value < RESOLUTION:
        verdict, meaning = "Predictions do not notice", "do not move"
    elif score.value < SLIGHT:
        verdict, meaning = "Predictions hardly notice", "hardly move"
    elif score.value < LARGE:
        verdict, meaning = "Predictions shift", "shift"
    else:
        verdict, meaning = "Predictions change a lot", "become very different"
    what = "the frames are shuffled" if score.variant == "shuffle" else f"a clip is reduced to {_frame(score.variant)}"
    text = f"When {what}, predictions {meaning}: {_nats(score.value)} on average."
    if agreement is not None and agreement.value is not None:
        text += f" The first choice stays the same for {agreement.value:.0f} % of the {agreement.level}s."
    return Reading(verdict, text, score.note)


def _read_distilled(score: Figure, agreement: Figure | None) -> Reading:
    assert score.value is not None
    if score.value < SLIGHT:
        verdict, meaning = "Single frames explain the predictions", "comes close to"
    elif score.value < LARGE:
        verdict, meaning = "Single frames explain part of the predictions", "misses part of"
    else:
        verdict, meaning = "Single frames do not explain the predictions", "is far from"
    text = f"A student that sees single frames {meaning} the predictions: {_nats(score.value)} on average."
    if agreement is not None and agreement.value is not None:
        text += f" Its first choice is the same for {agreement.value:.0f} % of the {agreement.level}s."
    return Reading(verdict, text, score.note)


def _nats(value: float) -> str:
    return f"less than {RESOLUTION} nats" if value < RESOLUTION else f"{number(value, 'nats')} nats"


def _ratio_words(ratio: float) -> tuple[str, str]:
    if ratio < -BLIND:
        return "Better without the order of frames", "That is unusual: look at the classes one by one."
    if ratio < BLIND:
        return (
            "Almost blind to the order of frames",
            "What single frames show decides; that is how a model that leans on appearance behaves.",
        )
    if ratio < HALF:
        return (
            "Uses the order of frames, but leans on appearance",
            "More than half of the accuracy needs no order: what single frames show carries it.",
        )
    return "Leans on the order of frames", "Half of the accuracy or more is gone without it."


def _frame(variant: str) -> str:
    return {
        "freeze_first": "its first frame",
        "freeze_middle": "its middle frame",
        "freeze_random": "one of its frames",
    }.get(variant, f"“{variant_words(variant)}”")


def frozen(variant: str) -> str:
    """What was done to frozen clips, so that two frames are two things; plainly "frozen" where it is the usual one."""
    return "frozen" if variant == "freeze_middle" else f"frozen to {_frame(variant)}"


def _ends(figure: Figure) -> tuple[float, float]:
    """Of its interval, or of the bare value when it has none."""
    assert figure.value is not None
    return figure.interval or (figure.value, figure.value)


def _thin(original: Figure) -> str:
    if 0 < original.count < 50:
        return f"Only {counted(original.count, original.level)}: read the numbers as a hint."
    return ""
