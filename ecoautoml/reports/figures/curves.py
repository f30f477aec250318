"""Learning curves: how each trial came to its score, and where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from ecoautoml.records.columns import METRICS
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports.figures import style
from ecoautoml.reports.frame import Frames, first_score
from ecoautoml.reports.summary import RunSummary

_GROUPS: dict[str, tuple[str, str, float, str]] = {
    "complete": ("finished", style.GREY, 1.2, "solid"),
    "infeasible": ("broke a constraint", style.PURPLE, 1.2, "solid"),
    "failed": ("failed", style.RED, 1.5, "dot"),
    "interrupted": ("interrupted", style.BLUE, 1.5, "dot"),
    "stopped": ("cut short by the budget", style.GOLD, 1.5, "dot"),
    "paused": ("set aside", style.BROWN, 1.5, "solid"),
    "pruned": ("stopped early", style.ORANGE, 1.8, "solid"),
    "front": ("on the front", style.GREEN, 2.4, "solid"),
}
"""Title, colour, width and dash by group; later ones are drawn on top."""


class Curve(NamedTuple):
    """One trial's scores by epoch.

    Attributes:
        trial: Trial number.
        group: "front", or the state of the trial.
        epochs: Epochs with a score.
        scores: Score after each of them.
        would_have_stopped: Epoch at which a shadowing pruner would have stopped it.
    """

    trial: int
    group: str
    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    would_have_stopped: int | None


class CurvesInfo(NamedTuple):
    """What the figure shows: the score's column and all curves that have a point."""

    y_name: str
    curves: tuple[Curve, ...]


def _info(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> CurvesInfo:
    """Return what the figure shows; a reused trial has the original's curve and is left out."""
    name = first_score(summary.objectives) or "validation_accuracy"
    states = dict(zip(frames.trials["trial"], frames.trials["state"], strict=True))
    on_front = set(frames.front["trial"].tolist())
    curves = []
    for result in results:
        reports = [r for r in result.curve if r.epoch > 0 and name in r.metrics]
        if not reports or result.state is TrialState.REUSED:
            continue
        curves.append(
            Curve(
                trial=result.number,
                group="front" if result.number in on_front else str(states[result.number]),
                epochs=tuple(report.epoch for report in reports),
                scores=tuple(report.metrics[name] for report in reports),
                would_have_stopped=result.would_have_stopped,
            )
        )
    return CurvesInfo(name, tuple(curves))


def figure(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> go.Figure:
    """Return the figure of the learning curves."""
    info = _info(results, summary, frames)
    drawing = go.Figure()
    for group in _GROUPS:
        members = [curve for curve in info.curves if curve.group == group]
        if members:
            drawing.add_trace(_lines(members, group))
            drawing.add_trace(_ends(members, group))
    shadowed = [curve for curve in info.curves if curve.would_have_stopped is not None]
    if shadowed:
        drawing.add_trace(_would_be_stops(shadowed))
    style.layout(drawing, x_title="Epoch", y_title=METRICS[info.y_name].title, height=420)
    drawing.update_yaxes(tickformat=".1~%")
    drawing.update_xaxes(rangemode="tozero", tickformat="d", nticks=8)
    if not info.curves:
        style.empty_note(drawing, "No trial has finished an epoch yet.")
    return drawing


def _lines(curves: Sequence[Curve], group: str) -> go.Scatter:
    """Return all curves of a group as one trace, with a gap after each."""
    title, colour, width, dash = _GROUPS[group]
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for curve in curves:
        x += [*curve.epochs, None]
        y += [*curve.scores, None]
        texts += [f"trial {curve.trial}"] * (len(curve.epochs) + 1)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=title,
        legendgroup=group,
        line={"color": colour, "width": width, "dash": dash},
        opacity=1.0 if group in ("front", "pruned") else 0.6,
        text=texts,
        hovertemplate="%{text}<br>epoch %{x}: %{y:.1%}<extra></extra>",
    )


def _ends(curves: Sequence[Curve], group: str) -> go.Scatter:
    title, colour, _, _ = _GROUPS[group]
    is_stopped = group in ("paused", "pruned", "stopped", "failed", "interrupted")
    return go.Scatter(
        x=[curve.epochs[-1] for curve in curves],
        y=[curve.scores[-1] for curve in curves],
        mode="markers",
        legendgroup=group,
        showlegend=False,
        marker={
            "symbol": "x-thin" if is_stopped else "circle",
            "size": 8 if is_stopped else 5,
            "color": colour,
            "line": {"width": 2 if is_stopped else 0, "color": colour},
        },
        text=[f"trial {curve.trial} ({title})" for curve in curves],
        hovertemplate="%{text}<br>epoch %{x}: %{y:.1%}<extra></extra>",
    )


def _would_be_stops(curves: Sequence[Curve]) -> go.Scatter:
    points = [
        (curve, epoch, score)
        for curve in curves
        for epoch, score in zip(curve.epochs, curve.scores, strict=True)
        if epoch == curve.would_have_stopped
    ]
    return go.Scatter(
        x=[epoch for _, epoch, _ in points],
        y=[score for _, _, score in points],
        mode="markers",
        name="would have been stopped",
        marker={
            "symbol": "triangle-down-open",
            "size": 10,
            "color": style.ORANGE,
            "line": {"width": 2},
        },
        text=[f"trial {curve.trial} would have been stopped here" for curve, _, _ in points],
        hovertemplate="%{text}<br>epoch %{x}: %{y:.1%}<extra></extra>",
    )
