"""What measuring the front in turn found, in sentences."""

from __future__ import annotations

import pandas as pd

from ecoautoml.records.measurement import Comparison
from ecoautoml.reports.frame import FINAL, Frames
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.wording import known_text, listed, plural


def ranking_words(summary: RunSummary, frames: Frames) -> list[str]:
    """Return how the front was measured and which of its models tie; nothing when it was not."""
    ranking, front = summary.ranking, frames.front
    if ranking is None or not (front["inference_energy_stage"] == FINAL).any():
        return []
    on_front = {str(number) for number in front["trial"]}
    ties = [
        one for one in ranking.comparisons if one.verdict == "tie" and {one.a, one.b} & on_front
    ]
    models = plural(len(ranking.measurements), "model")
    said = [
        f"{models} that may be on the front {'was' if len(ranking.measurements) == 1 else 'were'} "
        f"measured in turn, {plural(ranking.rounds, 'round')} in random order."
    ]
    said += [
        f"Trials {one.a} and {one.b} tie: {one.a} needs {one.ratio:.3f} times the joules of "
        f"{one.b} ({100 * one.confidence:g} % interval {one.ratio_low:.3f} to "
        f"{one.ratio_high:.3f}){_who_stays(one, on_front)}."
        for one in ties
    ]
    return [*said, *_reservations(front)]


def _reservations(front: pd.DataFrame) -> list[str]:
    """Return what keeps joules of the front from being as good as asked for."""
    trials: dict[str, list[str]] = {}
    for trial, note in zip(front["trial"], front["inference_energy_note"], strict=True):
        if known_text(note) is not None:
            trials.setdefault(note, []).append(str(trial))
    return [
        f"{'Trial' if len(numbers) == 1 else 'Trials'} {listed(numbers)}: {note}."
        for note, numbers in trials.items()
    ]


def _who_stays(tie: Comparison, on_front: set[str]) -> str:
    """Return which of two that tie is on the front, when it is one of them."""
    staying = [name for name in (tie.a, tie.b) if name in on_front]
    return f", and {staying[0]} is on the front" if len(staying) == 1 else ""
