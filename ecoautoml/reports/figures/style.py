"""Colours, layout and axes shared by all figures."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable
from typing import Any

import plotly.graph_objects as go

from ecoautoml.records.energy_reading import Provenance
from ecoautoml.reports.wording import format_metric, listed
from ecoautoml.units import format_energy

# Mid-tones: they keep a contrast of 3:1 to a white and to a near-black page alike.
GREEN = "#0d9f6e"
GREY = "#8b95a5"
ORANGE = "#d97a1f"
PURPLE = "#9a6bd0"
RED = "#dc4c4c"
BLUE = "#3b82d6"
GOLD = "#eab308"
SLATE = "#5f7d95"
BROWN = "#a5744f"
TEXT = "#6b7686"
GRID = "rgba(128, 138, 152, 0.22)"

STATE_COLOURS = {
    "complete": GREEN,
    "paused": BROWN,
    "pruned": ORANGE,
    "stopped": GOLD,
    "infeasible": PURPLE,
    "failed": RED,
    "reused": GREY,
    "interrupted": BLUE,
}

COLOUR_SCALE = ((0.0, BLUE), (0.5, GREEN), (1.0, GOLD))

_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(float(step) for step in range(1, 10)))


def layout(figure: go.Figure, *, x_title: str, y_title: str, height: int = 440) -> go.Figure:
    """Give a figure the common look: transparent, horizontal legend on top, thin grid."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "color": TEXT},
        legend={
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "traceorder": "normal",
        },
        hoverlabel={"align": "left"},
        hovermode="closest",
        xaxis={**axis, "title": {"text": x_title}},
        yaxis={**axis, "title": {"text": y_title}},
    )
    return figure


def empty_note(figure: go.Figure, text: str) -> None:
    """Write a sentence in place of a figure that has nothing to show."""
    figure.data = ()
    figure.add_annotation(
        text=escape(text), x=0, y=0.5, xref="paper", yref="paper", showarrow=False, xanchor="left"
    )
    figure.update_layout(height=70)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)


def log_axis(name: str, values: Iterable[float]) -> dict[str, Any]:
    """Return a log axis with ticks in human units ("20 µJ"), fit for a narrow screen.

    Args:
        name: Column name; its unit is the values'.
        values: What is shown on the axis; those that are not positive do not count.
    """
    positions = log_ticks(values)
    return {
        "type": "log",
        "tickvals": positions,
        "ticktext": [format_metric(name, position) for position in positions],
    }


def log_ticks(values: Iterable[float]) -> list[float]:
    """Return up to 7 round positions that span the values on a log scale."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return []
    low, high = min(positive) / 1.15, max(positive) * 1.15
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = []
    for steps in _STEPS:
        ticks = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
        choices.append([tick for tick in ticks if low <= tick <= high])
    fitting = [ticks for ticks in choices if 1 <= len(ticks) <= 7]
    if fitting:
        return max(fitting, key=len)
    most = choices[0] or [float(f"{positive[0]:.3g}")]
    return most[:: math.ceil(len(most) / 7)]


def joule_axis(title: str, provenances: Collection[Provenance], highest_j: float) -> dict[str, Any]:
    """Return a linear axis of joules from 0 that says whether they are measured.

    Args:
        title: What the joules are.
        provenances: All that occur among them; empty when nothing is known.
        highest_j: Largest value shown, in joules.
    """
    weak = [kind.value for kind in provenances if kind is not Provenance.MEASURED]
    partly = "partly " if len(provenances) > 1 else ""
    suffix = f" ({partly}{listed(weak)})" if weak else ""
    positions = linear_ticks(highest_j)
    return {
        "title": {"text": title + suffix},
        "tickvals": positions,
        "ticktext": [format_energy(position) if position else "0" for position in positions],
        "rangemode": "tozero",
    }


def linear_ticks(highest: float) -> list[float]:
    """Return about 4 to 6 round positions from 0 to the highest value."""
    if not highest > 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(highest))
    step = next(power * size for size in (0.2, 0.5, 1.0, 2.0) if highest / (power * size) <= 5.5)
    return [float(f"{index * step:.6g}") for index in range(int(highest / step) + 1)]


def escape(text: str) -> str:
    """Return text that plotly shows as it is, whatever tags it contains."""
    return html.escape(text, quote=False)
