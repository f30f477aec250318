"""What a search may spend, and what it has spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecoautoml.carbon.grams import carbon_gco2e
from ecoautoml.config.models import Budget, CarbonConfig
from ecoautoml.units import SECONDS_PER_HOUR, format_duration, joules_from_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What has been spent so far, over all sessions of a run.

    Attributes:
        trials: Trainings begun; reused results and variants of a training are not counted.
        elapsed_s: Seconds of search.
        energy_j: Joules, everything counted; None when unknown.
    """

    trials: int
    elapsed_s: float
    energy_j: float | None


def exhausted(budget: Budget, carbon: CarbonConfig, spent: Spent) -> str | None:
    """Return which limit has been reached, as a phrase, among those that end running trials.

    The number of trials is not among them: it only stops new ones from starting.
    """
    if budget.hours is not None and spent.elapsed_s >= budget.hours * SECONDS_PER_HOUR:
        return f"budget of {budget.hours:g} h spent"
    if (
        budget.energy_wh is not None
        and spent.energy_j is not None
        and spent.energy_j >= joules_from_wh(budget.energy_wh)
    ):
        return f"budget of {budget.energy_wh:g} Wh spent"
    grams = carbon_gco2e(spent.energy_j, carbon.intensity_gco2e_per_kwh, carbon.pue)
    if budget.carbon_g is not None and grams is not None and grams >= budget.carbon_g:
        return f"budget of {budget.carbon_g:g} g CO2e spent"
    return None


def has_trials_left(budget: Budget, spent: Spent) -> bool:
    """Return whether one more trial may start."""
    return budget.trials is None or spent.trials < budget.trials


def left_of(budget: Budget, carbon: CarbonConfig, spent: Spent) -> float:
    """Return what may still be spent, as a multiple of what was spent so far; inf: any amount.

    The number of trials is left aside: it limits what begins, not what goes on.
    """
    grams = carbon_gco2e(spent.energy_j, carbon.intensity_gco2e_per_kwh, carbon.pue)
    shares = [
        amount / limit
        for amount, limit in (
            (spent.elapsed_s, (budget.hours or 0.0) * SECONDS_PER_HOUR),
            (spent.energy_j, joules_from_wh(budget.energy_wh or 0.0)),
            (grams, budget.carbon_g or 0.0),
        )
        if amount and limit
    ]
    return max(0.0, 1.0 / max(shares) - 1.0) if shares else math.inf


def time_left_s(budget: Budget, spent: Spent) -> float | None:
    """Return the seconds until the first limit, at the present pace; None when unknown."""
    shares = [
        share
        for share in (
            budget.trials and spent.trials / budget.trials,
            budget.hours and spent.elapsed_s / (budget.hours * SECONDS_PER_HOUR),
            budget.energy_wh and (spent.energy_j or 0.0) / joules_from_wh(budget.energy_wh),
        )
        if share
    ]
    if not shares or spent.elapsed_s <= 0:
        return None
    share = max(shares)
    return max(0.0, spent.elapsed_s * (1.0 - share) / share)


def budget_text(budget: Budget) -> str:
    """Return the limits in words: "40 trials or 33 min 00 s, whichever is first"."""
    limits = [
        f"{budget.trials} trials" if budget.trials else "",
        format_duration(budget.hours * SECONDS_PER_HOUR) if budget.hours else "",
        f"{budget.energy_wh:g} Wh" if budget.energy_wh else "",
        f"{budget.carbon_g:g} g CO2e" if budget.carbon_g else "",
    ]
    named = [limit for limit in limits if limit]
    return " or ".join(named) + (", whichever is first" if len(named) > 1 else "")
