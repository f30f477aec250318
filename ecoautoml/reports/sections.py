"""The sections of the report, as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ecoautoml.records.columns import is_parameter
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports import markup
from ecoautoml.reports.bill import EnergyBill, energy_bill
from ecoautoml.reports.closing import closing_words
from ecoautoml.reports.figures import bill, curves, front, hypervolume
from ecoautoml.reports.frame import Frames, first_score
from ecoautoml.reports.knee import knee, preference_words
from ecoautoml.reports.ranking import ranking_words
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.text import front_table_text
from ecoautoml.reports.wording import (
    ENERGY_PROVENANCE,
    NOUNS,
    PROVENANCE_TEXT,
    STATE_WORDS,
    format_metric,
    format_share,
    known,
    known_text,
    listed,
    plural,
)
from ecoautoml.strategies.calibration import Calibration
from ecoautoml.units import format_duration, format_energy, wh_from_joules

_NBSP = "\u00a0"


def header(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> str:
    """Return the essentials: trials, joules, grams, time, and the models to look at first."""
    costs = energy_bill(results, summary)
    states = Counter(str(state) for state in frames.trials["state"])
    facts = [
        (str(len(frames.trials)), _trials_words(states)),
        (
            str(len(frames.front)),
            "on the front" if len(frames.front) != 1 else "model on the front",
        ),
        (_joules(costs), _watt_hours(costs)),
        *([(f"{_grams(costs)}", _carbon_words(summary))] if _grams(costs) else []),
        (format_duration(summary.elapsed_s), "from start to end"),
    ]
    tiles = "".join(
        f"<div><b>{markup.escape(value)}</b><span>{markup.escape(words)}</span></div>"
        for value, words in facts
    )
    goal = listed([NOUNS[name] for name in summary.objectives])
    limits = f", within {listed(list(summary.constraints))}" if summary.constraints else ""
    asked = preference_words(summary.prefer)
    return (
        f"<header><h1>{markup.escape(summary.name)}</h1>"
        f"<p>Searched for the best {markup.escape(goal + limits)}. {markup.escape(asked)}</p>"
        "</header>\n"
        f'<div class="facts">{tiles}</div>\n{_picks(summary, frames)}'
    )


def front_section(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> str:
    """Return the figure and the table of the front."""
    score = first_score(summary.objectives)
    drawn = markup.plot("figure-front", front.figure(results, summary, frames))
    lead = (
        "Every other model found is beaten by one of these, or ties with it in energy and is no "
        "better in the rest. "
        "Hover or tap a point for its details; hollow points are not measured joules."
    )
    return markup.section(
        "The front",
        markup.warning(frames.front.attrs.get("warning")),
        "" if len(frames.front) else f"<p>{_no_front(frames)}</p>",
        drawn,
        _front_table(summary, frames) if len(frames.front) else "",
        "".join(f"<p>{markup.escape(words)}</p>" for words in ranking_words(summary, frames)),
        lead=lead if score and len(frames.front) else None,
    )


def spending_section(results: Sequence[TrialResult], summary: RunSummary) -> str:
    """Return where the joules went, and what they bought over time."""
    costs = energy_bill(results, summary)
    unknown = (
        f"{plural(costs.n_unknown_lines, 'window')} could not be read and "
        f"{'is' if costs.n_unknown_lines == 1 else 'are'} missing here."
        if costs.n_unknown_lines
        else None
    )
    return "\n".join(
        (
            markup.section(
                "Where the joules went",
                markup.warning(unknown),
                markup.plot("figure-bill", bill.figure(results, summary)),
                lead=_total_words(costs),
            ),
            markup.section(
                "What they bought",
                markup.plot("figure-hypervolume", hypervolume.figure(results, summary)),
                lead=(
                    "How much of the final front (its hypervolume, with costs on a log scale) had "
                    "been reached after how much energy. A flat end means that a shorter search "
                    "would have found the same."
                ),
            ),
        )
    )


def curves_section(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> str:
    """Return the learning curves."""
    return markup.section(
        "Learning curves",
        markup.plot("figure-curves", curves.figure(results, summary, frames)),
    )


def pruner_section(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> str:
    """Return how many stops were wrong, as trials that ran on show; nothing without any."""
    watched = [result for result in results if result.would_have_stopped is not None]
    if not watched and summary.error_rate is None:
        return ""
    on_front = set(frames.front["trial"].tolist())
    lost = sorted(result.number for result in watched if result.number in on_front)
    words = _watched_words(results, watched, lost)
    if summary.error_rate is not None:
        n_stopped = sum(result.state is TrialState.PRUNED for result in results)
        words = f"{_rate_words(summary.error_rate, n_stopped, watched, lost)} {words}"
    return markup.section("Stopped early", f"<p>{markup.escape(words.strip())}</p>")


def _rate_words(
    stated: float, n_stopped: int, watched: Sequence[TrialResult], lost: Sequence[int]
) -> str:
    """Return the stated and the measured share of wrong stops."""
    ended = [one for one in watched if one.state is TrialState.COMPLETE]
    low, high = Calibration(alpha=stated, controls=len(ended), wrong=len(lost)).interval()
    measured = (
        f"{len(lost)} of {len(ended)} that ran on as a control group joined the front "
        f"(95 % interval of the share: {format_share(low)} to {format_share(high)})"
        if ended
        else "none of them was chosen to run on, so it could not be measured"
    )
    return (
        f"{plural(n_stopped, 'trial was', 'trials were')} stopped. At most "
        f"{format_share(stated)} of such stops may be wrong, by what was asked; {measured}."
    )


def _watched_words(
    results: Sequence[TrialResult], watched: Sequence[TrialResult], lost: Sequence[int]
) -> str:
    """Return what trials that would have been stopped have cost and brought."""
    if not watched:
        return ""
    saved = sum(result.epochs - (result.would_have_stopped or 0) for result in watched)
    trained = sum(result.epochs for result in results if result.state is not TrialState.REUSED)
    share = format_share(saved / trained) if trained else "none"
    numbers = listed([str(number) for number in lost])
    verdict = (
        f"{plural(len(lost), 'of them is', 'of them are')} on the front "
        f"({'trial' if len(lost) == 1 else 'trials'} {numbers}): stopping would have lost models."
        if lost
        else "None of them is on the front: stopping would have lost nothing."
    )
    return (
        f"{plural(len(watched), 'trial')} would have been stopped and ran on; stopping would have "
        f"saved {plural(saved, 'epoch')} ({share} of all). {verdict}"
    )


def trouble_section(results: Sequence[TrialResult]) -> str:
    """Return why trials failed or broke constraints; nothing when none did."""
    states = (TrialState.FAILED, TrialState.INFEASIBLE)
    reasons: dict[tuple[str, str], list[int]] = {}
    for result in results:
        if result.state in states:
            key = (STATE_WORDS[result.state], result.reason or "no reason was recorded")
            reasons.setdefault(key, []).append(result.number)
    if not reasons:
        return ""
    rows = [
        tuple(map(markup.escape, (", ".join(map(str, numbers)), words, reason)))
        for (words, reason), numbers in reasons.items()
    ]
    drawn = markup.table(("trials", "what happened", "reason"), rows, is_prose=True)
    return markup.section("What did not work", drawn)


def notes_section(results: Sequence[TrialResult], summary: RunSummary) -> str:
    """Return hardware, notes, and what the joules mean."""
    costs = energy_bill(results, summary)
    kinds = {kind.value: PROVENANCE_TEXT[kind] for kind in _provenances(results, costs)}
    facts = dict(summary.hardware)
    if summary.idle_w is not None:
        facts["Idle power"] = summary.idle_w
    if summary.unexplained_s is not None:
        facts["Unexplained time"] = format_duration(summary.unexplained_s)
    if summary.carbon_intensity_gco2e_per_kwh is not None:
        facts["Carbon intensity"] = (
            f"{summary.carbon_intensity_gco2e_per_kwh:g} g CO2e per kWh"
            + (f" ({summary.zone})" if summary.zone else "")
            + (f", PUE {summary.pue:g}" if summary.pue else ", PUE not applied")
        )
    notes = "".join(f"<li>{markup.escape(note)}</li>" for note in summary.notes)
    return markup.section(
        "How to read the numbers",
        f'<ul class="notes">{notes}</ul>' if notes else "",
        f"<h3>Joules</h3>{markup.definitions(kinds)}" if kinds else "",
        f"<h3>Machine</h3>{markup.definitions(facts)}" if facts else "",
    )


# --- header ---------------------------------------------------------------------------------


def _trials_words(states: Counter[str]) -> str:
    parts = [f"{states[state]} {words}" for state, words in STATE_WORDS.items() if states[state]]
    return "trials: " + ", ".join(parts) if parts else "trials"


def _joules(costs: EnergyBill) -> str:
    if costs.total_energy_j is None:
        return "? J"
    tilde = costs.provenance.mark if costs.provenance else ""
    return tilde + format_energy(costs.total_energy_j)


def _watt_hours(costs: EnergyBill) -> str:
    if costs.total_energy_j is None or costs.provenance is None:
        return "energy is unknown"
    return f"{wh_from_joules(costs.total_energy_j):.3g} Wh in all, {_provenance_words(costs)}"


def _provenance_words(costs: EnergyBill) -> str:
    kinds = [kind.value for kind in costs.by_provenance]
    return kinds[0] if len(kinds) == 1 else f"partly {listed(kinds)}"


def _grams(costs: EnergyBill) -> str | None:
    if costs.carbon_gco2e is None:
        return None
    tilde = costs.provenance.mark if costs.provenance else ""
    if costs.carbon_gco2e >= 1000:
        return f"{tilde}{costs.carbon_gco2e / 1000:.3g} kg"
    return f"{tilde}{costs.carbon_gco2e:.3g} g"


def _carbon_words(summary: RunSummary) -> str:
    return f"CO2e ({summary.zone})" if summary.zone else "CO2e"


def _picks(summary: RunSummary, frames: Frames) -> str:
    chosen = knee(frames.front, summary.objectives, summary.prefer)
    score = first_score(summary.objectives)
    if chosen is None or score is None:
        return ""
    best = frames.front.sort_values(score, ascending=False, kind="stable").iloc[0]
    row = frames.front[frames.front["trial"] == chosen.trial].iloc[0]
    picks = [_pick("Recommended", "knee", row, summary, f"It {chosen.reason}.")]
    if int(best["trial"]) != chosen.trial:
        noun = NOUNS[score].removeprefix("validation ")
        picks.append(_pick(f"Best {noun}", "best", best, summary, ""))
    return f'<div class="picks">{"".join(picks)}</div>'


def _pick(title: str, style: str, row: pd.Series[Any], summary: RunSummary, reason: str) -> str:
    texts = [
        _value(row, name) + " " + NOUNS[name]
        for name in dict.fromkeys((*summary.objectives, "latency_ms", "params"))
        if known(row[name]) is not None
    ]
    return (
        f'<div class="pick {style}"><h2>{markup.escape(title)}: trial {row["trial"]}</h2>'
        f"<p>{markup.escape(' · '.join(texts))}</p>"
        f'<p class="soft">{markup.escape(reason.replace(" %", _NBSP + "%"))}</p></div>'
    )


def _value(row: pd.Series[Any], name: str) -> str:
    """Return a number that does not part from its unit at the end of a line."""
    provenance = _provenance(row, name)
    return format_metric(name, known(row[name]), provenance).replace(" ", _NBSP)


def _provenance(row: pd.Series[Any], name: str) -> str | None:
    return known_text(row[ENERGY_PROVENANCE[name]]) if name in ENERGY_PROVENANCE else None


# --- front ----------------------------------------------------------------------------------


def _no_front(frames: Frames) -> str:
    if frames.trials.empty:
        return "No trial has run yet."
    return "No trial has finished with all objectives known, so there is no front yet."


def _front_table(summary: RunSummary, frames: Frames) -> str:
    text = front_table_text(frames.front)
    chosen = knee(frames.front, summary.objectives, summary.prefer)
    rows = []
    classes = []
    for cells, (_, row) in zip(text.rows, frames.front.iterrows(), strict=True):
        settings = _settings(row)
        folded = markup.folded(plural(len(settings), "setting"), settings) if settings else ""
        rows.append((*map(markup.escape, cells), folded))
        classes.append("knee" if chosen and int(row["trial"]) == chosen.trial else "")
    return markup.table((*text.columns, ""), rows, classes)


def _settings(row: pd.Series[Any]) -> list[str]:
    return [
        f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in row.items()
        if is_parameter(str(name)) and not pd.isna(value)
    ]


# --- joules ---------------------------------------------------------------------------------


def _total_words(costs: EnergyBill) -> str:
    if costs.total_energy_j is None:
        return "No meter could be read, so it is not known."
    useful = next((item.energy_j for item in costs.items if item.kind == "useful"), None) or 0.0
    share = format_share(useful / costs.total_energy_j) if costs.total_energy_j else "0 %"
    parts = [
        f"{kind.mark}{format_energy(energy_j)} {kind}"
        for kind, energy_j in costs.by_provenance.items()
    ]
    kinds = listed(parts) if len(parts) > 1 else str(costs.provenance)
    words = f"{_joules(costs)} in all ({kinds}); {share} of it for trials that finished."
    closing = closing_words(costs)
    return words if closing is None else f"{words} {closing}"


def _provenances(results: Sequence[TrialResult], costs: EnergyBill) -> list[Provenance]:
    """Return every provenance that occurs, in the bill or in a model's inference energy."""
    seen = set(costs.by_provenance)
    for result in results:
        measured = result.inference or (result.probe.inference if result.probe else None)
        if measured is not None and measured.provenance is not None:
            seen.add(measured.provenance)
    return [kind for kind in Provenance if kind in seen]
