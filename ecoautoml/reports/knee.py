"""Which model of a front to take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.pareto.knee import knee_index
from ecoautoml.records.columns import METRICS
from ecoautoml.reports.frame import (
    first_cost,
    first_score,
    front_frame,
    objective_losses,
)
from ecoautoml.reports.wording import NOUNS, format_metric, format_share, listed


class Knee(NamedTuple):
    """The model most people would take, or the one that was asked for.

    Attributes:
        trial: Its trial number.
        reason: Why, as the end of a sentence: "keeps 98.9 % of the best accuracy at ...".
    """

    trial: int
    reason: str


def knee(frame: pd.DataFrame, objectives: Sequence[str], prefer: Prefer = NOTHING) -> Knee | None:
    """Return the model to take; None when the front is empty.

    With a target it is the cheapest that reaches it, or the one that comes nearest; else the model
    at which the front bends, by the weights.

    Args:
        frame: As `ecoautoml.reports.frame.trials_frame` or `front_frame` returns it.
        objectives: Column names of `METRICS`.
        prefer: What was asked for.
    """
    front = front_frame(frame, objectives, prefer)
    if front.empty:
        return None
    if prefer.target is not None:
        return _cheapest(front, first_cost(objectives) or objectives[0], *prefer.target)
    score = first_score(objectives)
    if score is not None:
        # A front of two has no bend: of equals, the first row wins, so the better score goes first.
        front = front.sort_values(score, ascending=False, kind="stable").reset_index(drop=True)
    losses = objective_losses(front, objectives, is_logged=True)
    if not np.isfinite(losses).all(axis=1).any():
        losses = objective_losses(front, objectives)
    chosen = knee_index(losses, [prefer.weights.get(name, 1.0) for name in objectives])
    trial = int(front["trial"].iloc[chosen])
    reason = _bend_words(front, chosen, objectives)
    is_weighted = len(front) > 1 and len({prefer.weights.get(name, 1.0) for name in objectives}) > 1
    return Knee(trial=trial, reason=f"{reason}, as you weigh them" if is_weighted else reason)


def preference_words(prefer: Prefer) -> str:
    """Return what was asked for in a sentence; "" when nothing was."""
    parts = []
    if prefer.target is not None:
        score, target = prefer.target
        parts.append(f"the cheapest model with {_at_least(score, target)}")
    if prefer.reference:
        limits = [
            _at_least(name, worst)
            if METRICS[name].is_score
            else f"at most {format_metric(name, worst)} {NOUNS[name]}"
            for name, worst in prefer.reference.items()
        ]
        parts.append(f"nothing beyond {listed(limits)}")
    if prefer.weights:
        weights = [f"{NOUNS[name]} {weight:g}" for name, weight in prefer.weights.items()]
        parts.append(f"weights of {listed(weights)}")
    return f"Asked for: {'; '.join(parts)}." if parts else ""


def _at_least(score: str, value: float) -> str:
    return f"at least {format_metric(score, value)} {NOUNS[score].removeprefix('validation ')}"


def _cheapest(front: pd.DataFrame, cost: str, score: str, target: float) -> Knee:
    """Return the cheapest model that reaches a target; the best where none does."""
    noun = NOUNS[score].removeprefix("validation ")
    wanted = _at_least(score, target)
    reached = front[front[score].to_numpy(dtype=float) >= target]
    if reached.empty:
        best = front.sort_values(score, ascending=False, kind="stable").iloc[0]
        found = format_metric(score, float(best[score]))
        return Knee(
            trial=int(best["trial"]),
            reason=f"has the best {noun} found ({found}); no model has {wanted}",
        )
    row = reached.sort_values([cost, "trial"]).iloc[0]
    if len(reached) == 1:
        return Knee(trial=int(row["trial"]), reason=f"is the only model with {wanted}")
    words = f"has the lowest {NOUNS[cost]} of the {len(reached)} models with {wanted}"
    return Knee(trial=int(row["trial"]), reason=words)


def _bend_words(front: pd.DataFrame, chosen: int, objectives: Sequence[str]) -> str:
    if len(front) == 1:
        return "is the only model on the front"
    score = first_score(objectives)
    costs = [name for name in objectives if not METRICS[name].is_score]
    if score is None or not costs:
        return "lies nearest the best of every objective"
    best = front.iloc[int(front[score].to_numpy(dtype=float).argmax())]
    row = front.iloc[chosen]
    noun = NOUNS[score].removeprefix("validation ")
    if row["trial"] == best["trial"]:
        return f"has the best {noun}; no cheaper model comes close enough"
    shares = [
        f"{format_share(float(row[name]) / float(best[name]))} of its "
        f"{'energy' if name == 'inference_energy_j' else NOUNS[name]}"
        for name in costs
        if float(best[name]) > 0
    ]
    kept = 100 * float(row[score]) / float(best[score]) if float(best[score]) > 0 else 100.0
    return f"keeps {kept:.1f} % of the best {noun} at {listed(shares)}"
