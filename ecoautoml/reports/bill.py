"""Where the joules of a run went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ecoautoml.carbon.grams import carbon_gco2e
from ecoautoml.records.energy_reading import EnergyLine, Provenance, total_billed_j, weakest
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports.summary import RunSummary

KINDS: dict[str, str] = {
    "useful": "finished trials",
    "paused": "set aside half-way",
    "pruned": "stopped early",
    "stopped": "cut short by the budget",
    "infeasible": "broke a constraint",
    "failed": "failed",
    "interrupted": "interrupted",
    "overhead": "the search itself",
    "idle": "idle power",
}
"""What joules can have been spent on, with a title for people."""

_KIND_OF_STATE = {
    TrialState.COMPLETE: "useful",
    TrialState.PAUSED: "paused",
    TrialState.PRUNED: "pruned",
    TrialState.STOPPED: "stopped",
    TrialState.INFEASIBLE: "infeasible",
    TrialState.FAILED: "failed",
    TrialState.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BillItem:
    """Joules of one kind.

    Attributes:
        kind: Key of `KINDS`.
        energy_j: Joules; None when nothing of it is known.
        by_provenance: The same, by how the joules came about.
        n_trials: Trials (or attempts) behind it.
    """

    kind: str
    energy_j: float | None
    by_provenance: Mapping[Provenance, float]
    n_trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyBill:
    """All joules of a run.

    Attributes:
        items: One per kind of `KINDS` that occurred, in that order.
        total_energy_j: Sum of what is known; None when nothing is.
        by_provenance: The same, by how the joules came about.
        provenance: The weakest of them; None when nothing is known.
        n_unknown_lines: Lines of the bill that could not be read; they are missing in the sums.
        others_j: Joules of other programs meanwhile, which are not part of the total.
        metered_j: What the device used from start to end; None when unknown.
        unexplained_j: ``metered_j`` without the total and without others: what no line accounts
            for, or (below 0) what stands on two; None when something of it is unknown.
        carbon_gco2e: Grams of CO2e of the total, times PUE where one is given; None when the
            intensity or the total is unknown.
    """

    items: tuple[BillItem, ...]
    total_energy_j: float | None
    by_provenance: Mapping[Provenance, float]
    provenance: Provenance | None
    n_unknown_lines: int
    carbon_gco2e: float | None
    others_j: float | None = None
    metered_j: float | None = None
    unexplained_j: float | None = None


class _Entry(NamedTuple):
    kind: str
    owner: int | None
    line: EnergyLine


def energy_bill(results: Iterable[TrialResult], summary: RunSummary) -> EnergyBill:
    """Return where the joules of a run went.

    Reused trials spend nothing. For trials that stayed interrupted, the summary's line counts when
    there is one, since it covers all attempts. Beside a line for idle power all others are net of
    it, so that the bill adds up to what the device's counter says.
    """
    entries = list(_entries(results, summary))
    items = [_item(kind, [entry for entry in entries if entry.kind == kind]) for kind in KINDS]
    by_provenance = _by_provenance(entry.line for entry in entries)
    total_j = sum(by_provenance.values()) if by_provenance else None
    others_j, metered_j = total_billed_j(summary.others), _all_known(summary.metered)
    n_unknown = sum(entry.line.energy_j is None for entry in entries)
    is_closed = None not in (total_j, metered_j) and not n_unknown
    return EnergyBill(
        items=tuple(item for item in items if item is not None),
        total_energy_j=total_j,
        by_provenance=by_provenance,
        provenance=weakest(by_provenance),
        n_unknown_lines=n_unknown,
        carbon_gco2e=carbon_gco2e(total_j, summary.carbon_intensity_gco2e_per_kwh, summary.pue),
        others_j=others_j,
        metered_j=metered_j,
        unexplained_j=(
            (metered_j or 0.0) - (total_j or 0.0) - (others_j or 0.0) if is_closed else None
        ),
    )


def _all_known(lines: Iterable[EnergyLine]) -> float | None:
    joules = [line.energy_j for line in lines]
    return sum(one or 0.0 for one in joules) if joules and None not in joules else None


def _entries(results: Iterable[TrialResult], summary: RunSummary) -> Iterator[_Entry]:
    for result in results:
        kind = _kind(result)
        if kind is None or (kind == "interrupted" and result.number in summary.interrupted):
            continue
        for line in result.energy:
            yield _Entry(kind, result.number, line)
    for number, line in summary.interrupted.items():
        yield _Entry("interrupted", number, line)
    for line in summary.overhead:
        yield _Entry("overhead", None, line)
    for line in summary.idle:
        yield _Entry("idle", None, line)


def _kind(result: TrialResult) -> str | None:
    if result.state is TrialState.COMPLETE and not result.is_feasible:
        return "infeasible"
    return _KIND_OF_STATE.get(result.state)


def _item(kind: str, entries: list[_Entry]) -> BillItem | None:
    if not entries:
        return None
    by_provenance = _by_provenance(entry.line for entry in entries)
    return BillItem(
        kind=kind,
        energy_j=sum(by_provenance.values()) if by_provenance else None,
        by_provenance=by_provenance,
        n_trials=len({entry.owner for entry in entries if entry.owner is not None}),
    )


def _by_provenance(lines: Iterable[EnergyLine]) -> dict[Provenance, float]:
    """Return joules by provenance; a line that does not say counts as the weakest."""
    sums: dict[Provenance, float] = {}
    for line in lines:
        if line.billed_j is not None:
            kind = line.provenance or Provenance.ESTIMATED
            sums[kind] = sums.get(kind, 0.0) + line.billed_j
    return {kind: sums[kind] for kind in Provenance if kind in sums}
