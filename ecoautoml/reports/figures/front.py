"""The front: score against cost, with everything that was tried behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from ecoautoml.config.preferences import Prefer
from ecoautoml.records.columns import INFERENCE_ENERGY, METRICS, is_parameter
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.reports.figures import style
from ecoautoml.reports.frame import Frames, first_cost, first_score
from ecoautoml.reports.knee import Knee, knee
from ecoautoml.reports.summary import RunSummary
from ecoautoml.reports.wording import (
    ENERGY_PROVENANCE,
    NOUNS,
    STATE_WORDS,
    format_metric,
    known,
    known_text,
)

_HOVER_METRICS = (
    "test_accuracy",
    "training_energy_j",
    "latency_ms",
    "params",
    "macs",
    "size_bytes",
)


class Dot(NamedTuple):
    """One trial in the picture.

    Attributes:
        trial: Trial number.
        x: Cost.
        y: Score; None when the trial never had one.
        hover: Text on hovering, lines joined by ``<br>``.
        is_hollow: Whether the joules on the x axis were not measured.
        x_low: Lower end of the cost's interval; None unknown.
        x_high: Upper end of it.
        colour: Value of the third objective; None when there is none.
    """

    trial: int
    x: float
    y: float | None
    hover: str
    is_hollow: bool
    x_low: float | None
    x_high: float | None
    colour: float | None


class FrontInfo(NamedTuple):
    """What the figure shows.

    Attributes:
        x_name: Column on the x axis, "trial" when no objective is a cost.
        y_name: Column on the y axis.
        colour_name: Column of the third objective.
        x_title: Title of the x axis, with "(estimated)" where it applies.
        front: The front, by cost.
        dominated: Finished trials behind it.
        paused: Trials set aside half-way, at their last known score.
        pruned: Stopped trials at their last known score.
        infeasible: Trials that broke a constraint; y is None when they were not trained.
        knee: The recommended model.
        n_not_drawn: Trials without a cost or score to draw.
    """

    x_name: str
    y_name: str
    colour_name: str | None
    x_title: str
    front: tuple[Dot, ...]
    dominated: tuple[Dot, ...]
    paused: tuple[Dot, ...]
    pruned: tuple[Dot, ...]
    infeasible: tuple[Dot, ...]
    knee: Knee | None
    n_not_drawn: int


def _info(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> FrontInfo:
    """Return what the figure of the front shows."""
    y_name = first_score(summary.objectives) or "validation_accuracy"
    x_name = first_cost(summary.objectives) or "trial"
    others = [name for name in summary.objectives if name not in (x_name, y_name)]
    colour_name = others[0] if others else None
    last_scores = {result.number: _last_score(result, y_name) for result in results}
    names = ("front", "complete", "paused", "pruned", "infeasible")
    groups: dict[str, list[Dot]] = {name: [] for name in names}
    front_trials = set(frames.front["trial"].tolist())
    n_not_drawn = 0
    for _, row in frames.trials.iterrows():
        group = "front" if row["trial"] in front_trials else str(row["state"])
        dot = _dot(row, (x_name, y_name, colour_name), last_scores[int(row["trial"])], summary)
        if group not in groups or dot is None or (dot.y is None and group != "infeasible"):
            n_not_drawn += group != TrialState.REUSED.value
        else:
            groups[group].append(dot)
    drawn = frames.trials[
        frames.trials["trial"].isin([d.trial for g in groups.values() for d in g])
    ]
    return FrontInfo(
        x_name=x_name,
        y_name=y_name,
        colour_name=colour_name,
        x_title=_x_title(drawn, x_name),
        front=tuple(sorted(groups["front"], key=lambda dot: (dot.x, dot.trial))),
        dominated=tuple(groups["complete"]),
        paused=tuple(groups["paused"]),
        pruned=tuple(groups["pruned"]),
        infeasible=tuple(groups["infeasible"]),
        knee=knee(frames.front, summary.objectives, summary.prefer),
        n_not_drawn=n_not_drawn,
    )


def figure(results: Sequence[TrialResult], summary: RunSummary, frames: Frames) -> go.Figure:
    """Return the figure of the front."""
    info = _info(results, summary, frames)
    drawing = go.Figure()
    drawing.add_trace(_behind(info.dominated, "finished, beaten", style.GREY, "circle", 7))
    drawing.add_trace(_behind(info.paused, "set aside", style.BROWN, "line-ew", 7))
    drawing.add_trace(_behind(info.pruned, "stopped early", style.ORANGE, "x-thin", 7))
    trained = tuple(dot for dot in info.infeasible if dot.y is not None)
    probed = tuple(dot for dot in info.infeasible if dot.y is None)
    drawing.add_trace(_behind(trained, "broke a constraint", style.PURPLE, "diamond-open", 8))
    drawing.add_trace(_on_the_floor(probed))
    drawing.add_trace(_front_trace(info))
    drawing.update_traces(hovertemplate="%{text}<extra></extra>")
    style.layout(drawing, x_title=info.x_title, y_title=METRICS[info.y_name].title, height=480)
    drawing.update_yaxes(tickformat=".1~%", nticks=7, range=_score_range(info))
    dots = (*info.front, *info.dominated, *info.paused, *info.pruned, *info.infeasible)
    if info.x_name != "trial":
        drawing.update_xaxes(**style.log_axis(info.x_name, [dot.x for dot in dots]))
    # Trials that never had a score stand on the x axis, whatever is visible of the y axis.
    drawing.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    _add_preferences(drawing, info, summary.prefer)
    _add_knee(drawing, info)
    if not dots:
        style.empty_note(drawing, "No trial has a score and a cost yet.")
    return drawing


# --- what is shown --------------------------------------------------------------------------


def _score_range(info: FrontInfo) -> tuple[float, float] | None:
    """Return what of the score axis is shown at first; None: everything.

    It follows the finished trials: one that was stopped at 20 % would press a front between 97 and
    99 % into a line. A double click on the figure shows the rest.
    """
    scores = [dot.y for dot in (*info.front, *info.dominated) if dot.y is not None]
    if not scores:
        return None
    low, high = min(scores), max(scores)
    margin = max(0.12 * (high - low), 0.005)
    return low - margin, high + margin


def _last_score(result: TrialResult, name: str) -> float | None:
    """Return the final score, or the last one reported."""
    if name in result.metrics:
        return result.metrics[name]
    reports = [report.metrics[name] for report in result.curve if name in report.metrics]
    return reports[-1] if reports else None


def _dot(
    row: pd.Series[Any],
    names: tuple[str, str, str | None],
    score: float | None,
    summary: RunSummary,
) -> Dot | None:
    x_name, _, colour_name = names
    x = known(row[x_name])
    if x is None or (x <= 0 and x_name != "trial"):
        return None
    has_interval = x_name == INFERENCE_ENERGY
    provenance = _provenance(row, x_name)
    return Dot(
        trial=int(row["trial"]),
        x=x,
        y=None if score is None or math.isnan(score) else score,
        hover=_hover(row, names, score, summary),
        is_hollow=provenance not in (None, Provenance.MEASURED),
        x_low=known(row["inference_energy_j_low"]) if has_interval else None,
        x_high=known(row["inference_energy_j_high"]) if has_interval else None,
        colour=known(row[colour_name]) if colour_name else None,
    )


def _provenance(row: pd.Series[Any], name: str) -> str | None:
    return known_text(row[ENERGY_PROVENANCE[name]]) if name in ENERGY_PROVENANCE else None


def _hover(
    row: pd.Series[Any],
    names: tuple[str, str, str | None],
    score: float | None,
    summary: RunSummary,
) -> str:
    lines = [f"<b>trial {row['trial']}</b> ({STATE_WORDS[str(row['state'])]})"]
    shown = dict.fromkeys((names[1], INFERENCE_ENERGY, *summary.objectives, *_HOVER_METRICS))
    for name in shown:
        value = score if name == names[1] else known(row[name])
        if value is not None:
            text = format_metric(name, value, _provenance(row, name))
            lines.append(f"{NOUNS[name]}: {text}{_interval(row, name)}")
    lines += [style.escape(text) for text in _parameters(row)]
    reason = known_text(row["reason"])
    if reason:
        lines.append(f"<i>{style.escape(_shortened(reason))}</i>")
    return "<br>".join(lines)


def _interval(row: pd.Series[Any], name: str) -> str:
    if name != INFERENCE_ENERGY:
        return ""
    low, high = known(row["inference_energy_j_low"]), known(row["inference_energy_j_high"])
    if low is None or high is None:
        return ""
    return f" (95 %: {format_metric(name, low)} to {format_metric(name, high)})"


def _parameters(row: pd.Series[Any]) -> list[str]:
    values: Mapping[str, Any] = {
        str(name): value
        for name, value in row.items()
        if is_parameter(str(name)) and not pd.isna(value)
    }
    texts = [f"{name}: {_shortened(_number(value))}" for name, value in values.items()]
    return texts if len(texts) <= 12 else [*texts[:12], f"and {len(texts) - 12} more"]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shortened(text: str, limit: int = 70) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _x_title(drawn: pd.DataFrame, x_name: str) -> str:
    if x_name == "trial":
        return "Trial"
    title = METRICS[x_name].title
    if x_name in ENERGY_PROVENANCE:
        # Ticks carry their own prefix (µJ), so the unit would only contradict them.
        title = {INFERENCE_ENERGY: "Inference energy per image"}.get(x_name, "Training energy")
        kinds = set(drawn[ENERGY_PROVENANCE[x_name]].dropna())
        weak = sorted(kind for kind in kinds if kind != Provenance.MEASURED.value)
        if weak:
            title += f" ({'partly ' if len(kinds) > 1 else ''}{' and '.join(weak)})"
    return title


# --- drawing --------------------------------------------------------------------------------


def _behind(dots: Sequence[Dot], name: str, colour: str, symbol: str, size: int) -> go.Scatter:
    symbols = ["circle-open" if symbol == "circle" and dot.is_hollow else symbol for dot in dots]
    return go.Scatter(
        x=[dot.x for dot in dots],
        y=[dot.y for dot in dots],
        mode="markers",
        name=name,
        text=[dot.hover for dot in dots],
        marker={
            "symbol": symbols,
            "size": size,
            "color": colour,
            "line": {"width": 1.5, "color": colour},
        },
        opacity=0.85,
        showlegend=bool(dots),
        legendgroup=name,
    )


def _on_the_floor(dots: Sequence[Dot]) -> go.Scatter:
    trace = _behind(dots, "ruled out before training", style.PURPLE, "diamond-open", 8)
    trace.update(y=[0.03] * len(dots), yaxis="y2")
    return trace


def _front_trace(info: FrontInfo) -> go.Scatter:
    dots = info.front
    marker: dict[str, Any] = {
        "symbol": ["circle-open" if dot.is_hollow else "circle" for dot in dots],
        "size": 11,
        "color": style.GREEN,
        "line": {"width": 2.5, "color": style.GREEN},
    }
    if info.colour_name is not None:
        marker |= _third_objective(info.colour_name, dots)
    return go.Scatter(
        x=[dot.x for dot in dots],
        y=[dot.y for dot in dots],
        # With a third objective the front is no line in this plane.
        mode="markers" if info.colour_name else "lines+markers",
        # A staircase: between two models, nothing better than the cheaper one was found.
        line={"shape": "hv", "color": style.GREEN, "width": 2},
        name="front",
        text=[dot.hover for dot in dots],
        marker=marker,
        error_x=_error_bars(dots),
        showlegend=bool(dots),
    )


def _error_bars(dots: Sequence[Dot]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max((dot.x_high or dot.x) - dot.x, 0.0) for dot in dots],
        "arrayminus": [max(dot.x - (dot.x_low or dot.x), 0.0) for dot in dots],
        "thickness": 1.5,
        "width": 0,
        "color": style.GREEN,
    }


def _third_objective(name: str, dots: Sequence[Dot]) -> dict[str, Any]:
    """Return a marker coloured by a third objective, costs on the log10 scale."""
    is_log = not METRICS[name].is_score
    values = [dot.colour if dot.colour and dot.colour > 0 else math.nan for dot in dots]
    ticks = style.log_ticks(values) if is_log else []
    colours = [math.log10(value) for value in values] if is_log else values
    bar: dict[str, Any] = {
        "title": {"text": NOUNS[name], "side": "top"},
        "orientation": "h",
        "thickness": 10,
        "len": 0.7,
        "y": -0.2,
        "yanchor": "top",
    }
    if is_log:
        bar["tickvals"] = [math.log10(tick) for tick in ticks]
        bar["ticktext"] = [format_metric(name, tick) for tick in ticks]
    colours_or_gap = [None if math.isnan(colour) else colour for colour in colours]
    return {
        "color": colours_or_gap,
        "colorscale": style.COLOUR_SCALE,
        "colorbar": bar,
        "line": {"width": [2.5 if dot.is_hollow else 0 for dot in dots]},
    }


def _add_preferences(drawing: go.Figure, info: FrontInfo, prefer: Prefer) -> None:
    """Draw a dashed line at the target, and dotted ones at the worst values of use."""
    target = prefer.at_least.get(info.y_name)
    worst_y, worst_x = prefer.reference.get(info.y_name), prefer.reference.get(info.x_name)
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
    up = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    if target is not None:
        line = {"color": style.GOLD, "width": 1.5, "dash": "dash"}
        drawing.add_shape(**across, y0=target, y1=target, line=line)
    dotted = {"color": style.GREY, "width": 1.5, "dash": "dot"}
    if worst_y is not None:
        drawing.add_shape(**across, y0=worst_y, y1=worst_y, line=dotted)
    if worst_x is not None:
        drawing.add_shape(**up, x0=worst_x, x1=worst_x, line=dotted)


def _add_knee(drawing: go.Figure, info: FrontInfo) -> None:
    dot = next((dot for dot in info.front if info.knee and dot.trial == info.knee.trial), None)
    if dot is None or info.knee is None:
        return
    drawing.add_trace(
        go.Scatter(
            x=[dot.x],
            y=[dot.y],
            mode="markers",
            name="knee",
            text=[f"{dot.hover}<br><b>knee:</b> {style.escape(info.knee.reason)}"],
            hovertemplate="%{text}<extra></extra>",
            marker={
                "symbol": "star",
                "size": 18,
                "color": style.GOLD,
                "line": {"width": 1, "color": "#7a5c00"},
            },
        )
    )
    drawing.add_annotation(
        x=math.log10(dot.x) if info.x_name != "trial" else dot.x,
        y=dot.y,
        text=f"<b>trial {dot.trial}</b>",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        xshift=10,
        yshift=-6,
    )
