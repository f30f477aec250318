"""Why a trial was begun, halted, gone on with or stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Move(StrEnum):
    """What was decided about a trial."""

    BEGIN = "begin"
    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"
    WATCH = "watch"
    """It would have been stopped; it runs on, to learn whether that would have been right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One decision about a trial.

    Attributes:
        move: What was decided.
        epoch: Epochs it had been trained by then.
        reason: Why, in one sentence without a full stop.
        figures: What the decision rests on, by name (see `FIGURES`).
    """

    move: Move
    epoch: int
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)


FIGURES: dict[str, str] = {
    "expected_gain": "share of the front's hypervolume it was expected to add",
    "expected_training": "of one mean full training, what that was expected to take",
    "chance_to_join": "probability that it joins the front",
    "chance_to_be_allowed": "probability that it keeps to the constraints",
    "forecast_score": "score expected at its end",
    "forecast_score_low": "lower end of that, 90 % of the time",
    "forecast_score_high": "upper end of that, 90 % of the time",
    "score_to_beat": "best score among finished models that cost no more",
    "threshold": "chance to join the front below which trials are stopped",
}
"""What a figure means, for people."""
