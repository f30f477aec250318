"""From values as people read them to losses that can be compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecoautoml.pareto.front import Losses, as_matrix


def as_losses(
    values: ArrayLike,
    directions: Sequence[Literal["maximize", "minimize"]],
    log_columns: Collection[int] = (),
) -> Losses:
    """Return values as losses (smaller is better), shape ``(n_points, n_objectives)``.

    Costs such as energy, latency or parameters belong on the log10 scale: within one search they
    span decades, so on a linear scale the dearest model alone would set the range, and halving the
    joules of a small model would count for nothing. Which points are on the front does not depend
    on it; hypervolume and knee do.

    Args:
        values: Shape ``(n_points, n_objectives)``; NaN is unknown.
        directions: "maximize" or "minimize", one per column.
        log_columns: Indices of columns taken on the log10 scale; what is not positive there becomes
            NaN, since it has no place on that scale.

    Raises:
        ValueError: The shapes do not fit.
    """
    losses = np.array(values, dtype=np.float64)
    if losses.ndim != 2 or losses.shape[1] != len(directions):
        raise ValueError(f"values of shape {losses.shape} do not fit {len(directions)} directions")
    for column in log_columns:
        positive = losses[:, column] > 0
        logs = np.full(len(losses), np.nan)
        logs[positive] = np.log10(losses[positive, column])
        losses[:, column] = logs
    signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
    return np.asarray(losses * signs)


def reference_point(
    losses: Losses, margin: float = 0.05, given: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return a reference for the hypervolume: the worst of each objective plus a margin.

    The margin lets the extremes of the front cover something too.

    Args:
        losses: All finished points, shape ``(n_points, n_objectives)``; values that are not finite
            are left out.
        margin: Share of the range that is added; of 1.0 when an objective has no range.
        given: What is to be taken instead, ``(n_objectives,)``; NaN where nothing is. None: nothing
            is.

    Returns:
        Shape ``(n_objectives,)``; NaN for an objective without any finite value.
    """
    points = as_matrix(losses)
    reference = np.full(points.shape[1], np.nan)
    for column in range(points.shape[1]):
        finite = points[np.isfinite(points[:, column]), column]
        if len(finite):
            span = float(finite.max() - finite.min())
            reference[column] = finite.max() + margin * (span or 1.0)
    if given is None:
        return reference
    instead = np.asarray(given, dtype=np.float64)
    return np.asarray(np.where(np.isnan(instead), reference, instead))


def to_unit_range(losses: Losses) -> Losses:
    """Return each objective scaled to [0, 1] over the points; 0 where it is the same everywhere.

    Args:
        losses: Shape ``(n_points, n_objectives)``, at least one point; no NaN.

    Raises:
        ValueError: ``losses`` has another number of dimensions, or there are no points.
    """
    points = as_matrix(losses)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.asarray((points - low) / span, dtype=np.float64)
