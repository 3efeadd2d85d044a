"""Interpretation of log ratios and dynamic scores in words for newcomers, and the thresholds behind them."""

from __future__ import annotations

import math
from dataclasses import replace

from pvbias.clips import modulation_label
from pvbias.evaluation import Figure
from pvbias.report import Reading, words
from pvbias.report.accuracy import ends, is_guessing

#: A log ratio below this keeps more than 90 % of the accuracy without the order of frames.
BLIND = 0.1
#: ln 2: from here on, half of the accuracy or more goes with the order of frames.
HALF = math.log(2)
#: Nats: about what moving one prediction from 90 % to 72 % confidence costs, and from 90 % to 24 %.
SLIGHT, LARGE = 0.1, 1.0


def read_shuffling(original: Figure, shuffled: Figure, log_ratio: Figure | None, num_classes: int) -> Reading:
    """Interpret the effect of shuffled frames on accuracy (in percent)."""
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
    guessing = f"guessing among {words.counted(num_classes, 'class')} ({chance:.1f} %)"
    low, _ = ends(original)
    shuffled_low, shuffled_high = ends(shuffled)
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


def read_dynamic_score(score: Figure, agreement: Figure | None, *, guessing: bool = False) -> Reading:
    """Interpret a dynamic score (nats): how far predictions move when motion is removed, or are from a spatial
    student's.

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
    if score.value < words.RESOLUTION:
        verdict, meaning = "Predictions do not notice", "do not move"
    elif score.value < SLIGHT:
        verdict, meaning = "Predictions hardly notice", "hardly move"
    elif score.value < LARGE:
        verdict, meaning = "Predictions shift", "shift"
    else:
        verdict, meaning = "Predictions change a lot", "become very different"
    text = f"When a clip is {modulation_label(score.variant)}, predictions {meaning}: {_nats(score.value)} on average."
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
    return f"less than {words.RESOLUTION} nats" if value < words.RESOLUTION else f"{words.number(value, 'nats')} nats"


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


def _thin(original: Figure) -> str:
    if 0 < original.count < 50:
        return f"Only {words.counted(original.count, original.level)}: read the numbers as a hint."
    return ""
