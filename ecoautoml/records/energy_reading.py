"""Joules, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Provenance(StrEnum):
    """How a number of joules came about; the order is from strong to weak."""

    MEASURED = "measured"
    """A hardware counter of a device that nobody else used."""
    ATTRIBUTED = "attributed"
    """A share of a hardware counter of a device that others used too."""
    ESTIMATED = "estimated"
    """A model (CPU seconds × watts): good for ranking on one machine, not for absolute claims."""

    @property
    def mark(self) -> str:
        """Return the prefix shown before a number: "~" unless it was measured."""
        return "" if self is Provenance.MEASURED else "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """Joules of one component over one window.

    Attributes:
        component: "cpu", "dram" or "gpu:UUID".
        energy_j: Joules, at least 0; None when unknown (never 0 for unknown).
        duration_s: Length of the window in seconds of a monotonic clock.
        provenance: How the joules came about.
        source: Which meter and model ("rapl:package-0", "cpu_time:2.8 W/thread").
        relative_uncertainty: Stated 1-sigma-like relative uncertainty (0.05 = 5 %); None unknown.
        reason: Why ``energy_j`` is None.
        idle_share: Part of the component's idle power that ``energy_j`` contains, in [0, 1]: 1 for
            a whole device's counter, the share of one that was shared out, 0 for a model of what
            work takes above idle.
    """

    component: str
    energy_j: float | None
    duration_s: float
    provenance: Provenance
    source: str
    relative_uncertainty: float | None = None
    reason: str | None = None
    idle_share: float = 1.0

    def net_j(self, idle_w: Mapping[str, float]) -> float | None:
        """Return the joules above idle; None when the joules or the idle watts are unknown.

        It may be a little below 0 when there was nothing to do: idle watts vary too, and cutting
        them off at 0 would make a bill of many windows read high.

        Args:
            idle_w: Watts of idle components, by component.
        """
        if self.energy_j is None or (self.idle_share > 0 and self.component not in idle_w):
            return None
        return self.energy_j - idle_w.get(self.component, 0.0) * self.idle_share * self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyLine:
    """One line of the bill: a phase of a trial, or overhead, over all its components.

    Attributes:
        line: What the joules were spent on ("probe", "training", "evaluation", "overhead", ...).
        energy_j: Joules over all components; None when one of them could not be read.
        duration_s: Length of the window in seconds.
        provenance: The weakest provenance among the parts; None when ``energy_j`` is None.
        source: The parts' sources, joined by " + ".
        net_j: The part of ``energy_j`` above the devices' idle power; None when unknown.
    """

    line: str
    energy_j: float | None
    duration_s: float
    provenance: Provenance | None
    source: str
    net_j: float | None = None

    @property
    def billed_j(self) -> float | None:
        """Return the joules that stand on a bill which has a line for idle power: the net ones.

        Where the idle power is unknown, there is no such line, and the gross ones stand.
        """
        return self.energy_j if self.net_j is None else self.net_j

    def followed_by(self, later: EnergyLine) -> EnergyLine:
        """Return this line with a later window added; one unknown part makes the sum unknown."""
        energy_j = _sum(self.energy_j, later.energy_j)
        return replace(
            self,
            energy_j=energy_j,
            duration_s=self.duration_s + later.duration_s,
            provenance=None if energy_j is None else weakest((self.provenance, later.provenance)),
            source=" + ".join(dict.fromkeys((self.source, later.source))),
            net_j=_sum(self.net_j, later.net_j),
        )


def _sum(one_j: float | None, other_j: float | None) -> float | None:
    return None if one_j is None or other_j is None else one_j + other_j


def bill(
    line: str, readings: Iterable[EnergyReading], idle_w: Mapping[str, float] | None = None
) -> EnergyLine:
    """Return one line over the components of one window.

    The sum carries the weakest provenance of its parts, so an estimate never passes as measured;
    it is unknown as soon as one part is, so a processor's joules never pass as those of a
    processor and a GPU that could not be read.

    Args:
        line: What the joules were spent on.
        readings: Joules of each component.
        idle_w: Watts of idle components, by component; None: unknown.
    """
    parts = list(readings)
    is_known = bool(parts) and all(part.energy_j is not None for part in parts)
    net = [part.net_j(idle_w or {}) for part in parts]
    is_net_known = is_known and None not in net
    return EnergyLine(
        line=line,
        energy_j=sum(part.energy_j or 0.0 for part in parts) if is_known else None,
        duration_s=max((part.duration_s for part in parts), default=0.0),
        provenance=weakest(part.provenance for part in parts) if is_known else None,
        source=" + ".join(part.source for part in parts),
        net_j=sum(joules or 0.0 for joules in net) if is_net_known else None,
    )


def weakest(provenances: Iterable[Provenance | None]) -> Provenance | None:
    """Return the weakest provenance, None when there is none."""
    order = list(Provenance)
    present = [provenance for provenance in provenances if provenance is not None]
    return max(present, key=order.index) if present else None


def joined(name: str, lines: Iterable[EnergyLine]) -> EnergyLine:
    """Return several lines, one after the other in time, as one of what is known."""
    parts = list(lines)
    known = [part for part in parts if part.energy_j is not None]
    is_net_known = bool(known) and all(part.net_j is not None for part in known)
    return EnergyLine(
        line=name,
        energy_j=total_energy_j(parts),
        duration_s=sum(part.duration_s for part in parts),
        provenance=weakest(part.provenance for part in parts),
        source=" + ".join(dict.fromkeys(part.source for part in parts)),
        net_j=sum(part.net_j or 0.0 for part in known) if is_net_known else None,
    )


def total_billed_j(lines: Iterable[EnergyLine]) -> float | None:
    """Return what several lines add to a bill, None when none of them is known."""
    known = [line.billed_j for line in lines if line.billed_j is not None]
    return sum(known) if known else None


def total_energy_j(lines: Iterable[EnergyLine]) -> float | None:
    """Return the joules of several lines, None when none of them is known."""
    known = [line.energy_j for line in lines if line.energy_j is not None]
    return sum(known) if known else None
