"""What one sitting of a search writes down beside its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.idle_power import IdlePower

USUAL_GAP_S = 2.5
"""What a kill leaves unexplained at least: marks are written every 2 s, at the next tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One sitting: from starting or resuming a search to its end, or to its kill.

    Attributes:
        lines: Joules that belong to no trial.
        idle: Joules of the idle device; None when its idle watts are unknown.
        others: Joules of other programs; None when the meters count ours only.
        metered: What the device used in all; lines, trials, idle and others add up to it.
        idle_before: Idle watts at the start.
        idle_after: Idle watts at the end; empty until then.
        mark_rounds: How often joules of running trials were marked before this was written.
        elapsed_s: Seconds trials were run.
        longest_gap_s: Longest time between two writings of this record.
        is_ended: Whether it came to an end in good order; until then it runs, or was killed.
        notes: Sentences for the reader of the report.
        notes_for_now: Sentences that hold until another session has gone on with the search.
    """

    lines: tuple[EnergyLine, ...] = ()
    idle: EnergyLine | None = None
    others: EnergyLine | None = None
    metered: EnergyLine | None = None
    idle_before: tuple[IdlePower, ...] = ()
    idle_after: tuple[IdlePower, ...] = ()
    mark_rounds: int = 0
    elapsed_s: float = 0.0
    longest_gap_s: float = 0.0
    is_ended: bool = False
    notes: tuple[str, ...] = ()
    notes_for_now: tuple[str, ...] = ()


def unexplained_s(sessions: Sequence[SessionRecord]) -> float | None:
    """Return the seconds kills have left without joules; None when there was no kill.

    The last session may still be running, so it does not count.
    """
    gaps_s = [max(USUAL_GAP_S, one.longest_gap_s) for one in sessions[:-1] if not one.is_ended]
    return sum(gaps_s) if gaps_s else None


def all_notes(sessions: Sequence[SessionRecord]) -> tuple[str, ...]:
    """Return the sentences of all sessions, each once, in order."""
    lasting = [note for one in sessions for note in one.notes]
    return tuple(dict.fromkeys([*lasting, *(sessions[-1].notes_for_now if sessions else ())]))
