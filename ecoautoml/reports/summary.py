"""What a report says about a run beside its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.measurement import Ranking


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run as a whole.

    Attributes:
        name: Name of the run.
        objectives: Column names of the objectives, in the user's order.
        constraints: Constraints as written.
        prefer: What is of use to whom asked.
        test_scores: Test accuracy by trial number, for models of the front only.
        overhead: Joules of the search itself, beside its trials.
        idle: Joules of the idle device, one line per session that knows them.
        others: Joules of other programs meanwhile, one line per session that can tell.
        metered: What the device used in all, one line per session.
        idle_w: Idle watts in words, at the start and the end of the last session; None unknown.
        interrupted: Joules of all interrupted attempts by trial number.
        unexplained_s: Seconds of the run no trial and no overhead line accounts for; None unknown.
        hardware: Facts about the machine, by title.
        elapsed_s: Seconds from start to end, over all sessions.
        carbon_intensity_gco2e_per_kwh: Grams of CO2e per kilowatt-hour; None: grams are not told.
        zone: Name of the grid zone.
        pue: Power usage effectiveness; None: not applied.
        ranking: The front's models measured in turn; None when that was not done.
        error_rate: Share of the stopped trials that may be wrong, as stated; None: not stated.
        notes: Sentences for the reader.
    """

    name: str
    objectives: tuple[str, ...]
    elapsed_s: float
    constraints: tuple[str, ...] = ()
    prefer: Prefer = NOTHING
    test_scores: Mapping[int, float] = field(default_factory=dict)
    overhead: tuple[EnergyLine, ...] = ()
    idle: tuple[EnergyLine, ...] = ()
    others: tuple[EnergyLine, ...] = ()
    metered: tuple[EnergyLine, ...] = ()
    idle_w: str | None = None
    interrupted: Mapping[int, EnergyLine] = field(default_factory=dict)
    unexplained_s: float | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    carbon_intensity_gco2e_per_kwh: float | None = None
    zone: str | None = None
    pue: float | None = None
    ranking: Ranking | None = None
    error_rate: float | None = None
    notes: tuple[str, ...] = ()
