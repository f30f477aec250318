"""Why a trial was begun, halted, gone on with or stopped, in words."""

from __future__ import annotations

from ecoautoml.records.trial_result import TrialResult
from ecoautoml.records.turn import FIGURES, Move, Turn
from ecoautoml.reports.wording import STATE_WORDS, plural
from ecoautoml.units import format_energy

MOVES: dict[Move, str] = {
    Move.BEGIN: "begun",
    Move.GO_ON: "gone on with",
    Move.PAUSE: "set aside",
    Move.STOP: "stopped",
    Move.WATCH: "to be stopped, but left to run on to learn whether that would have been right",
}
_SHARES = {
    "expected_gain",
    "chance_to_join",
    "chance_to_be_allowed",
    "threshold",
}


def turn_words(turn: Turn) -> list[str]:
    """Return a decision in words: when, what and why, then a line per figure."""
    when = "before training" if not turn.epoch else f"after {plural(turn.epoch, 'epoch')}"
    what = MOVES[turn.move]
    first = f"{when}: {what}: {turn.reason}" if turn.reason else f"{when}: {what}"
    figures = [
        f"    {_figure(name, value)}  {FIGURES.get(name, name)}"
        for name, value in turn.figures.items()
    ]
    return [first, *figures]


def ending_words(one: TrialResult | None) -> str:
    """Return how a trial stands in the end."""
    if one is None:
        return "still running, or interrupted: it has no result yet"
    spent = "" if one.energy_j is None else f", {_mark(one)}{format_energy(one.energy_j)} spent"
    reason = "" if one.reason is None else f" ({one.reason})"
    trained = f" after {plural(one.epochs, 'epoch')}" if one.parent is None else ""
    return f"in the end: {STATE_WORDS[one.state.value]}{trained}{spent}{reason}"


def _mark(one: TrialResult) -> str:
    return "" if one.energy_provenance is None else one.energy_provenance.mark


def _figure(name: str, value: float) -> str:
    text = f"{value:.2%}" if name in _SHARES else f"{value:.4g}"
    return f"{text:>9}"
