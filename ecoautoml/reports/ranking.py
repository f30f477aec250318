"""What measuring the front in turn found, in sentences."""

from __future__ import annotations

from ecoautoml.reports.frame import FINAL, Frames
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.wording import plural


def ranking_words(summary: RunSummary, frames: Frames) -> list[str]:
    """Return how the front was measured and which of its models tie; nothing when it was not."""
    ranking, front = summary.ranking, frames.front
    if ranking is None or not (front["inference_energy_stage"] == FINAL).any():
        return []
    on_front = {str(number) for number in front["trial"]}
    ties = [
        one for one in ranking.comparisons if one.verdict == "tie" and {one.a, one.b} <= on_front
    ]
    models = plural(len(ranking.measurements), "model")
    said = [
        f"{models} that may be on the front {'was' if len(ranking.measurements) == 1 else 'were'} "
        f"measured in turn, {plural(ranking.rounds, 'round')} in random order."
    ]
    said += [
        f"Trials {one.a} and {one.b} tie: {one.a} needs {one.ratio:.3f} times the joules of "
        f"{one.b} ({100 * one.confidence:g} % interval {one.ratio_low:.3f} to "
        f"{one.ratio_high:.3f})."
        for one in ties
    ]
    return said
