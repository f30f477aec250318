"""The project's own method, replayed: what `ecoautoml.strategies.energy_first` plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from replay_clock import MAX_IDLE, Replay

from ecoautoml.records.candidate import Value
from ecoautoml.strategies.energy_first.planner import EnergyFirst, Step
from ecoautoml.strategies.energy_first.problem import Goal, Seen, Status

SCREENS = 8
"""New candidates that are looked at before the planner is asked again."""


def energy_first(replay: Replay, *, has_first_looks: bool = True, **options: Any) -> None:
    """Train what `ecoautoml.strategies.energy_first` plans.

    Args:
        replay: The search.
        has_first_looks: Whether candidates are looked at after shorter trainings; else all are
            trained in full.
        **options: Of `EnergyFirst`.
    """
    table = replay.table

    def known(candidates: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        rows = [table.row_of(one) for one in candidates]
        return np.asarray(table.known[rows].reshape(len(rows), table.known.shape[1]))

    planner = EnergyFirst(
        table.space,
        table.shares if has_first_looks else (1.0,),
        known,
        goal=Goal(guess_error=table.guess_error),
        is_exact=table.is_energy_known,
        is_resumed=table.is_resumed,
        nearest=lambda values: table.candidates[table.row_of(values)],
        seed=replay.seed,
        **options,
    )
    rungs = range(replay.full + 1) if has_first_looks else (replay.full,)
    seen: list[Seen] = []
    state: Mapping[str, Any] = {}
    n_idle = 0
    while not replay.is_over and n_idle < MAX_IDLE:
        with replay.thinking():
            plan = planner.plan(seen, state, most=SCREENS)
        state = plan.state
        replay.proposals += len(plan.steps)
        if not plan.steps:
            return
        before = replay.spent
        for step in plan.steps:
            _carry_out(step, seen, replay, rungs)
        n_idle = n_idle + 1 if replay.spent == before else 0


def _carry_out(step: Step, seen: list[Seen], replay: Replay, rungs: Sequence[int]) -> None:
    """Train a candidate to the next rung, and write down what came out."""
    row, fidelity = replay.table.row_of(step.values), rungs[step.rung]
    error = (replay.train(row, fidelity),)
    status = Status.CLOSED if fidelity == replay.full else Status.WAITING
    cost = replay.energy(row)
    if step.number is None:
        one = Seen(
            number=len(seen), values=step.values, errors=(error,), costs=(cost,), status=status
        )
        seen.append(replace(one, price=_price(replay, row, fidelity)))
    else:
        one = seen[step.number]
        seen[step.number] = replace(one, errors=(*one.errors, error), status=status)


def _price(replay: Replay, row: int, fidelity: int) -> float:
    """Return what the full training of a candidate costs, as its first training tells."""
    table = replay.table
    return float(table.costs[fidelity, row]) / table.shares[fidelity]
