"""What a search will take, told before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ecoautoml.config.models import Budget
from ecoautoml.study.budget import budget_text
from ecoautoml.units import SECONDS_PER_HOUR, joules_from_wh

MEASURING_S = 2.0
"""What probing and measuring add to each trial, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Expected size of a search.

    Attributes:
        trials: Expected number of trials; None when it cannot be told.
        elapsed_s: Expected seconds, low and high; None when it cannot be told.
        energy_j: Expected joules, low and high; None when unknown.
        probed: Candidates this rests on.
        binding: Which limit of the budget ends it: its key.
        budget: The budget in words.
    """

    trials: int | None
    elapsed_s: tuple[float, float] | None
    energy_j: tuple[float, float] | None
    probed: int
    binding: str
    budget: str


def forecast(
    budget: Budget,
    trial_s: Sequence[float],
    trial_energy_j: Sequence[float | None],
    workers: int,
    idle_w: float = 0.0,
) -> Forecast:
    """Return what a search will take, from a few probed candidates.

    The range is from the smallest to the largest candidate probed; stopping trials early makes
    the truth smaller.

    Args:
        budget: The limits.
        trial_s: Predicted seconds of each probed candidate's trial.
        trial_energy_j: Predicted joules of the same.
        workers: Trials at once.
        idle_w: Watts of the idle machine, where ``trial_energy_j`` leaves them out; they are on
            the bill too.
    """
    if not trial_s:
        return Forecast(
            trials=budget.trials,
            elapsed_s=None,
            energy_j=None,
            probed=0,
            binding="unknown",
            budget=budget_text(budget),
        )
    seconds = [value + MEASURING_S for value in trial_s]
    idle_j = [idle_w * value / workers for value in seconds]
    joules = [
        value + idle
        for value, idle in zip(trial_energy_j, idle_j, strict=True)
        if value is not None
    ]
    mean_s = sum(seconds) / len(seconds)
    mean_j = sum(joules) / len(joules) if joules else None
    limits = {"trials": float(budget.trials)} if budget.trials else {}
    if budget.hours:
        limits["hours"] = budget.hours * SECONDS_PER_HOUR * workers / mean_s
    if budget.energy_wh and mean_j:
        limits["energy_wh"] = joules_from_wh(budget.energy_wh) / mean_j
    binding = min(limits, key=lambda name: limits[name]) if limits else "carbon_g"
    trials = max(1, round(limits[binding])) if limits else None
    if trials is None:
        return Forecast(
            trials=None,
            elapsed_s=None,
            energy_j=None,
            probed=len(seconds),
            binding=binding,
            budget=budget_text(budget),
        )
    latest_s = budget.hours * SECONDS_PER_HOUR if budget.hours else math.inf
    low_s, high_s = (
        latest_s if binding == "hours" else min(extreme * trials / workers, latest_s)
        for extreme in (min(seconds), max(seconds))
    )
    return Forecast(
        trials=trials,
        elapsed_s=(low_s, high_s),
        energy_j=(min(joules) * trials, max(joules) * trials) if joules else None,
        probed=len(seconds),
        binding=binding,
        budget=budget_text(budget),
    )
