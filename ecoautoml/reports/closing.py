"""Whether a bill closes, and what an idle machine takes, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ecoautoml.records.energy_reading import weakest
from ecoautoml.records.idle_power import IdlePower
from ecoautoml.records.session_record import SessionRecord
from ecoautoml.reports.bill import EnergyBill
from ecoautoml.reports.wording import format_share
from ecoautoml.units import format_energy

CLOSED = 0.01
"""Share of the metered joules that may be unexplained in a bill that closes."""
DRIFT = 0.1
"""Relative change of idle watts within a session that is worth a word."""


def closing_words(costs: EnergyBill) -> str | None:
    """Return how much of what was metered the lines of the bill explain; None when unknown."""
    if costs.unexplained_j is None or not costs.metered_j:
        return None
    mark = costs.provenance.mark if costs.provenance else ""
    share = costs.unexplained_j / costs.metered_j
    if abs(share) < CLOSED / 10:
        found = "the lines of the bill add up to it"
    elif share > 0:
        joules = f"{mark}{format_energy(costs.unexplained_j)}"
        found = f"{format_share(share)} of it ({joules}) is unexplained"
    else:
        found = f"the lines of the bill add up to {format_share(-share)} more"
    text = f"Metered from start to end: {mark}{format_energy(costs.metered_j)}; {found}"
    if costs.others_j:
        text += f"; other programs took ~{format_energy(costs.others_j)} of it"
    return f"{text}."


def idle_words(session: SessionRecord) -> str | None:
    """Return an idle machine's watts at the start and the end of a session; None when unknown."""
    before = _total_w(session.idle_before)
    if before is None:
        return None
    kind = weakest(power.provenance for power in session.idle_before)
    text = f"{kind.mark if kind else ''}{before:.3g} W"
    after = _total_w(session.idle_after)
    if after is not None and before > 0 and abs(after - before) > DRIFT * before:
        text += f" at the start, {after:.3g} W at the end"
    reasons = dict.fromkeys(power.reason for power in session.idle_before if power.reason)
    return text + "".join(f" ({reason})" for reason in reasons)


def _total_w(powers: Sequence[IdlePower]) -> float | None:
    known = [power.idle_w for power in powers if power.idle_w is not None]
    return sum(known) if known else None
