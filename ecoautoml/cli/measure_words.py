"""What ``ecoautoml measure`` says, in words and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecoautoml.energy.codecarbon_check import CodeCarbonReading
    from ecoautoml.measuring import CommandBill
    from ecoautoml.records.measurement import Comparison, InferenceMeasurement


def measured_rows(
    names: Sequence[str],
    measured: Sequence[InferenceMeasurement],
    precision: float | None = None,
) -> list[str]:
    """Return one line per measurement, in columns, and a line on where the joules come from.

    Args:
        names: What was measured, one for each.
        measured: The measurements.
        precision: Relative half-width asked for; None: wider intervals are not commented on.
    """
    cells = [
        (name, _energy(one), _latency(one), _throughput(one))
        for name, one in zip(names, measured, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [*rows, *_footer(measured, precision)]


def _energy(one: InferenceMeasurement) -> str:
    from ecoautoml.reports.wording import format_metric

    text = f"{format_metric('inference_energy_j', one.energy_j, one.provenance)} per image"
    share = _half_width(one)
    return text if share is None else f"{text} ± {100 * share:.1f} %"


def _half_width(one: InferenceMeasurement) -> float | None:
    """Return the relative half-width of the interval; None when unknown."""
    if not one.energy_j or one.energy_low_j is None or one.energy_high_j is None:
        return None
    return (one.energy_high_j - one.energy_j) / one.energy_j


def _latency(one: InferenceMeasurement) -> str:
    if one.latency_ms < 0.1:
        return f"{1e3 * one.latency_ms:.3g} µs per call (p95 {1e3 * one.latency_p95_ms:.3g})"
    return f"{one.latency_ms:.3g} ms per call (p95 {one.latency_p95_ms:.3g})"


def _throughput(one: InferenceMeasurement) -> str:
    if one.throughput_per_s is None:
        return ""
    return f"{one.throughput_per_s:{',.0f' if one.throughput_per_s >= 100 else '.3g'}} images/s"


def _footer(measured: Sequence[InferenceMeasurement], precision: float | None) -> list[str]:
    if any(one.energy_j is None for one in measured):
        return ["The energy is unknown; `ecoautoml doctor` says why."]
    kinds = dict.fromkeys(f"{one.provenance} by {one.source}" for one in measured)
    lines = [f"Energy is {' and '.join(kinds)}; ± is the 95 % interval of the mean."]
    if precision is not None and not all(one.is_precise for one in measured):
        lines.append(
            f"An interval is wider than the {100 * precision:g} % asked for, at the end of the "
            "blocks and the time allowed. A machine that does less meanwhile helps."
        )
    flags = dict.fromkeys(flag for one in measured for flag in one.flags)
    return [*lines, *(f"Note: {flag}." for flag in flags)]


def verdict_words(comparison: Comparison) -> str:
    """Return which model needs less, by how much and how sure that is, in one sentence."""
    ratio, low, high = comparison.ratio, comparison.ratio_low, comparison.ratio_high
    if ratio is None or low is None or high is None:
        return "No verdict: the joules of one of them are unknown; `ecoautoml doctor` says why."
    about = f"{100 * comparison.confidence:g} % interval"
    rounds = f"{comparison.n} rounds in turn"
    if comparison.verdict == "tie":
        return (
            f"Tie: A needs {100 * (ratio - 1):+.1f} % energy per image against B, but 0 lies "
            f"within the {about} ({100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %, {rounds})."
        )
    if comparison.verdict == "B":
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    other = "B" if comparison.verdict == "A" else "A"
    return (
        f"{comparison.verdict} needs less: {100 * (1 - ratio):.1f} % less energy per image than "
        f"{other} ({about} {100 * (1 - high):.1f} to {100 * (1 - low):.1f} %, {rounds})."
    )


def bill_words(bill: CommandBill) -> str:
    """Return a command's bill in one line, and one for each component where there are several."""
    from ecoautoml.reports.wording import format_metric

    energy = format_metric("energy_j", bill.energy_j, bill.provenance)
    text = f"{energy} in {bill.duration_s:.3g} s"
    if bill.energy_j is not None and bill.duration_s > 0:
        above = "" if all(one.idle_share > 0 for one in bill.readings) else " above idle"
        text += f", {bill.energy_j / bill.duration_s:.3g} W{above} on average"
    text += f" ({bill.provenance or 'unknown'}, {bill.source})"
    if bill.reasons:
        text += f"; {'; '.join(bill.reasons)}"
    if len(bill.readings) < 2:
        return text
    parts = [
        f"  {one.component}: {format_metric('energy_j', one.energy_j, one.provenance)}"
        for one in bill.readings
    ]
    return "\n".join((text, *parts))


def codecarbon_words(theirs: CodeCarbonReading) -> str:
    """Return what CodeCarbon says, and why it says something else."""
    from ecoautoml.energy.codecarbon_check import WHY_DIFFERENT
    from ecoautoml.reports.wording import format_metric

    total, cpu, gpu, ram = (
        format_metric("energy_j", joules)
        for joules in (theirs.energy_j, theirs.cpu_j, theirs.gpu_j, theirs.ram_j)
    )
    return (
        f"CodeCarbon {theirs.version} ({theirs.tracking_mode} mode) says {total}: {cpu} processor, "
        f"{gpu} GPU, {ram} memory.\n{WHY_DIFFERENT}"
    )
