"""What a running trial says, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ecoautoml.records.energy_reading import EnergyLine, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report of a running trial: the probe (epoch 0) or the end of an epoch.

    Attributes:
        trial: Trial number.
        epoch: Epochs finished; 0 right after the probe.
        epochs: Epochs this trial would train for.
        metrics: Values known by now, by column name: costs after the probe, and validation
            scores once an epoch is over.
        energy_j: Joules of this trial so far; None when unknown.
        duration_s: Seconds since the trial began.
    """

    trial: int
    epoch: int
    epochs: int
    metrics: Mapping[str, float]
    energy_j: float | None = None
    duration_s: float = 0.0


class Action(StrEnum):
    """What a trial is told after a report."""

    CONTINUE = "continue"
    PAUSE = "pause"
    """Stop for now and keep a checkpoint: it may go on from there later."""
    PRUNE = "prune"
    """Stop: it cannot reach the front. Its joules stay on the bill."""
    STOP = "stop"
    """Stop: the budget is spent. Its joules stay on the bill; it says nothing about the model."""
    INTERRUPT = "interrupt"
    """Stop now, nothing is wrong: the search is being ended; a resumed search runs it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a `Progress`.

    Attributes:
        action: What the trial is to do.
        reason: Why, in one sentence without a full stop.
        is_withheld: Whether it would have been stopped, but runs on to learn whether that would
            have been right.
        figures: What the decision rests on, by name (see `ecoautoml.records.turn.FIGURES`).
    """

    action: Action = Action.CONTINUE
    reason: str | None = None
    is_withheld: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)


CONTINUE = Decision()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMark:
    """Joules a running trial has used so far, read from outside its process.

    Attributes:
        trial: Trial number.
        energy_j: Joules since the trial began; None when unknown.
        provenance: How the joules came about, as text.
        duration_s: Seconds since the trial began.
        source: Meter and model.
        net_j: The part of ``energy_j`` above idle; None when unknown.
    """

    trial: int
    energy_j: float | None
    provenance: str | None
    duration_s: float
    source: str = ""
    net_j: float | None = None

    def as_line(self, name: str) -> EnergyLine:
        """Return the mark as a line of the bill."""
        return EnergyLine(
            line=name,
            energy_j=self.energy_j,
            duration_s=self.duration_s,
            provenance=None if self.provenance is None else Provenance(self.provenance),
            source=self.source,
            net_j=self.net_j,
        )
