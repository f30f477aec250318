"""How good the front was after how many joules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from ecoautoml.records.energy_reading import Provenance, weakest
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.reports.figures import style
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.trajectory import TrajectoryPoint, trajectory
from ecoautoml.reports.wording import STATE_WORDS, mark
from ecoautoml.units import format_energy


class HypervolumeInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        points: The run right after each trial.
        x: Joules, or the number of finished trials when no joules are known.
        is_in_joules: Which of the two.
        provenances: Every provenance among the joules.
    """

    points: tuple[TrajectoryPoint, ...]
    x: tuple[float, ...]
    is_in_joules: bool
    provenances: tuple[Provenance, ...]


def _info(results: Sequence[TrialResult], summary: RunSummary) -> HypervolumeInfo:
    """Return what the figure shows."""
    points, provenances = trajectory(results, summary)
    is_in_joules = bool(provenances)
    x = tuple(
        point.energy_j if is_in_joules else float(index)
        for index, point in enumerate(points, start=1)
    )
    return HypervolumeInfo(points, x, is_in_joules, provenances)


def figure(results: Sequence[TrialResult], summary: RunSummary) -> go.Figure:
    """Return the figure of the hypervolume over joules."""
    info = _info(results, summary)
    drawing = go.Figure()
    drawing.add_trace(
        go.Scatter(
            x=[0.0, *info.x],
            y=[0.0, *(point.share for point in info.points)],
            mode="lines",
            line={"shape": "hv", "color": style.GREEN, "width": 2.5},
            fill="tozeroy",
            fillcolor="rgba(13, 159, 110, 0.12)",
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for state in dict.fromkeys(point.state for point in info.points):
        drawing.add_trace(_ends(info, state))
    style.layout(drawing, x_title="Trials ended", y_title="Share of the final front", height=360)
    drawing.update_yaxes(tickformat=".0%", range=[0, 1.06])
    if info.is_in_joules:
        drawing.update_xaxes(
            **style.joule_axis("Energy spent", info.provenances, max(info.x, default=0.0))
        )
    if not any(point.share > 0 for point in info.points):
        style.empty_note(drawing, "Nothing yet: no trial has finished with all objectives known.")
    return drawing


def _ends(info: HypervolumeInfo, state: str) -> go.Scatter:
    """Return a marker where each trial of one state ended."""
    chosen = [(x, p) for x, p in zip(info.x, info.points, strict=True) if p.state == state]
    tilde = mark(weakest(info.provenances))
    return go.Scatter(
        x=[x for x, _ in chosen],
        y=[point.share for _, point in chosen],
        mode="markers",
        name=STATE_WORDS[state],
        marker={"size": 7, "color": style.STATE_COLOURS[state]},
        text=[
            f"<b>trial {point.trial}</b> ({STATE_WORDS[state]})"
            f"<br>{point.share:.1%} of the final front"
            + (f"<br>after {tilde}{format_energy(point.energy_j)}" if info.is_in_joules else "")
            for _, point in chosen
        ],
        hovertemplate="%{text}<extra></extra>",
    )
