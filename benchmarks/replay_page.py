"""A page that draws regret over what was paid."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"),
    *("#8c564b", "#6a3d9a", "#17becf", "#b2182b", "#1a1a1a", "#99c140", "#f781bf"),
)
"""The first are told apart by colour-blind readers too (Okabe and Ito 2008)."""
LEAST_REGRET = 1e-3
"""Less is drawn as this: a regret of zero has no place on a log scale."""
POINTS = 240


class Curve(NamedTuple):
    """A method's regret over units paid: median and quartiles, ``(n,)`` each."""

    units: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve_info(regrets_at: Sequence[Callable[[float], float]], least: float, most: float) -> Curve:
    """Return a method's curve.

    Args:
        regrets_at: For each seed, the regret once so many units were paid.
        least: Units at which the curve begins.
        most: Units at which it ends.
    """
    units = np.geomspace(least, most, POINTS)
    table = np.array([[regret_at(float(unit)) for regret_at in regrets_at] for unit in units])
    low, high = np.quantile(table, [0.25, 0.75], axis=1)
    median = np.array([statistics.median(each) for each in table.tolist()])
    return Curve(units, *(np.maximum(each, LEAST_REGRET) for each in (median, low, high)))


def figure(curves: Mapping[str, Curve], title: str, unit: str) -> go.Figure:
    """Return all methods' curves, each with the band of its middle half, both scales log."""
    drawn = go.Figure()
    for index, (method, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        drawn.add_scatter(
            x=np.concatenate([curve.units, curve.units[::-1]]),
            y=np.concatenate([curve.high, curve.low[::-1]]),
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.12)",
            line={"width": 0},
            hoverinfo="skip",
            legendgroup=method,
            showlegend=False,
        )
        drawn.add_scatter(
            x=curve.units,
            y=curve.median,
            name=method,
            mode="lines",
            legendgroup=method,
            line={"color": colour, "width": 3 if method == "default" else 1.8},
            hovertemplate=f"{method}: regret %{{y:.2%}} after %{{x:.3g}}<extra></extra>",
        )
    drawn.update_xaxes(
        type="log", title=f"joules paid, in full trainings (1 = mean of {unit})", **_ticks(0.1, 1e4)
    )
    least = min((float(curve.low.min()) for curve in curves.values()), default=LEAST_REGRET)
    drawn.update_yaxes(
        type="log",
        title="regret: share of the hypervolume missing",
        tickformat="~%",
        range=[np.log10(least) - 0.05, 0.03],
        **_ticks(LEAST_REGRET, 1.0),
    )
    drawn.update_layout(
        title=f"{title}: median of the seeds, band: the middle half",
        template="plotly_white",
        height=680,
        legend={"x": 1.01, "y": 1.0},
        font={"size": 14},
    )
    return drawn


def _ticks(low: float, high: float) -> dict[str, list[float]]:
    """Return 1, 2 and 5 times each power of ten in a range, as the only ticks."""
    powers = range(round(np.log10(low)), round(np.log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    return {"tickvals": [tick for tick in ticks if low <= tick <= high]}
